//! STRONG reads: they pass through the writer of the shard like a command, and are answered
//! when the batch that they were ordered with has committed.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::account::Account;
use ledger_core::command::AccountRef;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::Transaction;
use schemas::record::RecordHash;

/// What is asked for; up to 1,000 at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrongQuery {
    /// These accounts.
    Accounts(Vec<AccountRef>),
    /// These open holds.
    OpenHolds(Vec<TransactionId>),
    /// The open holds that touch the account.
    OpenHoldsOf(AccountRef),
    /// Only the position: everything acknowledged before the call is at or before it.
    Position,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrongAnswer {
    /// In order of the question; `None` where never opened.
    Accounts(Vec<Option<Account>>),
    /// In order of the question; `None` where not open.
    OpenHolds(Vec<Option<Transaction>>),
    /// `None` where the account was never opened.
    OpenHoldsOf(Option<Vec<Transaction>>),
    /// Only the position.
    Position,
}

/// An answer, and what it is true at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrongRead {
    /// What was found.
    pub answer: StrongAnswer,
    /// The shard's last committed record when it was answered.
    pub sequence: u64,
    /// The ledger's last committed record.
    pub ledger_sequence: u64,
    /// Its hash.
    pub record_hash: RecordHash,
    /// Its time.
    pub recorded_at: Timestamp,
}

/// Why a STRONG read was not answered.
#[derive(Debug, thiserror::Error)]
pub enum StrongError {
    /// No such ledger.
    #[error("ledger {0} does not exist")]
    LedgerNotFound(LedgerName),
    /// The shard does not serve now; repeat.
    #[error("shard {shard} does not serve now: {why}")]
    Unavailable {
        /// The shard.
        shard: u32,
        /// Why.
        why: String,
    },
    /// Another node writes the shard, or will; ask there.
    #[error("shard {shard} is not this node's{}", .owner.as_ref().map(|at| format!("; ask {at}")).unwrap_or_default())]
    NotOwner {
        /// The shard.
        shard: u32,
        /// Address of the node that is believed to write it.
        owner: Option<Arc<str>>,
    },
    /// Its queue is full; repeat later.
    #[error("the queue of shard {0} is full")]
    Overloaded(u32),
}

/// Reads through the writer.
#[async_trait]
pub trait StrongReads: Send + Sync + 'static {
    /// Answers `query` about `ledger`, with everything acknowledged before the call.
    ///
    /// # Errors
    /// [`StrongError`].
    async fn read(
        &self,
        ledger: &LedgerName,
        query: StrongQuery,
    ) -> Result<StrongRead, StrongError>;
}
