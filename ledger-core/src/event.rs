//! What happened. An event carries all that replay and consumers need: resolved amounts and the
//! resulting balances, so that replay proves itself and a reader needs no state.

use std::sync::Arc;

use crate::account::{AccountNumber, AccountStatus, AccountTerms, Totals};
use crate::asset::Asset;
use crate::name::AccountName;
use crate::text::{Metadata, Text};
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Something that happened in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ledger was made.
    LedgerCreated(LedgerTerms),
    /// Its terms are these now.
    LedgerUpdated(LedgerTerms),
    /// An account was opened, with version 1.
    AccountOpened(AccountOpened),
    /// Its terms are these now.
    AccountUpdated(AccountUpdated),
    /// It was frozen, unfrozen, closed or reopened.
    AccountStatusChanged(AccountStatusChanged),
    /// A transaction was posted or a hold made.
    TransactionCreated(TransactionCreated),
    /// A hold was captured.
    TransactionCaptured(TransactionCaptured),
    /// What was left of a hold was released, by command or by time.
    TransactionReleased(TransactionReleased),
    /// A posted transaction was taken back in part or whole.
    TransactionReversed(TransactionReversed),
    /// A transaction's words changed.
    TransactionUpdated(TransactionUpdated),
    /// The books were closed or reopened.
    BooksChanged(BooksChanged),
    /// All of these, in order, as one.
    Atomic(Vec<Event>),
}

/// What a ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerTerms {
    /// IANA time zone of its calendar.
    pub time_zone: Arc<str>,
    /// Seconds after local midnight at which the next business day begins; 0 is midnight.
    pub cut_off_seconds: u32,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
    /// Counter accounts of deposits and withdrawals, by asset, sorted by asset.
    pub settlement_accounts: Vec<(Asset, AccountName)>,
    /// Counts every event that changed the ledger's terms or closing.
    pub version: u64,
}

/// See [`Event::AccountOpened`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountOpened {
    /// Its number: one more than the ledger's last.
    pub number: AccountNumber,
    /// What it is.
    pub terms: AccountTerms,
}

/// See [`Event::AccountUpdated`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUpdated {
    /// The account.
    pub number: AccountNumber,
    /// Its version now.
    pub version: u64,
    /// Its terms now.
    pub terms: AccountTerms,
}

/// See [`Event::AccountStatusChanged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStatusChanged {
    /// The account.
    pub number: AccountNumber,
    /// Its version now.
    pub version: u64,
    /// Its status now.
    pub status: AccountStatus,
    /// Why.
    pub reason: Option<Text>,
}

/// An account's totals after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultingBalance {
    /// The account.
    pub account: AccountNumber,
    /// Its version now.
    pub version: u64,
    /// Its totals now.
    pub totals: Totals,
}

/// Every account that an event moved, once each, sorted by number.
pub type ResultingBalances = Vec<ResultingBalance>;

/// See [`Event::TransactionCreated`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionCreated {
    /// POSTED, or PENDING for a hold.
    pub transaction: Transaction,
    /// The accounts after it.
    pub balances: ResultingBalances,
}

/// See [`Event::TransactionCaptured`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionCaptured {
    /// The posted transaction that took.
    pub capture: Transaction,
    /// The hold after it: PENDING while more may be captured, else POSTED.
    pub hold: Transaction,
    /// The accounts after it.
    pub balances: ResultingBalances,
}

/// See [`Event::TransactionReleased`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionReleased {
    /// The hold after it: VOIDED or EXPIRED, or POSTED if anything was captured before.
    pub hold: Transaction,
    /// True when time released it.
    pub expired: bool,
    /// Why, as the command said.
    pub reason: Option<Text>,
    /// The accounts after it.
    pub balances: ResultingBalances,
}

/// See [`Event::TransactionReversed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionReversed {
    /// The posted transaction that takes back.
    pub reversal: Transaction,
    /// The original after it.
    pub original: Transaction,
    /// The accounts after it.
    pub balances: ResultingBalances,
}

/// See [`Event::TransactionUpdated`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionUpdated {
    /// The transaction after it.
    pub transaction: Transaction,
}

/// See [`Event::BooksChanged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksChanged {
    /// Effective times before this are refused from now on; `None` for none.
    pub closed_through: Option<Timestamp>,
    /// Why.
    pub reason: Option<Text>,
    /// The ledger's version now.
    pub version: u64,
}
