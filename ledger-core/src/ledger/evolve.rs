//! Moving books by what happened. Everything that an event says of balances is computed again
//! and must agree: a broken invariant stops the shard.

use crate::account::{Account, AccountNumber, AccountStatus, Totals};
use crate::event::{
    AccountOpened, AccountStatusChanged, AccountUpdated, BooksChanged, Event, LedgerTerms,
    TransactionCaptured, TransactionCreated, TransactionReleased, TransactionReversed,
    TransactionUpdated,
};
use crate::ledger::holds::reserved_on;
use crate::ledger::settle::{count_flow, give_back, settle};
use crate::ledger::velocity::{Counter, Reserved, recount};
use crate::ledger::view::BooksMut;
use crate::time::Moment;
use crate::transaction::moves::{Moves, Stage, Unmovable};
use crate::transaction::release::status_after;
use crate::transaction::reverse::mirrored;
use crate::transaction::{Transaction, TransactionKind, TransactionStatus};

/// Why an event cannot follow a state: the log or the state is damaged, or a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Inconsistent(pub String);

impl From<Unmovable> for Inconsistent {
    fn from(unmovable: Unmovable) -> Self {
        Self(unmovable.to_string())
    }
}

/// An [`Inconsistent`] that says so unless `holds`.
macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err($crate::ledger::evolve::Inconsistent(format!($($said)+)));
        }
    };
}
pub(super) use ensure;

/// Moves `books` by `event`. After an error inside of an atomic event, members before it have
/// moved the books already: they are not to be used any more.
pub(super) fn apply<B: BooksMut>(
    books: &mut B,
    event: &Event,
    at: Moment,
) -> Result<(), Inconsistent> {
    match event {
        Event::TransactionCreated(event) => transaction_created(books, event, at),
        Event::TransactionCaptured(event) => transaction_captured(books, event, at),
        Event::TransactionReleased(event) => transaction_released(books, event),
        Event::TransactionReversed(event) => transaction_reversed(books, event),
        Event::TransactionUpdated(event) => transaction_updated(books, event),
        Event::AccountOpened(event) => account_opened(books, event, at),
        Event::AccountUpdated(event) => account_updated(books, event, at),
        Event::AccountStatusChanged(event) => account_status_changed(books, event),
        Event::LedgerCreated(terms) => ledger_created(books, terms, at),
        Event::LedgerUpdated(terms) => ledger_updated(books, terms),
        Event::BooksChanged(event) => books_changed(books, event),
        Event::Atomic(events) => {
            for event in events {
                ensure!(
                    !matches!(event, Event::Atomic(_) | Event::LedgerCreated(_)),
                    "an atomic event holds what cannot be its member"
                );
                apply(books, event, at)?;
            }
            Ok(())
        }
    }
}

fn ledger_created<B: BooksMut>(
    books: &mut B,
    terms: &LedgerTerms,
    at: Moment,
) -> Result<(), Inconsistent> {
    ensure!(books.terms().is_none(), "the ledger was created before");
    ensure!(terms.version == 1, "a new ledger has version 1");
    books.set_terms(terms.clone());
    books.set_created_at(at.recorded_at);
    Ok(())
}

fn next_ledger_version<B: BooksMut>(books: &B, version: u64) -> Result<(), Inconsistent> {
    let before = books.terms().map(|terms| terms.version);
    ensure!(
        before.is_some_and(|before| version == before + 1),
        "ledger version {version} does not follow {before:?}"
    );
    Ok(())
}

fn ledger_updated<B: BooksMut>(books: &mut B, terms: &LedgerTerms) -> Result<(), Inconsistent> {
    next_ledger_version(books, terms.version)?;
    books.set_terms(terms.clone());
    Ok(())
}

fn books_changed<B: BooksMut>(books: &mut B, event: &BooksChanged) -> Result<(), Inconsistent> {
    next_ledger_version(books, event.version)?;
    books.set_closed_through(event.closed_through, event.version);
    Ok(())
}

fn account_opened<B: BooksMut>(
    books: &mut B,
    event: &AccountOpened,
    at: Moment,
) -> Result<(), Inconsistent> {
    let AccountOpened { number, terms } = event;
    ensure!(books.terms().is_some(), "the ledger was not created");
    ensure!(
        number.0 as usize == books.account_count() + 1,
        "account #{} does not follow {} accounts",
        number.0,
        books.account_count()
    );
    ensure!(
        books.number_of(&terms.name).is_none(),
        "account {} was opened before",
        terms.name
    );
    let known = books.exponent_of(terms.asset.code());
    ensure!(
        known.is_none_or(|known| known == terms.asset.exponent()),
        "asset {} has another exponent in this ledger",
        terms.asset
    );
    let account = Account {
        number: *number,
        terms: terms.clone(),
        status: AccountStatus::Open,
        totals: Totals::default(),
        version: 1,
        open_holds: 0,
        opened_at: at.recorded_at,
    };
    let velocity = vec![Counter::default(); terms.limits.velocity.len()];
    books.add_account(account, velocity);
    Ok(())
}

