//! Reads what was archived, as the log would give it.

use std::sync::Arc;

use async_trait::async_trait;
use ports::archive::ArchiveMark;
use ports::log::{LogEntry, LogError, LogReader, Position};
use tokio::sync::watch;

use super::Keys;
use super::marks::Marks;
use super::value::{Place, decode_entry, decode_place};
use crate::client::{Client, Table};
use crate::rows::Scan;

/// Entries that are read at once, at most.
const ENTRIES_MAX: usize = 4_096;

/// See the module.
pub(super) struct ArchiveReader {
    pub(super) client: Arc<Client>,
    pub(super) keys: Keys,
    pub(super) marks: Arc<Marks>,
}

impl ArchiveReader {
    /// The mark, where it is at or after what is asked for. Beyond the mark rows may stand that
    /// were half written.
    async fn mark_from(
        &self,
        shard: u32,
        reaches: impl Fn(ArchiveMark) -> bool,
    ) -> Result<Option<ArchiveMark>, LogError> {
        match self.marks.last_seen(shard).filter(|mark| reaches(*mark)) {
            Some(mark) => Ok(Some(mark)),
            None => Ok(self.marks.look(shard).await?.filter(|mark| reaches(*mark))),
        }
    }

    /// Where the entries from `from` stand, up to about `bytes_max` together.
    async fn places(
        &self,
        shard: u32,
        from: Position,
        mark: ArchiveMark,
        bytes_max: usize,
    ) -> Result<Vec<Place>, LogError> {
        let scan = Scan {
            from: self.keys.by_position(shard).u64(from.0).0,
            to: self.keys.by_position(shard).u64(mark.position.0).next(),
            reversed: false,
            most: ENTRIES_MAX,
        };
        let rows = self.client.scan(Table::Archive, &scan).await?;
        let mut places = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in &rows {
            let place = decode_place(row).map_err(|what| LogError::Damaged {
                shard,
                position: from,
                what,
            })?;
            bytes += place.bytes;
            if !places.is_empty() && bytes > bytes_max as u64 {
                break;
            }
            places.push(place);
        }
        Ok(places)
    }

    /// The entries at `places`, which follow one another.
    async fn entries(&self, shard: u32, places: &[Place]) -> Result<Vec<LogEntry>, LogError> {
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        let by_sequence = self.keys.by_sequence(shard);
        let scan = Scan {
            from: by_sequence.clone().u64(first.first_sequence).0,
            to: by_sequence.u64(last.first_sequence).next(),
            reversed: false,
            most: places.len(),
        };
        let rows = self.client.scan(Table::Archive, &scan).await?;
        let mut rows = rows.into_iter();
        let mut entries: Vec<LogEntry> = Vec::with_capacity(places.len());
        for place in places {
            let damaged = |what: String| LogError::Damaged {
                shard,
                position: place.position,
                what,
            };
            let row = rows
                .next()
                .ok_or_else(|| damaged("the archive lacks the entry".to_owned()))?;
            let entry = decode_entry(row).map_err(damaged)?;
            let follows = entries
                .last()
                .is_none_or(|last| last.next_sequence() == entry.first_sequence);
            if entry.position != place.position || !follows {
                return Err(damaged(format!(
                    "the archive has records {} to {} in its place",
                    entry.first_sequence,
                    entry.next_sequence().saturating_sub(1)
                )));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[async_trait]
impl LogReader for ArchiveReader {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let Some(mark) = self.mark_from(shard, |mark| mark.position >= from).await? else {
            return Ok(Vec::new());
        };
        let places = self.places(shard, from, mark, bytes_max).await?;
        if places.is_empty() {
            // The mark says that there is an entry.
            return Err(LogError::Damaged {
                shard,
                position: mark.position,
                what: "the archive lacks the entry".to_owned(),
            });
        }
        self.entries(shard, &places).await
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        let reaches = |mark: ArchiveMark| sequence < mark.next_sequence;
        let Some(mark) = self.mark_from(shard, reaches).await? else {
            return Ok(None);
        };
        if sequence == 0 {
            return Ok(None);
        }
        let by_sequence = self.keys.by_sequence(shard);
        let scan = Scan {
            from: by_sequence.clone().first_of(),
            to: by_sequence.u64(sequence).next(),
            reversed: true,
            most: 1,
        };
        let rows = self.client.scan(Table::Archive, &scan).await?;
        let damaged = |position, what| LogError::Damaged {
            shard,
            position,
            what,
        };
        let lacks = || {
            damaged(
                mark.position,
                format!("the archive lacks record {sequence}"),
            )
        };
        let row = rows.into_iter().next().ok_or_else(lacks)?;
        let entry = decode_entry(row).map_err(|what| damaged(mark.position, what))?;
        if sequence >= entry.next_sequence() {
            return Err(lacks());
        }
        Ok(Some(entry))
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.marks.watch(shard)
    }
}
