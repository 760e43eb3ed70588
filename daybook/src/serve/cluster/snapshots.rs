//! Snapshots as the writers use them: a store that cannot be reached makes a start longer, and
//! never keeps a shard from serving.

use std::sync::Arc;

use bytes::Bytes;
use ports::snapshot::{SnapshotEntry, SnapshotError, SnapshotStore};
use schemas::proto::snapshot::v1::Manifest;

/// A store whose snapshots are as good as none while it cannot be reached: the log has all.
pub struct Dispensable(pub Arc<dyn SnapshotStore>);

#[tonic::async_trait]
impl SnapshotStore for Dispensable {
    async fn put(&self, manifest: Manifest, chunks: Vec<Bytes>) -> Result<String, SnapshotError> {
        self.0.put(manifest, chunks).await
    }

    async fn list(&self, shard: u32) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        match self.0.list(shard).await {
            Err(SnapshotError::Unavailable(why)) => {
                tracing::warn!(
                    shard,
                    %why,
                    "snapshots cannot be reached: the shard is replayed from the log's beginning"
                );
                Ok(Vec::new())
            }
            other => other,
        }
    }

    async fn get(&self, shard: u32, name: &str) -> Result<(Manifest, Vec<Bytes>), SnapshotError> {
        match self.0.get(shard, name).await {
            // Told as one that cannot be used: the one before it is tried, or none.
            Err(SnapshotError::Unavailable(why)) => Err(SnapshotError::Damaged {
                name: name.to_owned(),
                what: format!("it cannot be reached: {why}"),
            }),
            other => other,
        }
    }

    async fn prune(&self, shard: u32, keep: usize) -> Result<(), SnapshotError> {
        self.0.prune(shard, keep).await
    }
}