/// The account of `number`, which goes on to `version`.
fn next_version<B: BooksMut>(
    books: &B,
    number: AccountNumber,
    version: u64,
) -> Result<&Account, Inconsistent> {
    let Some(account) = books.account(number) else {
        return Err(Unmovable::NoAccount(number).into());
    };
    ensure!(
        version == account.version + 1,
        "version {version} of account #{} does not follow {}",
        number.0,
        account.version
    );
    Ok(account)
}

fn account_updated<B: BooksMut>(
    books: &mut B,
    event: &AccountUpdated,
    at: Moment,
) -> Result<(), Inconsistent> {
    let account = next_version(books, event.number, event.version)?;
    let (before, after) = (&account.terms, &event.terms);
    ensure!(
        (&before.name, before.asset, before.account_type)
            == (&after.name, after.asset, after.account_type),
        "name, asset and type of account #{} never change",
        event.number.0
    );
    let recounted = (before.limits.velocity != after.limits.velocity).then(|| {
        let reserved = || -> Vec<Reserved> {
            let holds = books.holds_of(event.number);
            holds
                .iter()
                .map(|h| reserved_on(&h.transaction, h.made, event.number))
                .collect()
        };
        recount(
            (&before.limits.velocity, books.velocity(event.number)),
            &after.limits.velocity,
            account.normal_side(),
            at,
            reserved,
        )
    });
    if let Some((account, velocity)) = books.account_mut(event.number) {
        account.terms = event.terms.clone();
        account.version = event.version;
        if let Some(recounted) = recounted {
            *velocity = recounted;
        }
    }
    Ok(())
}

fn account_status_changed<B: BooksMut>(
    books: &mut B,
    event: &AccountStatusChanged,
) -> Result<(), Inconsistent> {
    let account = next_version(books, event.number, event.version)?;
    ensure!(
        event.status != AccountStatus::Closed
            || account.totals.is_settled() && account.open_holds == 0,
        "account #{} is closed with a balance or holds",
        event.number.0
    );
    if let Some((account, _)) = books.account_mut(event.number) {
        account.status = event.status;
        account.version = event.version;
    }
    Ok(())
}

fn transaction_created<B: BooksMut>(
    books: &mut B,
    event: &TransactionCreated,
    at: Moment,
) -> Result<(), Inconsistent> {
    let TransactionCreated {
        transaction,
        balances,
    } = event;
    let is_hold = match (&transaction.kind, transaction.status) {
        (TransactionKind::Direct, TransactionStatus::Posted) => false,
        (TransactionKind::Hold(_), TransactionStatus::Pending) => true,
        _ => {
            return Err(Inconsistent(format!(
                "transaction {} is created as neither posted nor a hold",
                transaction.id
            )));
        }
    };
    ensure!(
        transaction.version == 1 && !transaction.postings.is_empty(),
        "transaction {} is new without postings or with a past",
        transaction.id
    );
    ensure!(
        books.hold(transaction.id).is_none(),
        "transaction {} is an open hold already",
        transaction.id
    );
    let mut moves = Moves::new(transaction.postings.len());
    for posting in &transaction.postings {
        moves.create(books, posting, Stage::of(transaction))?;
    }
    settle(books, &moves, balances, |holds| holds + u32::from(is_hold))?;
    count_flow(books, &moves, at);
    if is_hold {
        books.open_hold(transaction, at);
    } else {
        books.touch(transaction);
    }
    Ok(())
}

