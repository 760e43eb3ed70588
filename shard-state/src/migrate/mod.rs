//! Carries a log over into another one, byte for byte, to another number of shards too.
//!
//! 1. The source is sealed ([`seal`]): each shard's last record says where the books went, and
//!    no writer accepts a record behind it. So never two logs take writes for the same books.
//! 2. Its records are copied ([`carry`]) in the order of their times, each into the shard that
//!    its ledger has in the target. They keep their bytes, and so their hashes, and the
//!    coordinates (log, shard, epoch, sequence) that stand in them; their place in the target is
//!    the entry's. Every record is replayed in its new place before it is written.
//! 3. When all heads are those of the source, a `LogMigrated` record in each shard begins the
//!    target. Without it no writer accepts the shard.
//!
//! All of it can be killed at any moment and done again: what to copy follows from the sealed
//! source alone, so that what stands in the target already is passed by.

mod abandon;
mod carry;
mod merge;
mod seal;

use ledger_core::name::LedgerName;
use ports::log::{CommitOutcome, LogError};
use schemas::record::{LogId, SealedShard};

use crate::place::Head;
use crate::recover::RecoverError;

pub use abandon::{Given, abandon, sealed_for};
pub use carry::{Carried, CarriedShard, Options, carry, check_target};
pub use merge::{Plan, PlannedShard, plan};
pub use seal::{Sealed, seal};

/// Why a log was not carried over.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The source cannot be read to its end.
    #[error("the log that is to be carried over: {0}")]
    Source(#[source] Box<RecoverError>),
    /// The target cannot be read, or holds what does not follow.
    #[error("the log that it is carried into: {0}")]
    Target(#[source] Box<RecoverError>),
    /// The source was sealed for another log.
    #[error("the log was sealed before: the books went over to log {moved_to}, at {place}")]
    SealedBefore {
        /// The log that it was sealed for.
        moved_to: LogId,
        /// Where that is.
        place: String,
    },
    /// The target is no new log, nor one that this migration began.
    #[error("it cannot be carried into log {log_id}: {why}")]
    Unfit {
        /// The target.
        log_id: LogId,
        /// Why.
        why: String,
    },
    /// A record cannot be where it should be put.
    #[error(
        "record {sequence} of shard {shard} of the source does not fit where it belongs in the target: {divergence}"
    )]
    Misplaced {
        /// The source's shard.
        shard: u32,
        /// Its sequence there.
        sequence: u64,
        /// Why.
        divergence: Box<crate::Divergence>,
    },
    /// The source's shard does not end with the record that sealed it.
    #[error(
        "shard {shard} of the source has record {found} as its last; it was sealed by record {sealed}"
    )]
    End {
        /// The shard.
        shard: u32,
        /// The last record that was read.
        found: u64,
        /// The record that sealed it.
        sealed: u64,
    },
    /// A chain ends elsewhere than in the source: nothing was begun.
    #[error("ledger {ledger} ends with {} in the source and with {} in the target", said(.source_head), said(.target_head))]
    HeadDiffers {
        /// The ledger.
        ledger: LedgerName,
        /// Its head in the source.
        source_head: Box<Option<Head>>,
        /// Its head in the target.
        target_head: Box<Option<Head>>,
    },
    /// The log that is to be given up has records of its own: books went on there.
    #[error(
        "log {log_id} has served: shard {shard} has records of its own. Its books went on; carry them back instead"
    )]
    Served {
        /// The log.
        log_id: LogId,
        /// The shard.
        shard: u32,
    },
    /// A log did not take a batch.
    #[error("shard {shard} of log {log_id} cannot be written: {outcome:?}")]
    Commit {
        /// The log.
        log_id: LogId,
        /// The shard.
        shard: u32,
        /// Its answer.
        outcome: CommitOutcome,
    },
}

impl MigrateError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(source) | Self::Target(source) => source.code(),
            Self::SealedBefore { .. } => "LOG_SEALED",
            Self::Log(LogError::Locked(_)) => "LOG_LOCKED",
            Self::Log(LogError::Unavailable(_)) => "UNAVAILABLE",
            Self::Log(LogError::Damaged { .. }) => "LOG_DAMAGED",
            Self::Log(LogError::Unusable(_)) => "LOG_UNUSABLE",
            Self::Log(LogError::NotOwner { .. }) => "NOT_OWNER",
            Self::Unfit { .. }
            | Self::Misplaced { .. }
            | Self::End { .. }
            | Self::HeadDiffers { .. }
            | Self::Served { .. }
            | Self::Commit { .. } => "NOT_MIGRATED",
        }
    }
}

fn said(head: &Option<Head>) -> String {
    head.map_or_else(
        || "nothing".to_owned(),
        |head| format!("record {} ({})", head.ledger_sequence, head.hash),
    )
}

/// The record that sealed each shard.
fn sealed_shards(sealed: &[Sealed]) -> Vec<SealedShard> {
    sealed.iter().map(|shard| shard.at).collect()
}
