//! What log and read models share of SQLite: how connections are opened, and what errors mean.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};

/// Before this version a WAL that was reset at the wrong moment could lose a commit.
pub(crate) const VERSION_MIN: i32 = 3_051_003;

/// The version of the SQLite that is linked, as `3051003`.
pub(crate) fn version() -> i32 {
    libsqlite3_sys::SQLITE_VERSION_NUMBER
}

/// How long a statement waits where another program (a `sqlite3` shell) holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of every connection to `file`.
pub(crate) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .serialized(false)
        .disable_statement_logging()
}

/// A small pool of read-only connections to `file`; none is opened before it is needed.
pub(crate) fn readers(options: SqliteConnectOptions, most: u32, name: &'static str) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(most)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(
            options
                .read_only(true)
                .thread_name(move |n| format!("{name}-{n}")),
        )
}

/// Opens one connection.
pub(crate) async fn connect(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().await
}

/// What an error of SQLite means for what was being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The disk is full; the transaction was rolled back, none of it is in the file.
    Full,
    /// Someone else holds the file; nothing was done.
    Busy,
    /// The file is not what SQLite wrote.
    Damaged,
    /// A guard in the schema (a trigger) refused the row, with this word.
    Refused(String),
    /// A constraint does not hold.
    Constraint,
    /// The file's index in shared memory could not grow (a full disk): the transaction may stand
    /// in the WAL, but the file is sound.
    IndexFull,
    /// The medium failed: nothing is known of what stands on it.
    Io,
    /// Anything else; nothing was committed that was not acknowledged.
    Other,
}

/// Classifies `error`.
pub(crate) fn cause(error: &sqlx::Error) -> Cause {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => return Cause::Io,
        _ => return Cause::Other,
    };
    let code = database
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .unwrap_or(1);
    match (code & 0xff, code) {
        (13, _) => Cause::Full,
        (5 | 6, _) => Cause::Busy,
        (11 | 26, _) => Cause::Damaged,
        (19, 1811) => Cause::Refused(database.message().to_owned()),
        (19, _) => Cause::Constraint,
        // SQLITE_IOERR_SHMSIZE and SQLITE_IOERR_SHMMAP.
        (10, 4874 | 5386) => Cause::IndexFull,
        (10 | 14, _) => Cause::Io,
        _ => Cause::Other,
    }
}
