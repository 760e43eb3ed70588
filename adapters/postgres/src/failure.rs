//! What went wrong with a statement, and what that means to the caller.

use ports::projection::ProjectionError;

/// A call to Postgres failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As Postgres or its driver says.
    Database(sqlx::Error),
    /// As the port says it.
    Port(ProjectionError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<ProjectionError> for Failure {
    fn from(error: ProjectionError) -> Self {
        Self::Port(error)
    }
}

/// Why Postgres did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The connection broke or could not be had.
    Lost,
    /// It is there, and cannot serve now: starting, stopping, full, a standby.
    NotNow,
    /// Another transaction was in the way; the same again may pass.
    Conflict,
    /// A lock was not to be had in the time that was set.
    Locked,
    /// A table, or the schema it stands in, is not there (any more).
    Missing,
    /// The user is not let in: a wrong password, an unknown user, a connection that is not encrypted.
    NotLetIn,
    /// The user may not do it.
    Denied,
    /// A row breaks a constraint: it contradicts what stands there.
    Contradiction,
    /// Anything else.
    Other,
}

/// Why `error` happened.
pub(crate) fn cause(error: &sqlx::Error) -> Cause {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => return Cause::Lost,
        _ => return Cause::Other,
    };
    let code = database.code().unwrap_or_default();
    match &*code {
        "40001" | "40P01" => Cause::Conflict,
        "55P03" => Cause::Locked,
        "42P01" | "3F000" => Cause::Missing,
        // A statement that was prepared before a switch.
        "0A000" if database.message().contains("cached plan") => Cause::Missing,
        "42501" => Cause::Denied,
        // Shut down, crashed, dropped or terminated: the next connection may be better.
        "57P01" | "57P02" | "57P05" | "25P03" => Cause::Lost,
        // Cannot connect now; cancelled; a standby that takes no writes.
        "57P03" | "57P04" | "57014" | "25006" => Cause::NotNow,
        code => match code.get(..2).unwrap_or_default() {
            "08" => Cause::Lost,
            // Too many connections, full disk, no memory; I/O errors.
            "53" | "58" => Cause::NotNow,
            "28" => Cause::NotLetIn,
            "23" => Cause::Contradiction,
            _ => Cause::Other,
        },
    }
}

impl Failure {
    /// Why it happened, where Postgres said so.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Database(error) => Some(cause(error)),
            Self::Port(_) => None,
        }
    }

    /// What it means to whoever uses the read models.
    pub(crate) fn into_error(self) -> ProjectionError {
        let error = match self {
            Self::Database(error) => error,
            Self::Port(error) => return error,
        };
        match cause(&error) {
            Cause::Lost | Cause::NotNow | Cause::Conflict | Cause::Locked => {
                ProjectionError::Unavailable(error.to_string())
            }
            // It comes back by itself when the right is given.
            Cause::NotLetIn | Cause::Denied => ProjectionError::Unavailable(format!(
                "the user of Postgres may not do this: {error}"
            )),
            Cause::Missing => unusable(format!("a table is missing: {error}")),
            Cause::Contradiction => {
                unusable(format!("a row contradicts what stands there: {error}"))
            }
            Cause::Other => unusable(error.to_string()),
        }
    }
}

/// The read models are not what they must be.
pub(crate) fn unusable(what: impl Into<String>) -> ProjectionError {
    ProjectionError::Unusable(format!("{}; run `daybook replay`", what.into()))
}
