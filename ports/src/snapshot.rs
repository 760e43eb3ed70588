//! Snapshots: state at a sequence, to start from.

use async_trait::async_trait;
use bytes::Bytes;
use schemas::proto::snapshot::v1::Manifest;

/// The store failed, or what it holds is damaged.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be reached now.
    #[error("the snapshot store cannot be reached: {0}")]
    Unavailable(String),
    /// There is no such snapshot: it was never finished, or was removed.
    #[error("snapshot {name} is not there")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// A snapshot is not as it was written (`SNAPSHOT_DAMAGED`).
    #[error("snapshot {name} is damaged: {what}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// A snapshot that was listed.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotEntry {
    /// Its name in the store.
    pub name: String,
    /// What it says of itself; `None` where the manifest is damaged.
    pub manifest: Option<Manifest>,
    /// False where there is no manifest at all: it was never finished, is being made, or is being
    /// removed.
    pub has_manifest: bool,
    /// Compressed bytes of all its chunks.
    pub bytes: u64,
}

/// Keeps snapshots. Chunks are opaque here; the caller compresses them and puts their BLAKE3
/// hashes into the manifest, and `get` checks them.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Writes the chunks, then the manifest, then reads all back and checks it, then moves
    /// `latest` up by a conditional put (never down). Gives the snapshot's name.
    ///
    /// # Errors
    /// [`SnapshotError`]; what was there before is untouched.
    async fn put(&self, manifest: Manifest, chunks: Vec<Bytes>) -> Result<String, SnapshotError>;

    /// All snapshots of `shard`, newest first.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`].
    async fn list(&self, shard: u32) -> Result<Vec<SnapshotEntry>, SnapshotError>;

    /// The snapshot of this name, every chunk checked against its hash. One that is removed
    /// meanwhile is not found, rather than damaged.
    ///
    /// # Errors
    /// [`SnapshotError`].
    async fn get(&self, shard: u32, name: &str) -> Result<(Manifest, Vec<Bytes>), SnapshotError>;

    /// Removes all but the newest `keep` undamaged snapshots of `shard`.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`].
    async fn prune(&self, shard: u32, keep: usize) -> Result<(), SnapshotError>;
}
