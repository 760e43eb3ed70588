//! Core types to messages.

use bytes::Bytes;
use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Direction, FreezeScope, Limits,
    Totals, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::{Event, LedgerTerms, ResultingBalance};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::rejection::Rejection;
use ledger_core::text::{Metadata, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};

use super::Enclosing;
use crate::proto::record::v1 as proto;

fn halves(number: u128) -> (u64, u64) {
    (number as u64, (number >> 64) as u64)
}

/// An amount.
pub fn amount(amount: Amount) -> proto::UInt128 {
    let (low, high) = halves(amount.minor_units());
    proto::UInt128 { low, high }
}

/// An amount, left out where it is zero.
fn amount_or_none(value: Amount) -> Option<proto::UInt128> {
    (!value.is_zero()).then(|| amount(value))
}

/// A signed number of minor units.
pub fn signed(value: i128) -> proto::Int128 {
    proto::Int128 {
        low: value as u64,
        high: (value >> 64) as i64,
    }
}

/// A text.
pub fn text(text: &Text) -> proto::Text {
    let text = match text {
        Text::Plain(plain) => proto::text::Text::Plain(plain.as_ref().to_owned()),
        Text::Sealed(sealed) => proto::text::Text::Sealed(proto::Sealed {
            key_id: sealed.key_id.as_ref().to_owned(),
            nonce: Bytes::copy_from_slice(&sealed.nonce),
            ciphertext: Bytes::copy_from_slice(&sealed.ciphertext),
        }),
    };
    proto::Text { text: Some(text) }
}

/// Metadata, sorted by key.
pub fn metadata(metadata: &Metadata) -> Vec<proto::MetadataEntry> {
    metadata
        .entries()
        .iter()
        .map(|(key, value)| proto::MetadataEntry {
            key: key.as_ref().to_owned(),
            value: Some(text(value)),
        })
        .collect()
}

/// An asset.
pub fn asset(asset: &Asset) -> proto::Asset {
    proto::Asset {
        code: asset.code().to_owned(),
        exponent: u32::from(asset.exponent()),
    }
}

/// A ledger's terms.
pub fn ledger_terms(terms: &LedgerTerms) -> proto::LedgerTerms {
    proto::LedgerTerms {
        time_zone: terms.time_zone.as_ref().to_owned(),
        cut_off_seconds: terms.cut_off_seconds,
        description: terms.description.as_ref().map(text),
        metadata: metadata(&terms.metadata),
        settlement_accounts: terms
            .settlement_accounts
            .iter()
            .map(settlement_account)
            .collect(),
        version: terms.version,
    }
}

fn settlement_account((of, account): &(Asset, AccountName)) -> proto::SettlementAccount {
    proto::SettlementAccount {
        asset: Some(asset(of)),
        account: account.as_str().to_owned(),
    }
}

/// An account's type.
pub fn account_type(account_type: AccountType) -> proto::AccountType {
    match account_type {
        AccountType::Asset => proto::AccountType::Asset,
        AccountType::Liability => proto::AccountType::Liability,
        AccountType::Equity => proto::AccountType::Equity,
        AccountType::Income => proto::AccountType::Income,
        AccountType::Expense => proto::AccountType::Expense,
        AccountType::Memo => proto::AccountType::Memo,
    }
}

/// An account's status.
pub fn account_status(status: AccountStatus) -> proto::AccountStatus {
    match status {
        AccountStatus::Open => proto::AccountStatus::Open,
        AccountStatus::Frozen(FreezeScope::Debits) => proto::AccountStatus::FrozenDebits,
        AccountStatus::Frozen(FreezeScope::Credits) => proto::AccountStatus::FrozenCredits,
        AccountStatus::Frozen(FreezeScope::All) => proto::AccountStatus::FrozenAll,
        AccountStatus::Closed => proto::AccountStatus::Closed,
    }
}

/// An account's limits.
pub fn limits(limits: &Limits) -> proto::Limits {
    proto::Limits {
        minimum: limits.minimum.map(signed),
        maximum: limits.maximum.map(signed),
        per_transaction: limits.per_transaction.map(amount),
        velocity: limits.velocity.iter().map(velocity_limit).collect(),
    }
}

