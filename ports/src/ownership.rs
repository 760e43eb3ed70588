//! Which shards this node is to write, and where the others are written.
//!
//! An assignment is permission to claim, never proof: what keeps two writers apart is the log's
//! fencing. A hint of an owner is worth one try, no more.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

/// What this node is to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Grows with every change; 0 before the first assignment. A shard that a claim was refused
    /// for ([`crate::log::LogError::NotOwner`]) may be claimed again once this has grown.
    pub generation: u64,
    /// The shards. While shards are on their way between nodes: none.
    pub shards: BTreeSet<u32>,
}

/// Shares the shards out among nodes.
#[async_trait]
pub trait Ownership: fmt::Debug + Send + Sync + 'static {
    /// What this node is to write, now and as it changes. A shard that is taken away is not
    /// given to another node before its writer has said [`Self::released`], or a bounded time
    /// has passed.
    fn assignment(&self) -> watch::Receiver<Assignment>;

    /// The writer of `shard` has finished what it had begun, and writes nothing more until the
    /// shard is given to this node again. Said after every assignment that lacks a shard which
    /// the one before had.
    fn released(&self, shard: u32);

    /// The writer of `shard` serves here, in `epoch`: others may be told this node's address.
    fn announce(&self, shard: u32, epoch: u64);

    /// Address of the node that is believed to write `shard`, where that is another one.
    fn owner(&self, shard: u32) -> Option<Arc<str>>;

    /// True where all shards are this node's for ever, and nobody else can be meant.
    fn is_fixed(&self) -> bool {
        false
    }

    /// Gives all shards away, for a clean stop: the writers have ended before this is called.
    async fn leave(&self) {}
}

/// All shards are this node's: there is no other.
#[derive(Debug)]
pub struct AllShards {
    assignment: watch::Sender<Assignment>,
}

impl AllShards {
    /// Of a log of `shard_count` shards.
    pub fn new(shard_count: u32) -> Self {
        Self {
            assignment: watch::Sender::new(Assignment {
                generation: 1,
                shards: (0..shard_count).collect(),
            }),
        }
    }
}

#[async_trait]
impl Ownership for AllShards {
    fn assignment(&self) -> watch::Receiver<Assignment> {
        self.assignment.subscribe()
    }

    fn released(&self, _shard: u32) {}

    fn announce(&self, _shard: u32, _epoch: u64) {}

    fn owner(&self, _shard: u32) -> Option<Arc<str>> {
        None
    }

    fn is_fixed(&self) -> bool {
        true
    }
}
