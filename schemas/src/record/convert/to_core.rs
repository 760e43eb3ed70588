//! Messages to core types. Every part is checked: what is damaged is refused, never guessed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Direction, FreezeScope, Limits,
    Totals, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::{
    AccountOpened, AccountStatusChanged, AccountUpdated, BooksChanged, Event, LedgerTerms,
    ResultingBalance, TransactionCaptured, TransactionCreated, TransactionReleased,
    TransactionReversed, TransactionUpdated,
};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::rejection::{Code, Rejection};
use ledger_core::text::{Metadata, Sealed, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    HoldTerms, LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};

use super::Enclosing;
use crate::proto::record::v1 as proto;
use crate::record::RecordError;
use crate::record::error::{Of, exactly};

fn some<T>(value: Option<T>, field: &'static str) -> Result<T, RecordError> {
    value.ok_or(RecordError::Missing(field))
}

fn whole(low: u64, high: u64, field: &'static str) -> Result<Amount, RecordError> {
    let number = u128::from(high) << 64 | u128::from(low);
    Amount::new(number)
        .ok_or_else(|| RecordError::invalid(field, format!("{number} is above the largest amount")))
}

fn unknown(field: &'static str, value: i32) -> RecordError {
    RecordError::UnknownValue {
        field,
        value: value.to_string(),
    }
}

/// An amount.
///
/// # Errors
/// [`RecordError`] above the largest amount.
pub fn amount(amount: &proto::UInt128) -> Result<Amount, RecordError> {
    whole(amount.low, amount.high, "amount")
}

/// A signed number of minor units.
pub fn signed(value: &proto::Int128) -> i128 {
    i128::from(value.high) << 64 | i128::from(value.low)
}

/// An instant.
///
/// # Errors
/// [`RecordError`] outside of the years 1 to 9999.
pub fn timestamp(micros: i64, field: &'static str) -> Result<Timestamp, RecordError> {
    Timestamp::from_micros(micros).ok_or_else(|| {
        RecordError::invalid(
            field,
            format!("{micros} µs is outside of the years 1 to 9999"),
        )
    })
}

/// A text.
///
/// # Errors
/// [`RecordError`] when it says nothing.
pub fn text(text: proto::Text) -> Result<Text, RecordError> {
    Ok(match some(text.text, "text")? {
        proto::text::Text::Plain(plain) => Text::Plain(plain.into_boxed_str()),
        proto::text::Text::Sealed(sealed) => Text::Sealed(Box::new(Sealed {
            key_id: sealed.key_id.into_boxed_str(),
            nonce: Box::from(&sealed.nonce[..]),
            ciphertext: Box::from(&sealed.ciphertext[..]),
        })),
    })
}

fn text_or_none(value: Option<proto::Text>) -> Result<Option<Text>, RecordError> {
    value.map(text).transpose()
}

/// Metadata.
///
/// # Errors
/// [`RecordError`] when keys are not sorted, or a limit of metadata is broken.
pub fn metadata(entries: Vec<proto::MetadataEntry>) -> Result<Metadata, RecordError> {
    if entries.is_empty() {
        return Ok(Metadata::default());
    }
    if !entries.is_sorted_by(|a, b| a.key < b.key) {
        return Err(RecordError::invalid("metadata", "keys are not sorted"));
    }
    let entries = entries
        .into_iter()
        .map(|entry| {
            let value = text(some(entry.value, "metadata.value")?)?;
            Ok((entry.key.into_boxed_str(), value))
        })
        .collect::<Result<BTreeMap<_, _>, RecordError>>()?;
    Metadata::new(entries).of("metadata")
}

/// An asset.
///
/// # Errors
/// [`RecordError`] when it is none.
pub fn asset(asset: &proto::Asset) -> Result<Asset, RecordError> {
    Asset::new(&asset.code, asset.exponent).of("asset")
}

fn asset_of(value: Option<proto::Asset>) -> Result<Asset, RecordError> {
    asset(&some(value, "asset")?)
}

fn account_name(name: &str) -> Result<AccountName, RecordError> {
    AccountName::new(name).of("account name")
}