fn velocity_limit(limit: &VelocityLimit) -> proto::VelocityLimit {
    use proto::velocity_limit as of;
    proto::VelocityLimit {
        direction: match limit.direction {
            Direction::Outflow => of::Direction::Outflow,
            Direction::Inflow => of::Direction::Inflow,
        }
        .into(),
        amount: Some(amount(limit.amount)),
        window: Some(match limit.window {
            VelocityWindow::CalendarDay => of::Window::CalendarDay(true),
            VelocityWindow::CalendarMonth => of::Window::CalendarMonth(true),
            VelocityWindow::Rolling { seconds } => of::Window::RollingSeconds(seconds),
        }),
    }
}

/// An account's terms.
pub fn account_terms(terms: &AccountTerms) -> proto::AccountTerms {
    let limits = (terms.limits != Limits::default()).then(|| limits(&terms.limits));
    proto::AccountTerms {
        name: terms.name.as_str().to_owned(),
        asset: Some(asset(&terms.asset)),
        r#type: account_type(terms.account_type).into(),
        limits,
        metadata: metadata(&terms.metadata),
    }
}

/// An account's totals and version.
pub fn balance(account: AccountNumber, version: u64, totals: &Totals) -> proto::Balance {
    let (debits_posted, debits_posted_high) = halves(totals.debits_posted.minor_units());
    let (credits_posted, credits_posted_high) = halves(totals.credits_posted.minor_units());
    let (debits_pending, debits_pending_high) = halves(totals.debits_pending.minor_units());
    let (credits_pending, credits_pending_high) = halves(totals.credits_pending.minor_units());
    proto::Balance {
        account: account.0,
        version,
        debits_posted,
        credits_posted,
        debits_pending,
        credits_pending,
        debits_posted_high,
        credits_posted_high,
        debits_pending_high,
        credits_pending_high,
    }
}

fn balances(balances: &[ResultingBalance]) -> Vec<proto::Balance> {
    balances
        .iter()
        .map(|b| balance(b.account, b.version, &b.totals))
        .collect()
}

