//! Errors of ports as faults.

use ports::log::LogError;
use ports::projection::ProjectionError;
use ports::strong::StrongError;
use schemas::api::Malformed;
use schemas::error::Fault;

/// The read models failed.
pub(crate) fn views(error: ProjectionError) -> Fault {
    match error {
        ProjectionError::Unavailable(why) => Fault::Unavailable { why },
        ProjectionError::Unusable(why) => Fault::ReadModelsUnusable { why },
        error @ ProjectionError::HistoryBehind { .. } => Fault::unavailable(error.to_string()),
        error @ ProjectionError::CheckpointMoved { .. } => Fault::internal(error.to_string()),
    }
}

/// The log failed.
pub(crate) fn log(error: LogError) -> Fault {
    match error {
        LogError::Unavailable(why) | LogError::Locked(why) => Fault::Unavailable { why },
        error @ LogError::Damaged { .. } => Fault::LogDamaged {
            why: error.to_string(),
        },
        error @ LogError::NotOwner { .. } => Fault::unavailable(error.to_string()),
        LogError::Unusable(why) => Fault::internal(why),
    }
}

/// The writer did not answer.
pub(crate) fn strong(error: StrongError) -> Fault {
    match error {
        StrongError::LedgerNotFound(ledger) => Fault::LedgerNotFound { ledger },
        error @ StrongError::Unavailable { .. } => Fault::unavailable(error.to_string()),
        StrongError::NotOwner { shard, owner } => Fault::NotOwner { shard, owner },
        StrongError::Overloaded(shard) => Fault::Overloaded {
            what: format!("the queue of shard {shard}"),
        },
    }
}

/// One field is malformed.
pub(crate) fn field(path: &str, why: impl std::fmt::Display) -> Fault {
    Malformed::new(path, why).into()
}
