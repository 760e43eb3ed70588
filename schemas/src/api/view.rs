//! Core types to API messages.

use std::collections::BTreeMap;

use ledger_core::account::{
    Account, AccountNumber, AccountStatus, AccountType, Direction, FreezeScope, Limits, NormalSide,
    Totals, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::LedgerTerms;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::text::{Metadata, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{LimitsMode, Transaction, TransactionKind, TransactionStatus};

use crate::proto::v1;

/// An instant.
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: at.micros().rem_euclid(1_000_000) as i32 * 1_000,
    }
}

/// A text.
pub fn text(text: &Text) -> v1::Text {
    let text = match text {
        Text::Plain(plain) => v1::text::Text::Plain(plain.as_ref().to_owned()),
        Text::Sealed(sealed) => v1::text::Text::Sealed(v1::Sealed {
            key_id: sealed.key_id.as_ref().to_owned(),
            nonce: sealed.nonce.to_vec(),
            ciphertext: sealed.ciphertext.to_vec(),
        }),
    };
    v1::Text { text: Some(text) }
}

/// Metadata.
pub fn metadata(metadata: &Metadata) -> BTreeMap<String, v1::Text> {
    metadata
        .entries()
        .iter()
        .map(|(key, value)| (key.as_ref().to_owned(), text(value)))
        .collect()
}

/// An account's type.
pub fn account_type(account_type: AccountType) -> v1::AccountType {
    match account_type {
        AccountType::Asset => v1::AccountType::Asset,
        AccountType::Liability => v1::AccountType::Liability,
        AccountType::Equity => v1::AccountType::Equity,
        AccountType::Income => v1::AccountType::Income,
        AccountType::Expense => v1::AccountType::Expense,
        AccountType::Memo => v1::AccountType::Memo,
    }
}

/// An account's status.
pub fn account_status(status: AccountStatus) -> v1::AccountStatus {
    match status {
        AccountStatus::Open => v1::AccountStatus::Open,
        AccountStatus::Frozen(FreezeScope::Debits) => v1::AccountStatus::FrozenDebits,
        AccountStatus::Frozen(FreezeScope::Credits) => v1::AccountStatus::FrozenCredits,
        AccountStatus::Frozen(FreezeScope::All) => v1::AccountStatus::FrozenAll,
        AccountStatus::Closed => v1::AccountStatus::Closed,
    }
}

