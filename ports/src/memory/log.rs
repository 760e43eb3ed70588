//! An event log in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use schemas::record::{LogId, frame};
use tokio::sync::watch;

use crate::log::{
    Attached, Batch, Begin, CommitOutcome, EventLog, LogEntry, LogError, LogReader, LogWriter,
    Position,
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
    /// Another node may claim a shard though its writer lives.
    shared: bool,
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
    attached: Vec<Attached>,
    confirmations: u64,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(log_id: LogId, shard_count: u32) -> Self {
        Self::with(log_id, shard_count, false)
    }

    /// An empty log of several nodes: a writer may be deposed without its knowing.
    pub fn shared(log_id: LogId, shard_count: u32) -> Self {
        Self::with(log_id, shard_count, true)
    }

    fn with(log_id: LogId, shard_count: u32, shared: bool) -> Self {
        let shards = (0..shard_count)
            .map(|_| Shard {
                stored: Mutex::default(),
                next: watch::Sender::new(1),
            })
            .collect();
        Self {
            inner: Arc::new(Inner {
                log_id,
                shards,
                shared,
            }),
        }
    }

    /// What was attached to commits of `shard`, in order.
    pub fn attached(&self, shard: u32) -> Vec<Attached> {
        self.stored(shard).attached.clone()
    }

    /// Commits of `shard` that held no records.
    pub fn confirmations(&self, shard: u32) -> u64 {
        self.stored(shard).confirmations
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
        let other = Self::with(self.inner.log_id, self.shard_count(), self.inner.shared);
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
        let position = stored.push(first_sequence, record_count, body);
        drop(stored);
        self.tell(shard);
        position
    }

    fn tell(&self, shard: u32) {
        let next = next_of(&self.stored(shard).entries);
        let told = &self.shards[shard as usize].next;
        told.send_if_modified(|known| std::mem::replace(known, next.max(*known)) != next);
    }
}

impl Stored {
    fn push(&mut self, first_sequence: u64, record_count: u32, body: Bytes) -> Position {
        let position = Position(self.entries.len() as u64 + 1);
        self.entries.push(LogEntry {
            position,
            first_sequence,
            record_count,
            body,
        });
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

impl Writer {
    /// Why this writer commits nothing any more.
    fn fenced(&self, stored: &Stored) -> Option<CommitOutcome> {
        (stored.claims != self.claim)
            .then(|| CommitOutcome::Fenced("another writer has claimed the shard".to_owned()))
    }

    fn commit_to(&self, stored: &mut Stored, batch: Batch) -> CommitOutcome {
        if let Some(fenced) = self.fenced(stored) {
            return fenced;
        }
        if batch.epoch < stored.epoch {
            return CommitOutcome::Fenced("another writer has claimed the shard".to_owned());
        }
        let next = next_of(&stored.entries);
        if batch.first_sequence != next {
            return CommitOutcome::Aborted(format!(
                "the batch begins with sequence {}, and the log goes on with {next}",
                batch.first_sequence
            ));
        }
        let whole = batch.record_count;
        match stored.faults.pop_front() {
            None => {
                stored.epoch = batch.epoch;
                if !batch.attached.is_empty() {
                    stored.attached.push(batch.attached);
                }
                let position = stored.push(batch.first_sequence, whole, batch.body);
                CommitOutcome::Committed(position)
            }
            Some(Fault::Torn(records)) => {
                stored.epoch = batch.epoch;
                let kept = records.min(whole);
                if kept > 0 {
                    let body = prefix(&batch.body, kept);
                    stored.push(batch.first_sequence, kept, body);
                }
                CommitOutcome::Indeterminate("as the test wants".to_owned())
            }
            Some(fault) => self.failed(stored, &fault),
        }
    }

    /// Nothing is written.
    fn failed(&self, stored: &mut Stored, fault: &Fault) -> CommitOutcome {
        let why = "as the test wants".to_owned();
        match fault {
            Fault::Aborted => CommitOutcome::Aborted(why),
            Fault::Full => CommitOutcome::Full(why),
            Fault::Torn(_) => CommitOutcome::Indeterminate(why),
            Fault::Fenced => {
                stored.claims += 1;
                CommitOutcome::Fenced(why)
            }
        }
    }
}

#[async_trait]
impl LogWriter for Writer {
    async fn commit(&mut self, batch: Batch) -> CommitOutcome {
        if batch.record_count == 0 {
            return CommitOutcome::Aborted("a batch has at least one record".to_owned());
        }
        // Gives others a turn, as a real medium does.
        tokio::task::yield_now().await;
        let outcome = self.commit_to(&mut self.inner.stored(self.shard), batch);
        self.inner.tell(self.shard);
        outcome
    }

    async fn confirm(&mut self, attached: Attached) -> CommitOutcome {
        tokio::task::yield_now().await;
        let mut stored = self.inner.stored(self.shard);
        if let Some(fenced) = self.fenced(&stored) {
            return fenced;
        }
        if let Some(fault) = stored.faults.pop_front() {
            return self.failed(&mut stored, &fault);
        }
        stored.confirmations += 1;
        if !attached.is_empty() {
            stored.attached.push(attached);
        }
        CommitOutcome::Committed(Position(stored.entries.len() as u64))
    }

    fn can_be_deposed(&self) -> bool {
        self.inner.shared
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
