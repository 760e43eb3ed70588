//! Who may claim a shard.

use async_trait::async_trait;
use ports::log::{Consumed, LogError};
use rdkafka::consumer::ConsumerGroupMetadata;

/// What a claim has to pass, so that a node that was paused and wakes up cannot steal its shard
/// back. Without one (a single node, a migration, tests) claims go without.
#[async_trait]
pub trait ClaimGate: Send + Sync + 'static {
    /// Called before a claim fences anybody. Commits the group's offsets of the shard's
    /// partitions synchronously, under the generation that this node is in now, and gives the
    /// offsets that it committed (at least one): they are committed once more in the
    /// transaction of the barrier, with [`Self::group_metadata`].
    ///
    /// # Errors
    /// [`LogError::NotOwner`] where the shard is not this node's, or the commit was refused;
    /// [`LogError::Unavailable`] where the group cannot be reached.
    async fn admit(&self, shard: u32) -> Result<Admission, LogError>;

    /// The group's metadata as it is now: consumed offsets are committed under it. `None` while
    /// this node is in no group.
    fn group_metadata(&self) -> Option<ConsumerGroupMetadata>;
}

/// Leave to claim a shard.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Offsets of the shard's partitions, as they were just committed. Never empty.
    pub offsets: Vec<Consumed>,
}
