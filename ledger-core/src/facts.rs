//! What a decision needs and memory may no longer hold.

use std::collections::BTreeMap;

use crate::key::{IdempotencyKey, TransactionId};
use crate::transaction::Transaction;

/// How a request is told from another under the same key: the first 128 bits of BLAKE3 over
/// its canonical form (see [`crate::canonical`]).
pub type RequestHash = [u8; 16];

/// Which decision a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    /// Of the request that was decided.
    pub request_hash: RequestHash,
    /// The shard's sequence of the record that holds the decision.
    pub sequence: u64,
}

/// What must be loaded before a command can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactsNeeded {
    /// A key that memory alone cannot judge.
    pub key: Option<IdempotencyKey>,
    /// Transactions that memory does not hold.
    pub transactions: Vec<TransactionId>,
}

impl FactsNeeded {
    /// True when memory suffices.
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.transactions.is_empty()
    }
}

/// What was loaded from the index. Not logged: an event carries all that replay needs.
///
/// What is absent was asked for and is not there. So facts serve the commands that they were
/// loaded for, and memory must let go of nothing between `facts_needed` and `decide`: what it
/// held when it was asked would be missed then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The shard's sequence that all of this is true at (every record up to it is covered).
    /// Must not be before [`crate::ledger::LedgerState::forgotten_through`].
    pub through: u64,
    /// What the key that was asked for stands for; absent when it was never used.
    pub keys: BTreeMap<IdempotencyKey, KeyEntry>,
    /// The transactions that were asked for and exist.
    pub transactions: BTreeMap<TransactionId, Transaction>,
}
