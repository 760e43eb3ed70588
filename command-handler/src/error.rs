//! Why a command handler cannot start.

use std::sync::Arc;

use ports::log::LogError;
use schemas::record::LogId;
use shard_state::recover::RecoverError;

use crate::writer::guard::ClockFault;

/// Why a command handler cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The shard could not be claimed.
    #[error("shard {shard}: {source}")]
    Claim {
        /// The shard.
        shard: u32,
        /// Why.
        source: LogError,
    },
    /// The shard's state could not be brought back.
    #[error("shard {shard}: {source}")]
    Recover {
        /// The shard.
        shard: u32,
        /// Why.
        source: Box<RecoverError>,
    },
    /// The books went over to another log, and this one takes no more records.
    #[error("shard {shard}: the log was sealed: the books went over to log {moved_to}, at {place}")]
    Sealed {
        /// The shard.
        shard: u32,
        /// The log that goes on.
        moved_to: LogId,
        /// Where it is.
        place: Arc<str>,
    },
    /// The clock cannot be right.
    #[error("shard {shard}: {source}")]
    Clock {
        /// The shard.
        shard: u32,
        /// Why.
        source: ClockFault,
    },
    /// The claim could not be put on record.
    #[error("shard {shard}: the claim could not be put on record: {why}")]
    Commit {
        /// The shard.
        shard: u32,
        /// What the log said.
        why: String,
    },
    /// The writer's thread could not be started, or died.
    #[error("shard {shard}: the writer's thread: {why}")]
    Thread {
        /// The shard.
        shard: u32,
        /// Why.
        why: String,
    },
}

impl StartError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Claim { source, .. } => match source {
                LogError::Locked(_) => "LOG_LOCKED",
                LogError::Damaged { .. } => "LOG_DAMAGED",
                LogError::Unusable(_) => "LOG_UNUSABLE",
                LogError::Unavailable(_) => "UNAVAILABLE",
                LogError::NotOwner { .. } => "NOT_OWNER",
            },
            Self::Recover { source, .. } => source.code(),
            Self::Sealed { .. } => "LOG_SEALED",
            Self::Clock { source, .. } => source.code(),
            Self::Commit { .. } => "UNAVAILABLE",
            Self::Thread { .. } => "INTERNAL",
        }
    }

    /// True when trying again may help.
    pub(crate) fn retryable(&self) -> bool {
        self.code() == "UNAVAILABLE" || matches!(self, Self::Clock { .. })
    }
}
