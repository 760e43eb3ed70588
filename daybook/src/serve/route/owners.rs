//! Who writes which shard.

use std::sync::Arc;

use ledger_core::name::LedgerName;
use ports::ownership::{Assignment, Ownership};
use ports::routing::shard_of;
use ports::strong::{StrongError, StrongQuery, StrongRead, StrongReads};
use schemas::error::Fault;
use tokio::sync::watch;

/// Who writes a shard, as far as is known. A hint only: the log itself sees to it that nobody
/// else writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// This node.
    Here,
    /// The node of this address.
    At(Arc<str>),
    /// Nobody who is known.
    Unknown,
}

/// Knows who writes which shard.
#[derive(Debug, Clone)]
pub(super) struct Owners {
    ownership: Arc<dyn Ownership>,
    assignment: watch::Receiver<Assignment>,
    shard_count: u32,
}

impl Owners {
    pub(super) fn new(ownership: Arc<dyn Ownership>, shard_count: u32) -> Self {
        Self {
            assignment: ownership.assignment(),
            ownership,
            shard_count,
        }
    }

    /// Who writes `shard`.
    pub(super) fn owner(&self, shard: u32) -> Owner {
        if self.is_alone() || self.assignment.borrow().shards.contains(&shard) {
            return Owner::Here;
        }
        match self.ownership.owner(shard) {
            Some(address) => Owner::At(address),
            None => Owner::Unknown,
        }
    }

    /// Any other node that writes a shard.
    pub(super) fn any(&self) -> Option<Arc<str>> {
        (0..self.shard_count).find_map(|shard| self.ownership.owner(shard))
    }

    /// True where this node writes all shards, always.
    pub(super) fn is_alone(&self) -> bool {
        self.ownership.is_fixed()
    }

    /// Why this node does not decide about `shard`.
    pub(super) fn refusal(&self, shard: u32) -> Fault {
        Fault::NotOwner {
            shard,
            owner: self.ownership.owner(shard),
        }
    }
}

/// STRONG reads of a node that writes no shard: another one has to answer.
#[derive(Debug, Clone)]
pub struct NoWriters {
    /// Knows who.
    pub ownership: Arc<dyn Ownership>,
    /// Shards of the log.
    pub shard_count: u32,
}

#[tonic::async_trait]
impl StrongReads for NoWriters {
    async fn read(&self, ledger: &LedgerName, _: StrongQuery) -> Result<StrongRead, StrongError> {
        let shard = shard_of(ledger, self.shard_count);
        Err(StrongError::NotOwner {
            shard,
            owner: self.ownership.owner(shard),
        })
    }
}
