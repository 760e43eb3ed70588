//! What is wrong with a record that cannot follow the state.

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use schemas::record::{LogId, RecordHash};

/// A record that cannot be what was written, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "record {sequence} of the shard (ledger {ledger}, ledger sequence {ledger_sequence}): {what}"
)]
pub struct Divergence {
    /// The ledger that the record says.
    pub ledger: LedgerName,
    /// The ledger sequence that the record says.
    pub ledger_sequence: u64,
    /// The sequence that the record says.
    pub sequence: u64,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// An earlier record diverged; this state is not to be used.
    #[error("an earlier record diverged, the state is not to be used any more")]
    Stopped,
    /// It belongs to another log, and nothing says that this log goes on from that one.
    #[error("it belongs to log {found}, and the log before it is {expected}")]
    LogId {
        /// The log of the record before.
        expected: LogId,
        /// The log that the record says.
        found: LogId,
    },
    /// The first record of a shard must say that the log began.
    #[error("the first record of a shard must be LogStarted")]
    NotStarted,
    /// The log began once already, and this is no fork of it.
    #[error(
        "the log began already; the parent that is named (log {log_id}, sequence {sequence}, hash {hash}) is not the record before"
    )]
    Parent {
        /// The parent's log.
        log_id: LogId,
        /// The parent's sequence.
        sequence: u64,
        /// The parent's hash.
        hash: RecordHash,
    },
    /// It begins a log behind records that were carried over, and the last of those is another.
    #[error(
        "it begins the log behind other records than stand there: the last has hash {}, or the log began already",
        or_none(.expected)
    )]
    Carried {
        /// Hash of the record before.
        expected: Option<RecordHash>,
    },
    /// A sealed log takes a record only to be opened again, and one that is not sealed no such.
    #[error("{}", if *.is { "the log was sealed before it" } else { "it opens a log again that was not sealed" })]
    Sealed {
        /// Whether the log was sealed.
        is: bool,
    },
    /// The log began once already.
    #[error("the log began already")]
    StartedTwice,
    /// It belongs to another shard.
    #[error("it belongs to shard {found}, not {expected}")]
    Shard {
        /// This shard.
        expected: u32,
        /// The shard that the record says.
        found: u32,
    },
    /// The log was made for another number of shards.
    #[error("the log has {found} shards, not {expected}")]
    ShardCount {
        /// As configured.
        expected: u32,
        /// As the log says.
        found: u32,
    },
    /// A record is missing, doubled or out of order.
    #[error("its sequence should be {expected}")]
    Sequence {
        /// What should come.
        expected: u64,
    },
    /// A record of the ledger is missing, doubled or out of order.
    #[error("its ledger sequence should be {expected}")]
    LedgerSequence {
        /// What should come.
        expected: u64,
    },
    /// The chain of the ledger is broken here: this record or the one before it in the ledger
    /// was changed.
    #[error("it says that the record before it in the ledger has hash {}, but that has {}", or_none(.found), or_none(.expected))]
    PreviousHash {
        /// Hash of the ledger's record before.
        expected: Option<RecordHash>,
        /// What the record says.
        found: Option<RecordHash>,
    },
    /// An epoch never falls, nor does a claim's own differ from its record's.
    #[error("its epoch {found} does not follow epoch {expected}")]
    Epoch {
        /// Of the record before.
        expected: u64,
        /// What the record says.
        found: u64,
    },
    /// Time never goes back.
    #[error("it was recorded at {} µs, before the record before it ({} µs)", found.micros(), expected.micros())]
    RecordedAt {
        /// Of the record before.
        expected: Timestamp,
        /// What the record says.
        found: Timestamp,
    },
    /// Decisions stand in ledgers, the engine's own records in the engine's chain.
    #[error("a record of this kind does not belong into this chain")]
    Chain,
    /// A ledger has one shard for ever.
    #[error("its ledger belongs into shard {0}")]
    Routed(u32),
    /// What it says cannot happen to the state before it.
    #[error("it cannot follow the state before it: {0}")]
    Impossible(String),
}

fn or_none(hash: &Option<RecordHash>) -> String {
    hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string())
}