/// A ledger's terms.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn ledger_terms(terms: proto::LedgerTerms) -> Result<LedgerTerms, RecordError> {
    Ok(LedgerTerms {
        time_zone: Arc::from(terms.time_zone),
        cut_off_seconds: terms.cut_off_seconds,
        description: text_or_none(terms.description)?,
        metadata: metadata(terms.metadata)?,
        settlement_accounts: terms
            .settlement_accounts
            .into_iter()
            .map(|s| Ok((asset_of(s.asset)?, account_name(&s.account)?)))
            .collect::<Result<_, RecordError>>()?,
        version: terms.version,
    })
}

/// An account's type.
///
/// # Errors
/// [`RecordError::UnknownValue`].
pub fn account_type(value: i32) -> Result<AccountType, RecordError> {
    Ok(match proto::AccountType::try_from(value) {
        Ok(proto::AccountType::Asset) => AccountType::Asset,
        Ok(proto::AccountType::Liability) => AccountType::Liability,
        Ok(proto::AccountType::Equity) => AccountType::Equity,
        Ok(proto::AccountType::Income) => AccountType::Income,
        Ok(proto::AccountType::Expense) => AccountType::Expense,
        Ok(proto::AccountType::Memo) => AccountType::Memo,
        Ok(proto::AccountType::Unspecified) | Err(_) => return Err(unknown("account type", value)),
    })
}

/// An account's status.
///
/// # Errors
/// [`RecordError::UnknownValue`].
pub fn account_status(value: i32) -> Result<AccountStatus, RecordError> {
    Ok(match proto::AccountStatus::try_from(value) {
        Ok(proto::AccountStatus::Open) => AccountStatus::Open,
        Ok(proto::AccountStatus::FrozenDebits) => AccountStatus::Frozen(FreezeScope::Debits),
        Ok(proto::AccountStatus::FrozenCredits) => AccountStatus::Frozen(FreezeScope::Credits),
        Ok(proto::AccountStatus::FrozenAll) => AccountStatus::Frozen(FreezeScope::All),
        Ok(proto::AccountStatus::Closed) => AccountStatus::Closed,
        Ok(proto::AccountStatus::Unspecified) | Err(_) => {
            return Err(unknown("account status", value));
        }
    })
}

/// An account's limits. Whether they contradict each other was judged when they were set; a
/// stricter rule of later times must not make old records unreadable.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn limits(limits: proto::Limits) -> Result<Limits, RecordError> {
    Ok(Limits {
        minimum: limits.minimum.as_ref().map(signed),
        maximum: limits.maximum.as_ref().map(signed),
        per_transaction: limits.per_transaction.as_ref().map(amount).transpose()?,
        velocity: limits
            .velocity
            .iter()
            .map(velocity_limit)
            .collect::<Result<_, _>>()?,
    })
}

fn velocity_limit(limit: &proto::VelocityLimit) -> Result<VelocityLimit, RecordError> {
    use proto::velocity_limit as of;
    Ok(VelocityLimit {
        direction: match of::Direction::try_from(limit.direction) {
            Ok(of::Direction::Outflow) => Direction::Outflow,
            Ok(of::Direction::Inflow) => Direction::Inflow,
            Ok(of::Direction::Unspecified) | Err(_) => {
                return Err(unknown("velocity limit direction", limit.direction));
            }
        },
        window: match some(limit.window, "velocity limit window")? {
            of::Window::CalendarDay(_) => VelocityWindow::CalendarDay,
            of::Window::CalendarMonth(_) => VelocityWindow::CalendarMonth,
            of::Window::RollingSeconds(seconds) => VelocityWindow::Rolling { seconds },
        },
        amount: amount(&some(limit.amount, "velocity limit amount")?)?,
    })
}

/// An account's terms.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn account_terms(terms: proto::AccountTerms) -> Result<AccountTerms, RecordError> {
    Ok(AccountTerms {
        name: account_name(&terms.name)?,
        asset: asset_of(terms.asset)?,
        account_type: account_type(terms.r#type)?,
        limits: terms.limits.map(limits).transpose()?.unwrap_or_default(),
        metadata: metadata(terms.metadata)?,
    })
}

/// An account's number.
///
/// # Errors
/// [`RecordError`] for zero.
pub fn account_number(number: u32) -> Result<AccountNumber, RecordError> {
    if number == 0 {
        return Err(RecordError::invalid("account number", "numbers start at 1"));
    }
    Ok(AccountNumber(number))
}

