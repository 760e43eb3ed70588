//! What can go wrong with Bigtable, by what is to be done about it.

use gcloud_sdk::tonic::{Code, Status};
use ports::log::LogError;
use ports::projection::ProjectionError;

/// Bigtable failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BigtableError {
    /// It cannot be reached now, or has too much to do; trying again may help.
    #[error("Bigtable cannot be reached: {0}")]
    Unavailable(String),
    /// The account that asks lacks a permission.
    #[error("Bigtable refuses: {0}")]
    Denied(String),
    /// A table or a column family is missing.
    #[error("{0} is not there; run `daybook setup`")]
    Missing(String),
    /// The emulator came back without its tables, and they were made again, empty.
    #[error("the Bigtable emulator lost what it had; it is being rebuilt from the log")]
    Lost,
    /// What stands there is not what belongs there.
    #[error("Bigtable cannot be used: {0}")]
    Unusable(String),
}

impl BigtableError {
    /// What `status` means, which came when `doing` was done.
    pub(crate) fn of(doing: &str, status: &Status) -> Self {
        let said = format!("{doing}: {} ({})", status.message(), name(status.code()));
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(said),
            Code::NotFound => Self::Missing(said),
            code if is_transient(code) => Self::Unavailable(said),
            _ => Self::Unusable(said),
        }
    }

    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Codes after which the same call may succeed. A connection that breaks in the middle of a call
/// shows as `Unknown`, `Internal` or `Cancelled`.
pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
    )
}

fn name(code: Code) -> String {
    format!("{code:?}")
}

impl From<BigtableError> for ProjectionError {
    fn from(error: BigtableError) -> Self {
        match error {
            BigtableError::Unavailable(what) => Self::Unavailable(what),
            BigtableError::Lost => Self::Unavailable(error.to_string()),
            other => Self::Unusable(other.to_string()),
        }
    }
}

impl From<BigtableError> for LogError {
    fn from(error: BigtableError) -> Self {
        match error {
            BigtableError::Unavailable(what) => Self::Unavailable(what),
            BigtableError::Lost => Self::Unavailable(error.to_string()),
            other => Self::Unusable(other.to_string()),
        }
    }
}
