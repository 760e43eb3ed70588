//! Finds records in the log by their sequence, for keys that repeat. Keeps what it read last, and
//! reads on from there, since repeats come in rows: a batch, or a whole file, that is sent again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ports::log::{LogEntry, LogError, LogReader};
use schemas::error::Fault;
use schemas::record::{RecordError, SealedRecord, frame};

/// Stretches of the log that are kept, and their bytes in all.
const STRETCHES_MAX: usize = 16;
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is asked for no further than this behind something that was asked for goes on with a row.
const ROW: u64 = 65_536;

/// Bytes that are read at once in a row.
const ROW_BYTES: usize = 1024 * 1024;

/// Entries that follow each other; their records are not decoded yet, only some will be asked for.
#[derive(Debug)]
struct Stretch {
    bytes: usize,
    /// In order, each with the sequence of its first record.
    entries: Vec<(u64, Vec<Bytes>)>,
}

impl Stretch {
    fn of(entries: Vec<LogEntry>) -> Result<Self, RecordError> {
        let mut stretch = Self {
            bytes: 0,
            entries: Vec::with_capacity(entries.len()),
        };
        for entry in entries {
            // A control entry has none.
            if entry.record_count > 0 {
                stretch.bytes += entry.body.len();
                let records = frame::split(entry.body)?;
                stretch.entries.push((entry.first_sequence, records));
            }
        }
        Ok(stretch)
    }

    fn record(&self, sequence: u64) -> Option<&Bytes> {
        let after = self
            .entries
            .partition_point(|(first, _)| *first <= sequence);
        let (first, records) = self.entries.get(after.checked_sub(1)?)?;
        records.get(usize::try_from(sequence - first).ok()?)
    }

    /// Whether `sequence` stands a little behind its beginning.
    fn leads_to(&self, sequence: u64) -> bool {
        let first = self.entries.first().map(|(first, _)| *first);
        first.is_some_and(|first| first <= sequence && sequence - first <= ROW)
    }
}

/// Finds records of one shard.
pub(crate) struct Finder {
    reader: Arc<dyn LogReader>,
    shard: u32,
    recent: Mutex<VecDeque<Arc<Stretch>>>,
}

impl Finder {
    pub(crate) fn new(reader: Arc<dyn LogReader>, shard: u32) -> Self {
        Self {
            reader,
            shard,
            recent: Mutex::default(),
        }
    }

    /// The committed record of `sequence`.
    pub(crate) async fn find(&self, sequence: u64) -> Result<SealedRecord, Fault> {
        let stretch = match self.known(sequence) {
            Some(stretch) => stretch,
            None => self.read(sequence).await?,
        };
        let bytes = stretch.record(sequence).cloned().ok_or_else(|| {
            Fault::internal(format!(
                "the log's entry of record {sequence} does not hold it"
            ))
        })?;
        schemas::record::decode(bytes)
            .map_err(|error| Fault::internal(format!("record {sequence} cannot be read: {error}")))
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Stretch>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, sequence: u64) -> Option<Arc<Stretch>> {
        let mut recent = self.recent();
        let at = recent
            .iter()
            .position(|stretch| stretch.record(sequence).is_some())?;
        let stretch = recent.remove(at)?;
        recent.push_front(Arc::clone(&stretch));
        Some(stretch)
    }

    async fn read(&self, sequence: u64) -> Result<Arc<Stretch>, Fault> {
        let in_a_row = self.recent().iter().any(|known| known.leads_to(sequence));
        let found = self.reader.entry_of(self.shard, sequence).await;
        let entry = found.map_err(fault)?.ok_or_else(|| {
            Fault::internal(format!(
                "record {sequence} is not in the log, though a key points to it"
            ))
        })?;
        let entries = match in_a_row {
            true => {
                let read = self.reader.read(self.shard, entry.position, ROW_BYTES);
                read.await.map_err(fault)?
            }
            false => vec![entry],
        };
        let stretch = Stretch::of(entries).map_err(|error| {
            Fault::internal(format!(
                "the log's entries from that of record {sequence} on cannot be read: {error}"
            ))
        })?;
        let stretch = Arc::new(stretch);
        let mut recent = self.recent();
        recent.push_front(Arc::clone(&stretch));
        let size = |recent: &VecDeque<Arc<Stretch>>| recent.iter().map(|s| s.bytes).sum::<usize>();
        while recent.len() > 1 && (recent.len() > STRETCHES_MAX || size(&recent) > BYTES_MAX) {
            recent.pop_back();
        }
        Ok(stretch)
    }
}

fn fault(error: LogError) -> Fault {
    match error {
        LogError::Unavailable(_) | LogError::Locked(_) | LogError::NotOwner { .. } => {
            Fault::unavailable(error.to_string())
        }
        LogError::Damaged { .. } | LogError::Unusable(_) => Fault::LogDamaged {
            why: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use ports::log::{Begin, EventLog as _, Position};
    use ports::memory::{MemoryLog, RandomBooks, Scribe};
    use schemas::record::LogId;
    use tokio::sync::watch;

    use super::*;

    /// Counts how often the log is read.
    struct Counted {
        reader: Arc<dyn LogReader>,
        reads: AtomicUsize,
    }

    #[async_trait]
    impl LogReader for Counted {
        async fn read(
            &self,
            shard: u32,
            from: Position,
            bytes_max: usize,
        ) -> Result<Vec<LogEntry>, LogError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.reader.read(shard, from, bytes_max).await
        }

        async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.reader.entry_of(shard, sequence).await
        }

        async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
            self.reader.begins(shard).await
        }

        async fn read_damaged(
            &self,
            shard: u32,
            position: Position,
        ) -> Result<Option<LogEntry>, LogError> {
            self.reader.read_damaged(shard, position).await
        }

        fn watch(&self, shard: u32) -> watch::Receiver<u64> {
            self.reader.watch(shard)
        }
    }

    #[tokio::test]
    async fn a_row_of_repeats_does_not_read_the_log_once_each() {
        let scribe = Scribe::new(MemoryLog::new(LogId([4; 16]), 1)).await;
        RandomBooks::new(scribe.clone(), "bank", 1).write(400).await;
        let log = scribe.log();
        let reader = Arc::new(Counted {
            reader: log.reader(),
            reads: AtomicUsize::new(0),
        });
        let finder = Finder::new(Arc::clone(&reader) as _, 0);
        let last = *log.reader().watch(0).borrow() - 1;
        assert!(last > 300);
        for sequence in (1..=last).step_by(2) {
            let found = finder.find(sequence).await.unwrap();
            assert_eq!(found.record.sequence, sequence);
        }
        let reads = reader.reads.load(Ordering::Relaxed);
        assert!(reads < 10, "{reads} reads for {} records", last / 2);
        // One that stands alone costs its own entry only, and what is not there is not found.
        assert!(finder.find(last + 1).await.is_err());
    }
}