fn transaction_captured<B: BooksMut>(
    books: &mut B,
    event: &TransactionCaptured,
    at: Moment,
) -> Result<(), Inconsistent> {
    let TransactionCaptured {
        capture,
        hold,
        balances,
    } = event;
    let (before, made) = open_hold(books, hold)?;
    ensure!(
        capture.kind == TransactionKind::Capture(hold.id)
            && capture.status == TransactionStatus::Posted
            && !capture.postings.is_empty()
            && capture.postings.len() == capture.sources.len(),
        "transaction {} is no capture of hold {}",
        capture.id,
        hold.id
    );
    ensure!(
        matches!(
            hold.status,
            TransactionStatus::Pending | TransactionStatus::Posted
        ),
        "hold {} is neither open nor posted after a capture",
        hold.id
    );
    let mut captured: Vec<_> = (0..before.postings.len())
        .map(|index| Some(before.progress_of(index).captured))
        .collect();
    for (posting, source) in capture.postings.iter().zip(&capture.sources) {
        let Some(of) = before.postings.get(*source as usize) else {
            return Err(Unmovable::NoSource(*source).into());
        };
        ensure!(
            (posting.debit, posting.credit) == (of.debit, of.credit),
            "capture {} moves other accounts than its hold",
            capture.id
        );
        let sum = &mut captured[*source as usize];
        *sum = sum.and_then(|sum| sum.checked_add(posting.amount));
    }
    for (index, captured) in captured.into_iter().enumerate() {
        ensure!(
            captured == Some(hold.progress_of(index).captured),
            "hold {} does not say what capture {} took of posting {index}",
            hold.id,
            capture.id
        );
    }
    let mut moves = Moves::new(capture.postings.len());
    moves.capture(books, &before, capture, hold)?;
    let ended = hold.status != TransactionStatus::Pending;
    settle(books, &moves, balances, |holds| {
        holds.wrapping_sub(u32::from(ended))
    })?;
    count_flow(books, &moves, at);
    if ended {
        give_back(books, hold, made);
        books.end_hold(hold.id);
        books.touch(hold);
    } else {
        books.update_hold(hold);
    }
    books.touch(capture);
    Ok(())
}

fn transaction_released<B: BooksMut>(
    books: &mut B,
    event: &TransactionReleased,
) -> Result<(), Inconsistent> {
    let hold = &event.hold;
    let (before, made) = open_hold(books, hold)?;
    ensure!(
        hold.status == status_after(&before, event.expired) && hold.progress == before.progress,
        "hold {} does not end as it was released",
        hold.id
    );
    let mut moves = Moves::new(hold.postings.len());
    moves.release(books, &before)?;
    settle(books, &moves, &event.balances, |holds| {
        holds.wrapping_sub(1)
    })?;
    give_back(books, hold, made);
    books.end_hold(hold.id);
    books.touch(hold);
    Ok(())
}

fn transaction_reversed<B: BooksMut>(
    books: &mut B,
    event: &TransactionReversed,
) -> Result<(), Inconsistent> {
    let TransactionReversed {
        reversal,
        original,
        balances,
    } = event;
    ensure!(
        reversal.kind == TransactionKind::Reversal(original.id)
            && reversal.status == TransactionStatus::Posted
            && !reversal.postings.is_empty()
            && reversal.postings.len() == reversal.sources.len(),
        "transaction {} is no reversal of {}",
        reversal.id,
        original.id
    );
    if let Some(before) = books.remembered(original.id) {
        ensure!(
            original.version == before.version + 1 && original.postings == before.postings,
            "transaction {} does not follow what it was",
            original.id
        );
    }
    for (posting, source) in reversal.postings.iter().zip(&reversal.sources) {
        let Some(of) = original.postings.get(*source as usize) else {
            return Err(Unmovable::NoSource(*source).into());
        };
        let reversed = original.progress_of(*source as usize).reversed;
        let back = mirrored(posting);
        ensure!(
            (back.debit, back.credit) == (of.debit, of.credit)
                && posting.amount <= reversed
                && reversed <= of.amount,
            "reversal {} takes back what transaction {} does not say",
            reversal.id,
            original.id
        );
    }
    let mut moves = Moves::new(reversal.postings.len());
    for posting in &reversal.postings {
        moves.reverse(books, posting)?;
    }
    settle(books, &moves, balances, |holds| holds)?;
    books.touch(original);
    books.touch(reversal);
    Ok(())
}

fn transaction_updated<B: BooksMut>(
    books: &mut B,
    event: &TransactionUpdated,
) -> Result<(), Inconsistent> {
    let after = &event.transaction;
    if after.status == TransactionStatus::Pending {
        let (before, _) = open_hold(books, after)?;
        ensure!(
            before.progress == after.progress,
            "an update of hold {} moves it",
            after.id
        );
        books.update_hold(after);
        return Ok(());
    }
    ensure!(
        books.hold(after.id).is_none(),
        "an update ends hold {}",
        after.id
    );
    if let Some(before) = books.remembered(after.id) {
        ensure!(
            after.version == before.version + 1
                && after.postings == before.postings
                && after.progress == before.progress,
            "an update of transaction {} does not follow what it was",
            after.id
        );
    }
    books.touch(after);
    Ok(())
}

/// The open hold that `after` follows, and when it was made.
fn open_hold<B: BooksMut>(
    books: &B,
    after: &Transaction,
) -> Result<(Transaction, Moment), Inconsistent> {
    let Some(hold) = books.hold(after.id) else {
        return Err(Inconsistent(format!("hold {} is not open", after.id)));
    };
    let before = &hold.transaction;
    ensure!(
        after.version == before.version + 1
            && after.postings == before.postings
            && after.kind == before.kind,
        "hold {} does not follow what it was",
        after.id
    );
    Ok((before.clone(), hold.made))
}
