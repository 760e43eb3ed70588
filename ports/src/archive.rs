//! The long-term copy of the log: what is below the trim point of the log's own medium.
//!
//! Entries keep their position, sequence and exact bytes. Control entries, which are outside of
//! the chains, are not archived.

use std::sync::Arc;

use async_trait::async_trait;

use crate::log::{LogEntry, LogError, LogReader, Position};

/// How far the archive has got in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveMark {
    /// Sequence after the last archived record.
    pub next_sequence: u64,
    /// The last archived entry.
    pub position: Position,
}

/// An archive of one log.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// How far it has got in `shard`.
    ///
    /// # Errors
    /// [`LogError::Unavailable`], [`LogError::Unusable`].
    async fn mark(&self, shard: u32) -> Result<Option<ArchiveMark>, LogError>;

    /// Keeps `entries` (in order, the first beginning with the sequence after `from`'s last, or
    /// with 1; control entries are passed over), then moves the mark from `from` to their end by
    /// compare-and-set. Writing the same entries again changes nothing. Gives the new mark.
    ///
    /// # Errors
    /// [`LogError::Unusable`] where the mark is not `from`: someone else moved it, or the store
    /// lost what it had. Entries may have been written, which does no harm.
    async fn append(
        &self,
        shard: u32,
        from: Option<ArchiveMark>,
        entries: &[LogEntry],
    ) -> Result<Option<ArchiveMark>, LogError>;

    /// Reads what was archived, up to the mark, as the log itself would give it.
    fn reader(&self) -> Arc<dyn LogReader>;
}