/// An account's totals and version.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn balance(b: &proto::Balance) -> Result<ResultingBalance, RecordError> {
    Ok(ResultingBalance {
        account: account_number(b.account)?,
        version: b.version,
        totals: Totals {
            debits_posted: whole(b.debits_posted, b.debits_posted_high, "debits posted")?,
            credits_posted: whole(b.credits_posted, b.credits_posted_high, "credits posted")?,
            debits_pending: whole(b.debits_pending, b.debits_pending_high, "debits pending")?,
            credits_pending: whole(b.credits_pending, b.credits_pending_high, "credits pending")?,
        },
    })
}

fn balances(balances: &[proto::Balance]) -> Result<Vec<ResultingBalance>, RecordError> {
    balances.iter().map(balance).collect()
}

/// A transaction's id.
///
/// # Errors
/// [`RecordError::WrongLength`].
pub fn transaction_id(bytes: &[u8]) -> Result<TransactionId, RecordError> {
    Ok(TransactionId(u128::from_be_bytes(exactly(
        bytes,
        "transaction id",
    )?)))
}

/// A key, the engine's own included.
///
/// # Errors
/// [`RecordError`] when it is none.
pub fn key(key: proto::record::Key) -> Result<IdempotencyKey, RecordError> {
    match key {
        proto::record::Key::KeyUuid(uuid) => {
            IdempotencyKey::from_uuid(u128::from_be_bytes(exactly(&uuid, "key")?)).of("key")
        }
        proto::record::Key::KeyText(text) => IdempotencyKey::text(&text).of("key"),
    }
}

/// A transaction's status.
///
/// # Errors
/// [`RecordError::UnknownValue`].
pub fn transaction_status(value: i32) -> Result<TransactionStatus, RecordError> {
    Ok(match proto::TransactionStatus::try_from(value) {
        Ok(proto::TransactionStatus::Posted) => TransactionStatus::Posted,
        Ok(proto::TransactionStatus::Pending) => TransactionStatus::Pending,
        Ok(proto::TransactionStatus::Voided) => TransactionStatus::Voided,
        Ok(proto::TransactionStatus::Expired) => TransactionStatus::Expired,
        Ok(proto::TransactionStatus::Unspecified) | Err(_) => {
            return Err(unknown("transaction status", value));
        }
    })
}

/// A posting.
pub fn posting(posting: &proto::Posting) -> Result<Posting, RecordError> {
    Ok(Posting {
        debit: account_number(posting.debit)?,
        credit: account_number(posting.credit)?,
        amount: whole(posting.amount, posting.amount_high, "posting amount")?,
    })
}

fn progress(progress: &proto::Progress) -> Result<Progress, RecordError> {
    let of = |value: &Option<proto::UInt128>| value.as_ref().map_or(Ok(Amount::ZERO), amount);
    Ok(Progress {
        captured: of(&progress.captured)?,
        reversed: of(&progress.reversed)?,
    })
}

fn kind(kind: Option<proto::transaction::Kind>) -> Result<TransactionKind, RecordError> {
    use proto::transaction::Kind;
    Ok(match kind {
        None => TransactionKind::Direct,
        Some(Kind::Hold(terms)) => TransactionKind::Hold(HoldTerms {
            expires_at: terms
                .expires_at
                .map(|micros| timestamp(micros, "expires_at"))
                .transpose()?,
            over_capture_up_to: terms.over_capture_up_to.as_ref().map(amount).transpose()?,
        }),
        Some(Kind::CaptureOf(hold)) => TransactionKind::Capture(transaction_id(&hold)?),
        Some(Kind::ReversalOf(original)) => TransactionKind::Reversal(transaction_id(&original)?),
    })
}

