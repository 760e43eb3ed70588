//! What a reply shows beyond the bare decision: taken from the event, joined with what the
//! ledger's state knows of the accounts.

use ledger_core::account::{Account, AccountNumber, Totals};
use ledger_core::command::AccountRef;
use ledger_core::event::{Event, ResultingBalance};
use ledger_core::key::TransactionId;
use ledger_core::ledger::LedgerState;
use ledger_core::time::Timestamp;
use ledger_core::transaction::Transaction;

use super::request::{
    Accepted, BalanceLine, LedgerSubject, More, Subject, TransactionSubject, Want,
};

/// What `event` says to the caller. `ledger` may be the state before or after it, or later.
pub fn accepted(ledger: &LedgerState, event: &Event, at: Timestamp, want: Want) -> Accepted {
    let members = match event {
        Event::Atomic(events) => events.iter().map(transaction_id).collect(),
        _ => Vec::new(),
    };
    let balances = if want.balances {
        balances(ledger, event, at)
    } else {
        Vec::new()
    };
    let subject = if want.subject {
        subject(ledger, event, at)
    } else {
        None
    };
    let bare = members.is_empty() && balances.is_empty() && subject.is_none();
    Accepted {
        transaction: transaction_id(event),
        account: account_number(event),
        more: (!bare).then(|| {
            Box::new(More {
                members,
                balances,
                subject,
            })
        }),
    }
}

/// The transaction that `event` made or changed, and whether it made it.
fn transaction(event: &Event) -> Option<(&Transaction, bool)> {
    match event {
        Event::TransactionCreated(created) => Some((&created.transaction, true)),
        Event::TransactionCaptured(captured) => Some((&captured.capture, true)),
        Event::TransactionReversed(reversed) => Some((&reversed.reversal, true)),
        Event::TransactionReleased(released) => Some((&released.hold, false)),
        Event::TransactionUpdated(updated) => Some((&updated.transaction, false)),
        _ => None,
    }
}

fn transaction_id(event: &Event) -> Option<TransactionId> {
    transaction(event).map(|(transaction, _)| transaction.id)
}

fn account_number(event: &Event) -> Option<AccountNumber> {
    match event {
        Event::AccountOpened(opened) => Some(opened.number),
        Event::AccountUpdated(updated) => Some(updated.number),
        Event::AccountStatusChanged(changed) => Some(changed.number),
        _ => None,
    }
}

/// The account that `event` made or changed, after it.
fn account(ledger: &LedgerState, event: &Event, at: Timestamp) -> Option<Account> {
    let number = account_number(event)?;
    let known = ledger.account(&AccountRef::Number(number)).cloned();
    match event {
        Event::AccountOpened(opened) => Some(known.unwrap_or_else(|| Account {
            number,
            terms: opened.terms.clone(),
            status: ledger_core::account::AccountStatus::Open,
            totals: Totals::default(),
            version: 1,
            open_holds: 0,
            opened_at: at,
        })),
        // The state may be later than the event (a repeat): then it knows better.
        Event::AccountUpdated(updated) => known.map(|known| {
            if known.version >= updated.version {
                return known;
            }
            Account {
                terms: updated.terms.clone(),
                version: updated.version,
                ..known
            }
        }),
        Event::AccountStatusChanged(changed) => known.map(|known| {
            if known.version >= changed.version {
                return known;
            }
            Account {
                status: changed.status,
                version: changed.version,
                ..known
            }
        }),
        _ => known,
    }
}

fn subject(ledger: &LedgerState, event: &Event, at: Timestamp) -> Option<Subject> {
    if let Some((transaction, made)) = transaction(event) {
        return Some(Subject::Transaction(TransactionSubject {
            names: names(ledger, transaction),
            transaction: transaction.clone(),
            made,
        }));
    }
    let known = || LedgerSubject {
        terms: ledger.terms().cloned().unwrap_or_default(),
        created_at: ledger.created_at(),
        closed_through: ledger.closed_through(),
    };
    match event {
        Event::LedgerCreated(terms) => Some(Subject::Ledger(match ledger.terms() {
            Some(_) => known(),
            None => LedgerSubject {
                terms: terms.clone(),
                created_at: Some(at),
                closed_through: None,
            },
        })),
        Event::LedgerUpdated(terms) => {
            let mut known = known();
            if known.terms.version < terms.version {
                known.terms = terms.clone();
            }
            Some(Subject::Ledger(known))
        }
        Event::BooksChanged(changed) => {
            let mut known = known();
            if known.terms.version < changed.version {
                known.terms.version = changed.version;
                known.closed_through = changed.closed_through;
            }
            Some(Subject::Ledger(known))
        }
        _ => account(ledger, event, at).map(|account| Subject::Account(Box::new(account))),
    }
}

fn names(
    ledger: &LedgerState,
    transaction: &Transaction,
) -> Vec<(
    AccountNumber,
    ledger_core::name::AccountName,
    ledger_core::asset::Asset,
)> {
    let mut numbers: Vec<_> = transaction
        .postings
        .iter()
        .flat_map(|posting| [posting.debit, posting.credit])
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
        .into_iter()
        .filter_map(|number| {
            let account = ledger.account(&AccountRef::Number(number))?;
            Some((number, account.terms.name.clone(), account.terms.asset))
        })
        .collect()
}

/// The accounts that `event` moved, opened or changed, after it, by number, once each.
fn balances(ledger: &LedgerState, event: &Event, at: Timestamp) -> Vec<BalanceLine> {
    let mut lines = Vec::new();
    add_balances(ledger, event, at, &mut lines);
    // Of an account that several members of a batch moved, the last stands.
    lines.reverse();
    lines.sort_by_key(|line| line.number);
    lines.dedup_by_key(|line| line.number);
    lines
}

fn add_balances(ledger: &LedgerState, event: &Event, at: Timestamp, lines: &mut Vec<BalanceLine>) {
    let moved: &[ResultingBalance] = match event {
        Event::TransactionCreated(created) => &created.balances,
        Event::TransactionCaptured(captured) => &captured.balances,
        Event::TransactionReversed(reversed) => &reversed.balances,
        Event::TransactionReleased(released) => &released.balances,
        Event::Atomic(events) => {
            for event in events {
                add_balances(ledger, event, at, lines);
            }
            return;
        }
        _ => {
            if let Some(account) = account(ledger, event, at) {
                lines.push(line(&account, account.version, account.totals));
            }
            return;
        }
    };
    for balance in moved {
        let known = ledger.account(&AccountRef::Number(balance.account));
        let opened_here = || lines.iter().rfind(|line| line.number == balance.account);
        if let Some(account) = known {
            lines.push(line(account, balance.version, balance.totals));
        } else if let Some(earlier) = opened_here().cloned() {
            // Opened by an earlier member of the same batch, and only tried (`validate_only`).
            lines.push(BalanceLine {
                version: balance.version,
                totals: balance.totals,
                ..earlier
            });
        }
    }
}

fn line(account: &Account, version: u64, totals: Totals) -> BalanceLine {
    BalanceLine {
        name: account.terms.name.clone(),
        number: account.number,
        asset: account.terms.asset,
        side: account.normal_side(),
        minimum: account.terms.limits.minimum,
        version,
        totals,
    }
}
