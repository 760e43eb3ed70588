//! The state of a ledger as plain data, in one fixed order, for snapshots and comparison.

use crate::account::Account;
use crate::amount::Amount;
use crate::event::LedgerTerms;
use crate::facts::KeyEntry;
use crate::key::IdempotencyKey;
use crate::name::LedgerName;
use crate::time::{Moment, Timestamp};
use crate::transaction::Transaction;

/// Everything that a ledger's state holds. Two states that decide alike have equal images, but
/// for what they still remember of keys and ended transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerImage {
    /// The ledger's name.
    pub name: LedgerName,
    /// `None` when it was not created.
    pub terms: Option<LedgerTerms>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its closing.
    pub closed_through: Option<Timestamp>,
    /// All accounts, by number.
    pub accounts: Vec<AccountImage>,
    /// Open holds, by id.
    pub holds: Vec<HoldImage>,
    /// Keys in memory, by shard sequence, then key.
    pub keys: Vec<(IdempotencyKey, KeyEntry)>,
    /// Transactions in memory that are no open holds, with the shard sequence of the last
    /// record that touched them, by that sequence, then id.
    pub transactions: Vec<(Transaction, u64)>,
    /// Records up to this shard sequence may have left memory.
    pub forgotten_through: u64,
    /// The newest stamp of a UUIDv7 key that left memory.
    pub forgotten_stamp: Option<Timestamp>,
}

/// An account and its velocity counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountImage {
    /// The account.
    pub account: Account,
    /// Per velocity limit of the account: (bucket, amount), by bucket.
    pub velocity: Vec<Vec<(i64, Amount)>>,
}

/// An open hold and when it was made, which says the velocity buckets that count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldImage {
    /// The hold.
    pub hold: Transaction,
    /// When it was made.
    pub made: Moment,
}
