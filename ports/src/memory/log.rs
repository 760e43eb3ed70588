//! An event log in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use schemas::record::{LogId, frame};
use tokio::sync::watch;

use crate::log::{
    Batch, Begin, CommitOutcome, EventLog, LogEntry, LogError, LogReader, LogWriter, Position,
};

/// What the next commit meets with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and the answer says so.
    Aborted,
    /// The medium is full: nothing is written.
    Full,
    /// The answer is lost; the first so many records (all, where there are fewer) are written.
    Torn(u32),
    /// Another writer claims the shard just before.
    Fenced,
}

/// An event log in memory. Clones are the same log.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log_id: LogId,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    stored: Mutex<Stored>,
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Stored {
    entries: Vec<LogEntry>,
    begin: Begin,
    claims: u64,
    epoch: u64,
    faults: VecDeque<Fault>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(log_id: LogId, shard_count: u32) -> Self {
        let shards = (0..shard_count)
            .map(|_| Shard {
                stored: Mutex::default(),
                next: watch::Sender::new(1),
            })
            .collect();
        Self {
            inner: Arc::new(Inner { log_id, shards }),
        }
    }

    /// Lets a coming commit of `shard` meet with `fault`; each call arms one more.
    pub fn fail_next(&self, shard: u32, fault: Fault) {
        self.stored(shard).faults.push_back(fault);
    }

    /// All entries of `shard`.
    pub fn entries(&self, shard: u32) -> Vec<LogEntry> {
        self.stored(shard).entries.clone()
    }

    /// Trims `shard`: nothing before the entry that holds the record of `sequence` can be read
    /// any more. Panics where there is no such entry.
    pub fn trim(&self, shard: u32, sequence: u64) {
        let mut stored = self.stored(shard);
        let first = stored
            .entries
            .iter()
            .find(|entry| (entry.first_sequence..entry.next_sequence()).contains(&sequence))
            .expect("tests trim at records that are there");
        stored.begin = Begin {
            position: first.position,
            sequence: first.first_sequence,
        };
    }

    /// Another log with what `change` makes of this one's entries: with bytes flipped, entries
    /// missing or out of order. Sequences are not counted anew.
    pub fn tampered(&self, change: impl Fn(u32, &mut Vec<LogEntry>)) -> Self {
        let other = Self::new(self.inner.log_id, self.shard_count());
        for shard in 0..self.shard_count() {
            let mut entries = self.entries(shard);
            change(shard, &mut entries);
            let mut stored = other.stored(shard);
            stored.entries = entries;
            let next = next_of(&stored.entries);
            drop(stored);
            other.inner.shards[shard as usize].next.send_replace(next);
        }
        other
    }

    fn stored(&self, shard: u32) -> MutexGuard<'_, Stored> {
        self.inner.stored(shard)
    }
}

impl Inner {
    fn stored(&self, shard: u32) -> MutexGuard<'_, Stored> {
        self.shards[shard as usize]
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, shard: u32, first_sequence: u64, record_count: u32, body: Bytes) -> Position {
        let mut stored = self.stored(shard);
        let position = Position(stored.entries.len() as u64 + 1);
        stored.entries.push(LogEntry {
            position,
            first_sequence,
            record_count,
            body,
        });
        drop(stored);
        self.shards[shard as usize]
            .next
            .send_replace(first_sequence + u64::from(record_count));
        position
    }
}

fn next_of(entries: &[LogEntry]) -> u64 {
    entries.last().map_or(1, LogEntry::next_sequence)
}

#[async_trait]
impl EventLog for MemoryLog {
    fn log_id(&self) -> LogId {
        self.inner.log_id
    }

    fn shard_count(&self) -> u32 {
        self.inner.shards.len() as u32
    }

    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError> {
        if shard >= self.shard_count() {
            return Err(LogError::Unusable(format!("there is no shard {shard}")));
        }
        let (claim, next) = {
            let mut stored = self.stored(shard);
            stored.claims += 1;
            (stored.claims, next_of(&stored.entries))
        };
        self.inner.push(shard, next, 0, barrier);
        Ok(Box::new(Writer {
            inner: Arc::clone(&self.inner),
            shard,
            claim,
        }))
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl LogReader for MemoryLog {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        if shard >= self.shard_count() {
            return Ok(Vec::new());
        }
        let stored = self.stored(shard);
        let mut bytes = 0;
        let from = from.max(stored.begin.position);
        let follow = stored.entries.iter().filter(|entry| entry.position >= from);
        Ok(follow
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.body.len().max(1);
                first || bytes <= bytes_max
            })
            .cloned()
            .collect())
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        let stored = self.stored(shard);
        let begin = stored.begin.position;
        let holds = |entry: &&LogEntry| {
            entry.position >= begin
                && (entry.first_sequence..entry.next_sequence()).contains(&sequence)
        };
        Ok(stored.entries.iter().find(holds).cloned())
    }

    async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
        if shard >= self.shard_count() {
            return Ok(Begin::default());
        }
        Ok(self.stored(shard).begin)
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.inner.shards[shard as usize].next.subscribe()
    }
}

#[derive(Debug)]
struct Writer {
    inner: Arc<Inner>,
    shard: u32,
    claim: u64,
}

#[async_trait]
impl LogWriter for Writer {
    async fn commit(&mut self, batch: Batch) -> CommitOutcome {
        if batch.record_count == 0 {
            return CommitOutcome::Aborted("a batch has at least one record".to_owned());
        }
        // Gives others a turn, as a real medium does.
        tokio::task::yield_now().await;
        let fault = {
            let mut stored = self.inner.stored(self.shard);
            if stored.claims != self.claim || batch.epoch < stored.epoch {
                return CommitOutcome::Fenced("another writer has claimed the shard".to_owned());
            }
            let next = next_of(&stored.entries);
            if batch.first_sequence != next {
                return CommitOutcome::Aborted(format!(
                    "the batch begins with sequence {}, and the log goes on with {next}",
                    batch.first_sequence
                ));
            }
            let fault = stored.faults.pop_front();
            match fault {
                Some(Fault::Fenced) => stored.claims += 1,
                None | Some(Fault::Torn(_)) => stored.epoch = batch.epoch,
                _ => {}
            }
            fault
        };
        let whole = batch.record_count;
        match fault {
            None => CommitOutcome::Committed(self.inner.push(
                self.shard,
                batch.first_sequence,
                whole,
                batch.body,
            )),
            Some(Fault::Aborted) => CommitOutcome::Aborted("as the test wants".to_owned()),
            Some(Fault::Full) => CommitOutcome::Full("as the test wants".to_owned()),
            Some(Fault::Fenced) => CommitOutcome::Fenced("as the test wants".to_owned()),
            Some(Fault::Torn(records)) => {
                let kept = records.min(whole);
                if kept > 0 {
                    let body = prefix(&batch.body, kept);
                    self.inner
                        .push(self.shard, batch.first_sequence, kept, body);
                }
                CommitOutcome::Indeterminate("as the test wants".to_owned())
            }
        }
    }
}

/// The first `records` records of a body.
fn prefix(body: &Bytes, records: u32) -> Bytes {
    let mut kept = BytesMut::new();
    let frames = frame::split(body.clone()).expect("a batch's body is made of frames");
    for record in frames.iter().take(records as usize) {
        frame::push(&mut kept, record);
    }
    kept.freeze()
}
