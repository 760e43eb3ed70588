//! Who writes which shard.

use std::sync::Arc;

use ledger_core::name::LedgerName;
use ports::routing::shard_of;
use ports::strong::{StrongError, StrongQuery, StrongRead, StrongReads};

/// Who writes a shard, as far as is known. A hint only: the log itself sees to it that nobody
/// else writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Here,
    /// The node of this address.
    At(Arc<str>),
    /// Nobody who is known.
    Unknown,
}

/// Knows who writes which shard.
pub trait Owners: Send + Sync + 'static {
    /// Who writes `shard`.
    fn owner(&self, shard: u32) -> Owner;

    /// Any other node that writes a shard.
    fn any(&self) -> Option<Arc<str>> {
        None
    }

    /// True where this node writes all shards, always.
    fn is_alone(&self) -> bool {
        false
    }
}

/// One process writes all shards.
#[derive(Debug, Clone, Copy)]
pub struct AllHere;

impl Owners for AllHere {
    fn owner(&self, _: u32) -> Owner {
        Owner::Here
    }

    fn is_alone(&self) -> bool {
        true
    }
}

/// STRONG reads of a node that writes no shard: another one has to answer.
#[derive(Debug, Clone, Copy)]
pub struct NoWriters {
    /// Shards of the log.
    pub shard_count: u32,
}

#[tonic::async_trait]
impl StrongReads for NoWriters {
    async fn read(&self, ledger: &LedgerName, _: StrongQuery) -> Result<StrongRead, StrongError> {
        Err(StrongError::NotOwner {
            shard: shard_of(ledger, self.shard_count),
        })
    }
}
