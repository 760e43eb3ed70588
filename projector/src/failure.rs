//! Why a projection stopped.

use ledger_core::name::LedgerName;
use ports::log::{LogError, Position};
use ports::projection::ProjectionError;
use schemas::record::{LogId, RecordError, RecordHash};

use crate::fold::Unfit;

/// Why a projection stopped, and where. It goes on only after someone has looked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The read models hold records that the log has not (`LOG_BEHIND`).
    #[error(
        "LOG_BEHIND: the read models of shard {shard} have got to record {sequence}, which the log does not have"
    )]
    LogBehind {
        /// The shard.
        shard: u32,
        /// The last record applied.
        sequence: u64,
    },
    /// The read models were made from another log, or from another past of this one
    /// (`LOG_DIVERGED`).
    #[error(
        "LOG_DIVERGED: the read models of shard {shard} know record {sequence} of log {expected_log} with hash {expected}; the log has {}", found_or_none(.found)
    )]
    LogDiverged {
        /// The shard.
        shard: u32,
        /// The last record applied.
        sequence: u64,
        /// The log that the read models were made from.
        expected_log: LogId,
        /// The hash that the read models know.
        expected: RecordHash,
        /// What stands in the log.
        found: Option<(LogId, RecordHash)>,
    },
    /// Records that are needed are neither in the log nor in its archive (`LOG_TRIMMED`).
    #[error(
        "LOG_TRIMMED: record {sequence} of shard {shard} is needed, and the log begins with record {begins}"
    )]
    LogTrimmed {
        /// The shard.
        shard: u32,
        /// The first record that is needed.
        sequence: u64,
        /// The first record that is there.
        begins: u64,
    },
    /// The archive holds records that the log has not (`LOG_BEHIND`).
    #[error(
        "LOG_BEHIND: the archive of shard {shard} has got to record {sequence}, which the log does not have"
    )]
    ArchiveAhead {
        /// The shard.
        shard: u32,
        /// The last archived record.
        sequence: u64,
    },
    /// The archive was made from another past of this log (`LOG_DIVERGED`).
    #[error(
        "LOG_DIVERGED: the archive of shard {shard} does not hold the entry of record {sequence} as the log has it"
    )]
    ArchiveDiverged {
        /// The shard.
        shard: u32,
        /// The last archived record.
        sequence: u64,
    },
    /// The archive cannot be read or written.
    #[error("the archive: {0}")]
    Archive(LogError),
    /// A chain does not go on from where the read models know it to end (`LOG_DIVERGED`).
    #[error(
        "LOG_DIVERGED: record {sequence} of shard {shard} does not follow the last record of ledger {ledger} that the read models know (ledger sequence {known})"
    )]
    ChainBroken {
        /// The shard.
        shard: u32,
        /// The first record of the ledger in the stretch.
        sequence: u64,
        /// The ledger.
        ledger: LedgerName,
        /// The ledger sequence that the read models have got to.
        known: u64,
    },
    /// A record cannot be read or does not follow the one before it (`LOG_DAMAGED`).
    #[error("LOG_DAMAGED: record {sequence} of shard {shard}, in the entry at position {}: {what}", position.0)]
    Record {
        /// The shard.
        shard: u32,
        /// The record.
        sequence: u64,
        /// Its entry.
        position: Position,
        /// What is wrong with it.
        what: Misfit,
    },
    /// A stretch cannot be folded (`LOG_DAMAGED`).
    #[error("LOG_DAMAGED: records {first} to {last} of shard {shard}: {what}")]
    Stretch {
        /// The shard.
        shard: u32,
        /// The first record.
        first: u64,
        /// The last record.
        last: u64,
        /// What is wrong.
        what: Unfit,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(LogError),
    /// The read models cannot be moved.
    #[error(transparent)]
    Projection(ProjectionError),
    /// The engine itself is at fault.
    #[error("INTERNAL: {0}")]
    Internal(String),
}

impl Failure {
    /// The stable code, as in docs/errors.md.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LogBehind { .. } | Self::ArchiveAhead { .. } => "LOG_BEHIND",
            Self::LogDiverged { .. } | Self::ChainBroken { .. } | Self::ArchiveDiverged { .. } => {
                "LOG_DIVERGED"
            }
            Self::LogTrimmed { .. } => "LOG_TRIMMED",
            Self::Archive(LogError::Unavailable(_)) => "UNAVAILABLE",
            Self::Archive(_) => "ARCHIVE_UNUSABLE",
            Self::Record { .. } | Self::Stretch { .. } => "LOG_DAMAGED",
            Self::Log(LogError::Locked(_)) => "LOG_LOCKED",
            Self::Log(LogError::Unavailable(_)) => "UNAVAILABLE",
            Self::Log(LogError::Damaged { .. }) => "LOG_DAMAGED",
            Self::Log(LogError::Unusable(_)) => "LOG_UNUSABLE",
            Self::Log(LogError::NotOwner { .. }) => "NOT_OWNER",
            Self::Projection(ProjectionError::Unavailable(_)) => "UNAVAILABLE",
            Self::Projection(
                ProjectionError::CheckpointMoved { .. }
                | ProjectionError::HistoryBehind { .. }
                | ProjectionError::Unusable(_),
            ) => "READ_MODELS_UNUSABLE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// True where trying again may help by itself.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Log(LogError::Unavailable(_))
                | Self::Archive(LogError::Unavailable(_))
                | Self::Projection(ProjectionError::Unavailable(_))
        )
    }
}

/// What is wrong with one record.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] RecordError),
    /// It cannot be folded.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A record is missing, doubled or out of order.
    #[error("it says that it is record {0}")]
    Sequence(u64),
    /// The entry holds another number of records than it says.
    #[error("the entry says that it holds {said} records and holds {found}")]
    Count {
        /// What it says.
        said: u32,
        /// What it holds.
        found: usize,
    },
    /// Records between the last one and this entry are missing.
    #[error("the next entry of the log begins with record {0}")]
    Gap(u64),
    /// It belongs to another shard.
    #[error("it belongs to shard {0}")]
    Shard(u32),
    /// It belongs to another log, and nothing says that this log goes on from that one.
    #[error("it belongs to log {0}")]
    LogId(LogId),
    /// Time never goes back.
    #[error("it was recorded before the record before it")]
    RecordedAt,
}

fn found_or_none(found: &Option<(LogId, RecordHash)>) -> String {
    match found {
        Some((log, hash)) => format!("a record of log {log} with hash {hash} there"),
        None => "no record there".to_owned(),
    }
}
