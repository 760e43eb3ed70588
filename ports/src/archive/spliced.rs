//! A log of which only the end is in its own medium.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::log::{Begin, LogEntry, LogError, LogReader, Position};

/// Times that a read begins again since the log was trimmed meanwhile.
const ATTEMPTS: usize = 8;

/// Reads the archive below the place where the log begins, and the log from there on. To who
/// reads it is one log, but that control entries below the trim point are gone.
pub struct Spliced {
    log: Arc<dyn LogReader>,
    archive: Arc<dyn LogReader>,
    /// Where the log was last seen to begin. It only moves up, so whatever is below stays in
    /// the archive, and the log need not be asked.
    begins: Mutex<HashMap<u32, Begin>>,
}

impl Spliced {
    /// Reads `archive` where `log` was trimmed.
    pub fn new(log: Arc<dyn LogReader>, archive: Arc<dyn LogReader>) -> Self {
        Self {
            log,
            archive,
            begins: Mutex::default(),
        }
    }

    async fn log_begins(&self, shard: u32) -> Result<Begin, LogError> {
        let begin = self.log.begins(shard).await?;
        self.begins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard, begin);
        Ok(begin)
    }

    fn known_begin(&self, shard: u32) -> Begin {
        let begins = self.begins.lock().unwrap_or_else(PoisonError::into_inner);
        begins.get(&shard).copied().unwrap_or_default()
    }

    /// Whether the archive holds all records of `shard` before `begin`.
    async fn is_archived(&self, shard: u32, begin: Begin) -> Result<bool, LogError> {
        match begin.sequence.checked_sub(1) {
            None | Some(0) => Ok(true),
            Some(last) => Ok(self.archive.entry_of(shard, last).await?.is_some()),
        }
    }
}

fn lost(shard: u32, begin: Begin) -> LogError {
    LogError::Unusable(format!(
        "the log of shard {shard} was trimmed and begins with record {}, and the archive does \
         not reach up to there",
        begin.sequence
    ))
}

#[async_trait]
impl LogReader for Spliced {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let mut begin = self.known_begin(shard);
        for _ in 0..ATTEMPTS {
            if from < begin.position {
                let mut entries = self.archive.read(shard, from, bytes_max).await?;
                entries.retain(|entry| entry.position < begin.position);
                if !entries.is_empty() {
                    return Ok(entries);
                }
                // Either nothing is missing between `from` and the log, or the archive lacks
                // it. That must never look like the end of the log.
                if !self.is_archived(shard, begin).await? {
                    return Err(lost(shard, begin));
                }
            }
            let start = from.max(begin.position);
            let entries = self.log.read(shard, start, bytes_max).await?;
            if entries.first().is_some_and(|first| first.position == start) {
                return Ok(entries);
            }
            // Asked after reading: a log that does not begin after `start` now did not then.
            begin = self.log_begins(shard).await?;
            if start >= begin.position || begin.sequence <= 1 {
                return Ok(entries);
            }
        }
        Err(LogError::Unavailable(format!(
            "the log of shard {shard} was trimmed again and again while it was read"
        )))
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        if sequence >= self.known_begin(shard).sequence {
            if let Some(entry) = self.log.entry_of(shard, sequence).await? {
                return Ok(Some(entry));
            }
            if sequence >= self.log_begins(shard).await?.sequence {
                return Ok(None);
            }
        }
        self.archive.entry_of(shard, sequence).await
    }

    async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
        let begin = self.log_begins(shard).await?;
        if begin.sequence > 1 && self.is_archived(shard, begin).await? {
            return self.archive.begins(shard).await;
        }
        Ok(begin)
    }

    async fn read_damaged(
        &self,
        shard: u32,
        position: Position,
    ) -> Result<Option<LogEntry>, LogError> {
        match self.log.read_damaged(shard, position).await? {
            Some(entry) => Ok(Some(entry)),
            None => self.archive.read_damaged(shard, position).await,
        }
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.log.watch(shard)
    }
}
