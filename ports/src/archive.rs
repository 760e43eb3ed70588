//! The long-term copy of the log: what is below the trim point of the log's own medium.
//!
//! Entries keep their position, sequence and exact bytes. Control entries, which are outside of
//! the chains, are not archived.

mod read_back;
mod spliced;

use std::sync::Arc;

use async_trait::async_trait;

use crate::log::{LogEntry, LogError, LogReader, Position};

pub use read_back::read_back;
pub use spliced::Spliced;

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

/// The entries of `entries` that have records, after a look whether they go on from `from` and
/// from one another.
///
/// # Errors
/// [`LogError::Unusable`] where records between are missing or come twice.
pub fn successors(
    from: Option<ArchiveMark>,
    entries: &[LogEntry],
) -> Result<Vec<&LogEntry>, LogError> {
    let mut next = from.map_or(1, |mark| mark.next_sequence);
    let mut position = from.map(|mark| mark.position);
    let mut new = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| entry.record_count > 0) {
        if entry.first_sequence != next || position.is_some_and(|last| entry.position <= last) {
            return Err(LogError::Unusable(format!(
                "the archive goes on with record {next}, and the entry at position {} that is \
                 to be archived begins with record {}",
                entry.position.0, entry.first_sequence
            )));
        }
        next = entry.next_sequence();
        position = Some(entry.position);
        new.push(entry);
    }
    Ok(new)
}