/// 16 bytes, big-endian.
pub fn transaction_id(id: TransactionId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// A key.
pub fn key(key: &IdempotencyKey) -> proto::record::Key {
    match key {
        IdempotencyKey::Uuid(uuid) => {
            proto::record::Key::KeyUuid(transaction_id(TransactionId(*uuid)))
        }
        IdempotencyKey::Text(text) => proto::record::Key::KeyText(text.as_ref().to_owned()),
    }
}

/// A transaction's status.
pub fn transaction_status(status: TransactionStatus) -> proto::TransactionStatus {
    match status {
        TransactionStatus::Posted => proto::TransactionStatus::Posted,
        TransactionStatus::Pending => proto::TransactionStatus::Pending,
        TransactionStatus::Voided => proto::TransactionStatus::Voided,
        TransactionStatus::Expired => proto::TransactionStatus::Expired,
    }
}

/// A posting.
pub fn posting(posting: &Posting) -> proto::Posting {
    let (amount, amount_high) = halves(posting.amount.minor_units());
    proto::Posting {
        debit: posting.debit.0,
        credit: posting.credit.0,
        amount,
        amount_high,
    }
}

fn progress(progress: &Progress) -> proto::Progress {
    proto::Progress {
        captured: amount_or_none(progress.captured),
        reversed: amount_or_none(progress.reversed),
    }
}

fn kind(kind: &TransactionKind) -> Option<proto::transaction::Kind> {
    use proto::transaction::Kind;
    match kind {
        TransactionKind::Direct => None,
        TransactionKind::Hold(terms) => Some(Kind::Hold(proto::HoldTerms {
            expires_at: terms.expires_at.map(Timestamp::micros),
            over_capture_up_to: terms.over_capture_up_to.map(amount),
        })),
        TransactionKind::Capture(hold) => Some(Kind::CaptureOf(transaction_id(*hold))),
        TransactionKind::Reversal(original) => Some(Kind::ReversalOf(transaction_id(*original))),
    }
}

/// A transaction, as it stands in the record `enclosing`; `None` for outside of records.
pub fn transaction(transaction: &Transaction, enclosing: Option<&Enclosing>) -> proto::Transaction {
    let same_id = enclosing.is_some_and(|record| record.id == Some(transaction.id));
    let same_time = enclosing.is_some_and(|record| record.recorded_at == transaction.effective_at);
    proto::Transaction {
        id: if same_id {
            Bytes::new()
        } else {
            transaction_id(transaction.id)
        },
        status: transaction_status(transaction.status).into(),
        effective_at: if same_time {
            0
        } else {
            transaction.effective_at.micros()
        },
        effective_is_recorded: same_time,
        postings: transaction.postings.iter().map(posting).collect(),
        progress: transaction.progress.iter().map(progress).collect(),
        sources: transaction.sources.clone(),
        description: transaction.description.as_ref().map(text),
        metadata: metadata(&transaction.metadata),
        record_only_reason: match &transaction.limits {
            LimitsMode::Enforce => None,
            LimitsMode::RecordOnly(reason) => Some(text(reason)),
        },
        version: transaction.version,
        kind: kind(&transaction.kind),
    }
}

/// An event, as it stands in the record `enclosing`.
pub fn event(event: &Event, enclosing: &Enclosing) -> proto::Event {
    use proto::event::Event as Of;
    let whole = |t: &Transaction| Some(transaction(t, Some(enclosing)));
    let event = match event {
        Event::LedgerCreated(terms) => Of::LedgerCreated(ledger_terms(terms)),
        Event::LedgerUpdated(terms) => Of::LedgerUpdated(ledger_terms(terms)),
        Event::AccountOpened(e) => Of::AccountOpened(proto::AccountOpened {
            number: e.number.0,
            terms: Some(account_terms(&e.terms)),
        }),
        Event::AccountUpdated(e) => Of::AccountUpdated(proto::AccountUpdated {
            number: e.number.0,
            version: e.version,
            terms: Some(account_terms(&e.terms)),
        }),
        Event::AccountStatusChanged(e) => Of::AccountStatusChanged(proto::AccountStatusChanged {
            number: e.number.0,
            version: e.version,
            status: account_status(e.status).into(),
            reason: e.reason.as_ref().map(text),
        }),
        Event::TransactionCreated(e) => Of::TransactionCreated(proto::TransactionCreated {
            transaction: whole(&e.transaction),
            balances: balances(&e.balances),
        }),
        Event::TransactionCaptured(e) => Of::TransactionCaptured(proto::TransactionCaptured {
            capture: whole(&e.capture),
            hold: whole(&e.hold),
            balances: balances(&e.balances),
        }),
        Event::TransactionReleased(e) => Of::TransactionReleased(proto::TransactionReleased {
            hold: whole(&e.hold),
            expired: e.expired,
            reason: e.reason.as_ref().map(text),
            balances: balances(&e.balances),
        }),
        Event::TransactionReversed(e) => Of::TransactionReversed(proto::TransactionReversed {
            reversal: whole(&e.reversal),
            original: whole(&e.original),
            balances: balances(&e.balances),
        }),
        Event::TransactionUpdated(e) => Of::TransactionUpdated(proto::TransactionUpdated {
            transaction: whole(&e.transaction),
        }),
        Event::BooksChanged(e) => Of::BooksChanged(proto::BooksChanged {
            closed_through: e.closed_through.map(Timestamp::micros),
            reason: e.reason.as_ref().map(text),
            version: e.version,
        }),
        Event::Atomic(events) => Of::Atomic(proto::Atomic {
            events: events.iter().map(|e| self::event(e, enclosing)).collect(),
        }),
    };
    proto::Event { event: Some(event) }
}

/// A refusal.
pub fn rejection(rejection: &Rejection) -> proto::Rejection {
    proto::Rejection {
        code: rejection.code.as_str().to_owned(),
        figures: rejection
            .figures
            .iter()
            .map(|(name, value)| proto::Figure {
                name: name.clone().into_owned(),
                value: value.clone(),
            })
            .collect(),
        member: rejection.member,
    }
}