/// A transaction's status.
pub fn transaction_status(status: TransactionStatus) -> v1::TransactionStatus {
    match status {
        TransactionStatus::Posted => v1::TransactionStatus::Posted,
        TransactionStatus::Pending => v1::TransactionStatus::Pending,
        TransactionStatus::Voided => v1::TransactionStatus::Voided,
        TransactionStatus::Expired => v1::TransactionStatus::Expired,
    }
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// An account's limits.
pub fn limits(limits: &Limits) -> v1::Limits {
    v1::Limits {
        minimum: or_empty(limits.minimum),
        maximum: or_empty(limits.maximum),
        per_transaction: or_empty(limits.per_transaction),
        velocity: limits.velocity.iter().map(velocity_limit).collect(),
    }
}

fn velocity_limit(limit: &VelocityLimit) -> v1::VelocityLimit {
    use v1::velocity_limit as of;
    v1::VelocityLimit {
        direction: match limit.direction {
            Direction::Outflow => of::Direction::Outflow,
            Direction::Inflow => of::Direction::Inflow,
        }
        .into(),
        amount: limit.amount.to_string(),
        window: Some(match limit.window {
            VelocityWindow::CalendarDay => of::Window::CalendarDay(true),
            VelocityWindow::CalendarMonth => of::Window::CalendarMonth(true),
            VelocityWindow::Rolling { seconds } => of::Window::RollingSeconds(seconds),
        }),
    }
}

/// A ledger.
pub fn ledger(
    name: &LedgerName,
    terms: &LedgerTerms,
    created_at: Timestamp,
    closed_through: Option<Timestamp>,
    shard: u32,
) -> v1::Ledger {
    v1::Ledger {
        name: name.as_str().to_owned(),
        time_zone: terms.time_zone.as_ref().to_owned(),
        cut_off: cut_off(terms.cut_off_seconds),
        description: terms.description.as_ref().map(text),
        metadata: metadata(&terms.metadata),
        settlement_accounts: terms
            .settlement_accounts
            .iter()
            .map(|(asset, account)| (asset.to_string(), account.as_str().to_owned()))
            .collect(),
        created_at: Some(timestamp(created_at)),
        closed_through: closed_through.map(timestamp),
        version: terms.version,
        shard,
    }
}

/// `HH:MM`, with seconds where there are any.
fn cut_off(seconds: u32) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match seconds {
        0 => format!("{hours:02}:{minutes:02}"),
        _ => format!("{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// An account, with its balance.
pub fn account(ledger: &LedgerName, account: &Account) -> v1::Account {
    v1::Account {
        ledger: ledger.as_str().to_owned(),
        name: account.terms.name.as_str().to_owned(),
        number: account.number.0,
        asset: account.terms.asset.to_string(),
        r#type: account_type(account.terms.account_type).into(),
        status: account_status(account.status).into(),
        limits: Some(limits(&account.terms.limits)),
        metadata: metadata(&account.terms.metadata),
        version: account.version,
        open_holds: account.open_holds,
        opened_at: Some(timestamp(account.opened_at)),
        balance: Some(balance(account)),
    }
}

/// An account's balance now.
pub fn balance(account: &Account) -> v1::Balance {
    balance_of(
        account.terms.name.as_str(),
        account.number,
        account.terms.asset,
        account.normal_side(),
        account.terms.limits.minimum,
        account.version,
        &account.totals,
    )
}

/// The balance that `totals` are on `side`, the account's normal side.
pub fn balance_of(
    name: &str,
    number: AccountNumber,
    asset: Asset,
    side: NormalSide,
    minimum: Option<i128>,
    version: u64,
    totals: &Totals,
) -> v1::Balance {
    let available = totals.available(side);
    v1::Balance {
        account: name.to_owned(),
        account_number: number.0,
        asset: asset.to_string(),
        posted: totals.posted(side).to_string(),
        pending: totals.pending(side).to_string(),
        available: available.to_string(),
        spendable: or_empty(minimum.map(|minimum| available.saturating_sub(minimum))),
        debits_posted: totals.debits_posted.to_string(),
        credits_posted: totals.credits_posted.to_string(),
        debits_pending: totals.debits_pending.to_string(),
        credits_pending: totals.credits_pending.to_string(),
        version,
    }
}

/// A transaction. `recorded_at`, `ledger_sequence` and `key` are those of the record that made
/// it; `name_of` tells name and asset of an account.
pub fn transaction(
    ledger: &LedgerName,
    transaction: &Transaction,
    recorded_at: Timestamp,
    ledger_sequence: u64,
    key: &IdempotencyKey,
    name_of: &dyn Fn(AccountNumber) -> (String, Asset),
) -> v1::Transaction {
    let (hold, capture_of, reversal_of) = match &transaction.kind {
        TransactionKind::Direct => (None, None, None),
        TransactionKind::Hold(terms) => (
            Some(v1::Hold {
                expires_at: terms.expires_at.map(timestamp),
                over_capture_up_to: or_empty(terms.over_capture_up_to),
            }),
            None,
            None,
        ),
        TransactionKind::Capture(hold) => (None, Some(hold), None),
        TransactionKind::Reversal(original) => (None, None, Some(original)),
    };
    v1::Transaction {
        ledger: ledger.as_str().to_owned(),
        id: transaction.id.to_string(),
        status: transaction_status(transaction.status).into(),
        postings: postings(transaction, name_of),
        effective_at: Some(timestamp(transaction.effective_at)),
        recorded_at: Some(timestamp(recorded_at)),
        ledger_sequence,
        description: transaction.description.as_ref().map(text),
        metadata: metadata(&transaction.metadata),
        record_only_reason: match &transaction.limits {
            LimitsMode::Enforce => None,
            LimitsMode::RecordOnly(reason) => Some(text(reason)),
        },
        hold,
        capture_of: or_empty(capture_of),
        reversal_of: or_empty(reversal_of),
        version: transaction.version,
        idempotency_key: key.to_string(),
    }
}

fn postings(
    transaction: &Transaction,
    name_of: &dyn Fn(AccountNumber) -> (String, Asset),
) -> Vec<v1::Posting> {
    let is_hold = matches!(transaction.kind, TransactionKind::Hold(_));
    let shown = |of_this: bool, amount: Amount| or_empty(of_this.then_some(amount));
    transaction
        .postings
        .iter()
        .enumerate()
        .map(|(index, posting)| {
            let (debit, asset) = name_of(posting.debit);
            let (credit, _) = name_of(posting.credit);
            let progress = transaction.progress_of(index);
            v1::Posting {
                debit,
                credit,
                amount: posting.amount.to_string(),
                asset: asset.to_string(),
                captured: shown(is_hold, progress.captured),
                reversed: shown(!is_hold, progress.reversed),
                source: transaction.sources.get(index).copied(),
            }
        })
        .collect()
}
