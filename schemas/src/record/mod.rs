//! Records: decisions as they stand in the log.
//!
//! [`encode`] and [`decode`] are each other's inverse; hashes are over the exact bytes, which
//! every store keeps unchanged.

mod barrier;
pub mod convert;
mod decode;
mod encode;
mod error;
mod fast;
pub mod frame;
mod wire;

pub use barrier::Barrier;
pub use decode::decode;
pub use encode::{encode, encode_into, to_message};
pub use error::RecordError;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ledger_core::event::Event;
use ledger_core::facts::RequestHash;
use ledger_core::invalid::Invalid;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::rejection::Rejection;
use ledger_core::time::Moment;

/// Names a log, at random. A restore to an earlier point starts a new log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

/// BLAKE3 over the exact bytes of a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordHash(pub [u8; 32]);

macro_rules! hex_fmt {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
hex_fmt!(LogId);
hex_fmt!(RecordHash);

/// The bytes of exactly `2 * N` hex digits in lower case.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl LogId {
    /// Reads 32 hex digits, as [`fmt::Display`] writes them.
    ///
    /// # Errors
    /// [`Invalid`] for all else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("{text:?} is not a log id of 32 hex digits"));
        unhex(text).map(Self).ok_or_else(invalid)
    }
}

impl Payload {
    /// True for what the engine itself puts on record, in its own chain: no decision.
    pub fn is_engine(&self) -> bool {
        match self {
            Self::Event(_) | Self::Rejection(_) => false,
            Self::WriterClaimed(_)
            | Self::LogStarted(_)
            | Self::LogMigrated(_)
            | Self::LogSealed(_)
            | Self::LogReopened(_) => true,
        }
    }
}

impl RecordHash {
    /// Reads 64 hex digits, as [`fmt::Display`] writes them.
    ///
    /// # Errors
    /// [`Invalid`] for all else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("{text:?} is not a record hash of 64 hex digits"));
        unhex(text).map(Self).ok_or_else(invalid)
    }
}

/// The version of the payloads' meaning that this build writes, and the newest that it reads.
pub const KIND_VERSION: u32 = 1;

/// BLAKE3 over the exact bytes of a record.
pub fn hash(bytes: &[u8]) -> RecordHash {
    RecordHash(*blake3::hash(bytes).as_bytes())
}

/// A decision as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The log that it belongs to.
    pub log_id: LogId,
    /// The shard.
    pub shard: u32,
    /// Which writer's reign.
    pub epoch: u64,
    /// Contiguous per shard, from 1.
    pub sequence: u64,
    /// Whose chain it stands in ([`LedgerName::of_shard`] for the engine's own).
    pub ledger: LedgerName,
    /// Contiguous per ledger, from 1.
    pub ledger_sequence: u64,
    /// Of the ledger's previous record; `None` for its first.
    pub previous_hash: Option<RecordHash>,
    /// When it was decided.
    pub moment: Moment,
    /// Unique in the ledger.
    pub key: IdempotencyKey,
    /// `None` for the engine's own records.
    pub request_hash: Option<RequestHash>,
    /// Who asked; `None` is `anonymous`.
    pub actor: Option<Arc<str>>,
    /// Where it came from.
    pub origin: Origin,
    /// W3C trace context of the call.
    pub traceparent: Option<Arc<str>>,
    /// What was decided.
    pub payload: Payload,
}

/// Where a command came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// A call.
    #[default]
    Grpc,
    /// A record of an ingestion topic.
    Kafka {
        /// Its topic.
        topic: Arc<str>,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: u64,
        /// The partition's first offset, up to this one, whose answer was not known to be durable
        /// when this one was decided. A writer that goes on after this record reads the partition
        /// again from there.
        resume: u64,
    },
    /// An import: the file and line.
    Import(Arc<str>),
    /// The engine itself.
    Timer,
}

/// What stands in a record.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every payload is an event: a box would only cost an allocation"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Something happened.
    Event(Event),
    /// The rules said no.
    Rejection(Rejection),
    /// A writer took the shard over.
    WriterClaimed(WriterClaimed),
    /// The shard's log began.
    LogStarted(LogStarted),
    /// The shard's log began behind records that were carried over from another log.
    LogMigrated(LogMigrated),
    /// The books went over to another log: the shard takes no more records.
    LogSealed(LogSealed),
    /// A sealed shard takes records again.
    LogReopened(LogReopened),
}

/// See [`Payload::WriterClaimed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterClaimed {
    /// The writer's epoch.
    pub epoch: u64,
    /// Of the barrier that it claimed with.
    pub nonce: [u8; 16],
    /// The build that claimed.
    pub build: Arc<str>,
}

/// See [`Payload::LogStarted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStarted {
    /// Shards of the log; never changes there.
    pub shard_count: u32,
    /// Where this log was forked from by a restore.
    pub parent: Option<Parent>,
}

/// The point that a restored log goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The log before.
    pub log_id: LogId,
    /// The last record that was kept.
    pub sequence: u64,
    /// Its hash.
    pub hash: RecordHash,
}

/// See [`Payload::LogMigrated`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMigrated {
    /// Shards of this log; never changes there.
    pub shard_count: u32,
    /// The log that was carried over.
    pub source: LogId,
    /// The records that sealed its shards, by number.
    pub shards: Vec<SealedShard>,
    /// Hash of the record before this one; `None` where none was carried into this shard.
    pub last_hash: Option<RecordHash>,
}

/// The record that sealed a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedShard {
    /// Its sequence.
    pub sequence: u64,
    /// Its hash.
    pub hash: RecordHash,
}

/// See [`Payload::LogSealed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSealed {
    /// The log that goes on.
    pub moved_to: LogId,
    /// Where it is, for people.
    pub place: Arc<str>,
}

/// See [`Payload::LogReopened`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReopened {
    /// Why, for people.
    pub reason: Arc<str>,
}

/// A record with the exact bytes that its hash is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// What the bytes say.
    pub record: Record,
    /// The bytes as stored; every store keeps them unchanged.
    pub bytes: Bytes,
    /// BLAKE3 over `bytes`.
    pub hash: RecordHash,
}
