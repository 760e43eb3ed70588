//! The event log: the only truth.
//!
//! A log has shards; a shard is a list of entries, each a batch of records that was committed as
//! one, or a control record (a barrier) without any. Positions grow along a shard, with gaps.
//!
//! What every adapter promises: an entry that `commit` answered [`CommitOutcome::Committed`] for
//! is on disk (or committed by a quorum) and is read back byte for byte; entries of a shard are
//! read in the order of their commits; records are contiguous by sequence; a writer that was
//! deposed by a later claim never commits again. What it does not promise: that a batch is
//! atomic. After a fault any prefix of its records may stand in the log.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use schemas::record::LogId;
use tokio::sync::watch;

/// Where an entry stands in its shard. Grows along the shard; gaps are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// An entry of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: Position,
    /// Sequence of its first record; of the next one for a control entry.
    pub first_sequence: u64,
    /// Its records; 0 for a control entry.
    pub record_count: u32,
    /// Records one after another, each behind its length (protobuf varint); for a control
    /// entry an encoded `daybook.record.v1.Barrier`.
    pub body: Bytes,
}

impl LogEntry {
    /// Sequence after its last record.
    pub fn next_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.record_count)
    }
}

/// A batch to be committed as one.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The epoch of the writer.
    pub epoch: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Its records.
    pub record_count: u32,
    /// As in [`LogEntry::body`].
    pub body: Bytes,
    /// What is committed together with the records.
    pub attached: Attached,
}

/// What a commit carries besides records, in the same transaction. Only a log whose medium also
/// holds the topics that commands come from is ever given any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// How far the topics that commands come from have been consumed, by (topic, partition).
    pub consumed: Vec<Consumed>,
    /// Messages to the topics beside the log.
    pub messages: Vec<SideMessage>,
}

impl Attached {
    /// True where nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.consumed.is_empty() && self.messages.is_empty()
    }
}

/// How far a partition of a topic of commands has been consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// The offset after the last record that was consumed.
    pub next_offset: u64,
}

/// A topic beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SideTopic {
    /// What became of every command that came by a topic.
    Outcomes,
    /// Records that are no commands, with the reason and where they came from.
    DeadLetters,
}

/// A message to a topic beside the log. It may be written again after a fault: who reads it
/// tells repeats by the source that its headers name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideMessage {
    /// Where it goes.
    pub topic: SideTopic,
    /// Its key; a partitioned topic has it on the partition of the shard.
    pub key: Option<Bytes>,
    /// Its headers, in order: a dead letter keeps those of the record that it was.
    pub headers: Vec<(Cow<'static, str>, Option<Bytes>)>,
    /// Its payload.
    pub payload: Option<Bytes>,
}

impl SideMessage {
    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + of(value)).sum();
        of(&self.key) + of(&self.payload) + headers + 64
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Durable, at this position.
    Committed(Position),
    /// Not in the log, as far as the medium says. Only a hint: recover from the log.
    Aborted(String),
    /// This writer is finished.
    Fenced(String),
    /// In the log wholly, in part, or not at all: recover from the log.
    Indeterminate(String),
    /// Surely not in the log, since the medium is full; the writer may go on when there is room.
    Full(String),
}

/// The medium failed, or what it holds is damaged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Someone else holds the log (`LOG_LOCKED`).
    #[error("the log is in use: {0}")]
    Locked(String),
    /// It cannot be reached or read now; trying again may help.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// What was read is not what was written (`LOG_DAMAGED`).
    #[error("the log is damaged at shard {shard}, position {}: {what}", position.0)]
    Damaged {
        /// The shard.
        shard: u32,
        /// The entry.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// Made by another version, or for another number of shards, or not a log at all.
    #[error("the log cannot be used: {0}")]
    Unusable(String),
    /// The shard is not given to this node now: another one writes it, or will.
    #[error("shard {shard} is not this node's to write: {why}")]
    NotOwner {
        /// The shard.
        shard: u32,
        /// What refused it.
        why: String,
    },
}

/// A log, opened.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// The log's id.
    fn log_id(&self) -> LogId;

    /// How many shards it has.
    fn shard_count(&self) -> u32;

    /// Deposes every earlier writer of `shard` and commits `barrier` (an encoded
    /// `daybook.record.v1.Barrier`) as a control entry. The claimant then replays until it
    /// reads this very barrier.
    ///
    /// # Errors
    /// [`LogError`]; nothing was claimed then, though the barrier may stand in the log.
    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError>;

    /// A reader, which may be used beside writers.
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// The right to commit to one shard. One commit at a time.
#[async_trait]
pub trait LogWriter: Send {
    /// Commits `batch` durably.
    async fn commit(&mut self, batch: Batch) -> CommitOutcome;

    /// Commits `attached`, or a control record where nothing is attached, though there are no
    /// records: [`CommitOutcome::Committed`] says that this writer had not been deposed when
    /// this was called. A STRONG read of an idle writer waits for it. Where the medium's own
    /// lock lets nobody depose a living writer, there is nothing to be done.
    async fn confirm(&mut self, attached: Attached) -> CommitOutcome {
        let _ = attached;
        CommitOutcome::Committed(Position::default())
    }

    /// True where another node may depose this writer without its knowing, so that STRONG reads
    /// need a commit that began after them.
    fn can_be_deposed(&self) -> bool {
        false
    }
}

/// Where a shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Nothing before it can be read.
    pub position: Position,
    /// Sequence of the first record at or after it.
    pub sequence: u64,
}

impl Default for Begin {
    /// Nothing was trimmed.
    fn default() -> Self {
        Self {
            position: Position::default(),
            sequence: 1,
        }
    }
}

/// Reads committed entries.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// Committed entries of `shard` in order, from the first at or after `from`: at least one
    /// where there is one, and about `bytes_max` at most. Control entries are among them.
    ///
    /// # Errors
    /// [`LogError::Damaged`] names the first entry that is not as it was written.
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError>;

    /// The entry that holds the record of `sequence`, where it was committed.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError>;

    /// Where `shard` begins: position and sequence of its first entry that is still there. What
    /// was before has been trimmed, and stands in the archive.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
        let _ = shard;
        Ok(Begin::default())
    }

    /// The entry at `position` as it stands, though it is damaged, where it can be read at all:
    /// for `verify`, which names the record that is damaged in it. For nothing else.
    ///
    /// # Errors
    /// [`LogError::Unavailable`].
    async fn read_damaged(
        &self,
        shard: u32,
        position: Position,
    ) -> Result<Option<LogEntry>, LogError> {
        let _ = (shard, position);
        Ok(None)
    }

    /// Tells the sequence after the last committed record of `shard`, now and as it grows.
    fn watch(&self, shard: u32) -> watch::Receiver<u64>;
}
