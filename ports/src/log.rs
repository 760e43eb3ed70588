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
    fn reader(&self) -> std::sync::Arc<dyn LogReader>;
}

/// The right to commit to one shard. One commit at a time.
#[async_trait]
pub trait LogWriter: Send {
    /// Commits `batch` durably.
    async fn commit(&mut self, batch: Batch) -> CommitOutcome;
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