/// A transaction, as it stands in the record `enclosing`; `None` for outside of records.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn transaction(
    t: proto::Transaction,
    enclosing: Option<&Enclosing>,
) -> Result<Transaction, RecordError> {
    let id = if t.id.is_empty() {
        some(enclosing.and_then(|record| record.id), "transaction id")?
    } else {
        transaction_id(&t.id)?
    };
    let effective_at = if t.effective_is_recorded {
        some(enclosing, "effective_at")?.recorded_at
    } else {
        timestamp(t.effective_at, "effective_at")?
    };
    Ok(Transaction {
        id,
        status: transaction_status(t.status)?,
        kind: kind(t.kind)?,
        effective_at,
        postings: t.postings.iter().map(posting).collect::<Result<_, _>>()?,
        progress: t.progress.iter().map(progress).collect::<Result<_, _>>()?,
        sources: t.sources,
        description: text_or_none(t.description)?,
        metadata: metadata(t.metadata)?,
        limits: match t.record_only_reason {
            None => LimitsMode::Enforce,
            Some(reason) => LimitsMode::RecordOnly(text(reason)?),
        },
        version: t.version,
    })
}

/// An event, as it stands in the record `enclosing`.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn event(event: proto::Event, enclosing: &Enclosing) -> Result<Event, RecordError> {
    if let Some(proto::event::Event::Atomic(atomic)) = event.event {
        let events = atomic
            .events
            .into_iter()
            .map(|member| single(member, enclosing));
        return Ok(Event::Atomic(events.collect::<Result<_, _>>()?));
    }
    single(event, enclosing)
}

/// An event that is not atomic: members of an atomic one are never atomic themselves.
fn single(event: proto::Event, enclosing: &Enclosing) -> Result<Event, RecordError> {
    use proto::event::Event as Of;
    let whole =
        |t: Option<proto::Transaction>| transaction(some(t, "transaction")?, Some(enclosing));
    Ok(match some(event.event, "event")? {
        Of::LedgerCreated(terms) => Event::LedgerCreated(ledger_terms(terms)?),
        Of::LedgerUpdated(terms) => Event::LedgerUpdated(ledger_terms(terms)?),
        Of::AccountOpened(e) => Event::AccountOpened(AccountOpened {
            number: account_number(e.number)?,
            terms: account_terms(some(e.terms, "account terms")?)?,
        }),
        Of::AccountUpdated(e) => Event::AccountUpdated(AccountUpdated {
            number: account_number(e.number)?,
            version: e.version,
            terms: account_terms(some(e.terms, "account terms")?)?,
        }),
        Of::AccountStatusChanged(e) => Event::AccountStatusChanged(AccountStatusChanged {
            number: account_number(e.number)?,
            version: e.version,
            status: account_status(e.status)?,
            reason: text_or_none(e.reason)?,
        }),
        Of::TransactionCreated(e) => Event::TransactionCreated(TransactionCreated {
            transaction: whole(e.transaction)?,
            balances: balances(&e.balances)?,
        }),
        Of::TransactionCaptured(e) => Event::TransactionCaptured(TransactionCaptured {
            capture: whole(e.capture)?,
            hold: whole(e.hold)?,
            balances: balances(&e.balances)?,
        }),
        Of::TransactionReleased(e) => Event::TransactionReleased(TransactionReleased {
            hold: whole(e.hold)?,
            expired: e.expired,
            reason: text_or_none(e.reason)?,
            balances: balances(&e.balances)?,
        }),
        Of::TransactionReversed(e) => Event::TransactionReversed(TransactionReversed {
            reversal: whole(e.reversal)?,
            original: whole(e.original)?,
            balances: balances(&e.balances)?,
        }),
        Of::TransactionUpdated(e) => Event::TransactionUpdated(TransactionUpdated {
            transaction: whole(e.transaction)?,
        }),
        Of::BooksChanged(e) => Event::BooksChanged(BooksChanged {
            closed_through: e
                .closed_through
                .map(|micros| timestamp(micros, "closed_through"))
                .transpose()?,
            reason: text_or_none(e.reason)?,
            version: e.version,
        }),
        Of::Atomic(_) => return Err(RecordError::invalid("event", "an atomic event in another")),
    })
}

/// A refusal.
///
/// # Errors
/// [`RecordError::UnknownValue`] for a code that this build does not know.
pub fn rejection(rejection: proto::Rejection) -> Result<Rejection, RecordError> {
    let code = Code::parse(&rejection.code).ok_or(RecordError::UnknownValue {
        field: "rejection code",
        value: rejection.code,
    })?;
    Ok(Rejection {
        code,
        figures: rejection
            .figures
            .into_iter()
            .map(|figure| (Cow::Owned(figure.name), figure.value))
            .collect(),
        member: rejection.member,
    })
}
