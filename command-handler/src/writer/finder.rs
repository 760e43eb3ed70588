//! Finds records in the log by their sequence, for keys that repeat. Keeps the entries that it
//! read last, since repeats come in rows (a batch that is sent again).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ports::log::{LogError, LogReader};
use schemas::error::Fault;
use schemas::record::{SealedRecord, frame};

/// Entries that are kept, and their bytes in all.
const ENTRIES_MAX: usize = 16;
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// An entry's records, not decoded yet: only some will be asked for.
#[derive(Debug)]
struct Entry {
    first_sequence: u64,
    bytes: usize,
    records: Vec<Bytes>,
}

impl Entry {
    fn record(&self, sequence: u64) -> Option<&Bytes> {
        let index = sequence.checked_sub(self.first_sequence)?;
        self.records.get(usize::try_from(index).ok()?)
    }
}

/// Finds records of one shard.
pub(crate) struct Finder {
    reader: Arc<dyn LogReader>,
    shard: u32,
    recent: Mutex<VecDeque<Arc<Entry>>>,
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
        let entry = match self.known(sequence) {
            Some(entry) => entry,
            None => self.read(sequence).await?,
        };
        let bytes = entry.record(sequence).cloned().ok_or_else(|| {
            Fault::internal(format!(
                "the log's entry of record {sequence} does not hold it"
            ))
        })?;
        schemas::record::decode(bytes)
            .map_err(|error| Fault::internal(format!("record {sequence} cannot be read: {error}")))
    }

    fn known(&self, sequence: u64) -> Option<Arc<Entry>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent
            .iter()
            .position(|entry| entry.record(sequence).is_some())?;
        let entry = recent.remove(at)?;
        recent.push_front(Arc::clone(&entry));
        Some(entry)
    }

    async fn read(&self, sequence: u64) -> Result<Arc<Entry>, Fault> {
        let found = self.reader.entry_of(self.shard, sequence).await;
        let entry = found
            .map_err(|error| match error {
                LogError::Unavailable(_) | LogError::Locked(_) | LogError::NotOwner { .. } => {
                    Fault::unavailable(error.to_string())
                }
                LogError::Damaged { .. } | LogError::Unusable(_) => Fault::LogDamaged {
                    why: error.to_string(),
                },
            })?
            .ok_or_else(|| {
                Fault::internal(format!(
                    "record {sequence} is not in the log, though a key points to it"
                ))
            })?;
        let bytes = entry.body.len();
        let records = frame::split(entry.body).map_err(|error| {
            Fault::internal(format!(
                "the log's entry of record {sequence} cannot be read: {error}"
            ))
        })?;
        let entry = Arc::new(Entry {
            first_sequence: entry.first_sequence,
            bytes,
            records,
        });
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(Arc::clone(&entry));
        let size = |recent: &VecDeque<Arc<Entry>>| recent.iter().map(|e| e.bytes).sum::<usize>();
        while recent.len() > 1 && (recent.len() > ENTRIES_MAX || size(&recent) > BYTES_MAX) {
            recent.pop_back();
        }
        Ok(entry)
    }
}
