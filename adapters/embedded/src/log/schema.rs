//! The tables of `log.db`, and opening the file.

use std::path::Path;

use ports::log::{LogError, Position};
use schemas::record::LogId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Row as _};

use crate::folder;
use crate::sqlite::{self, Cause};

/// Version of these tables. A folder of a newer one is refused.
pub(crate) const FORMAT: i64 = 1;

/// `PRAGMA application_id` of a log: "DBLG".
const APPLICATION_ID: i64 = 0x4442_4c47;

/// Larger than SQLite's 4 KiB: a batch of 8,000 records (1 MB) is 150 pages instead of 300.
const PAGE_BYTES: u32 = 8_192;

/// The tables.
///
/// The guards stand in the schema, so that they are judged inside of the transaction that
/// inserts, whoever inserts. There is no AUTOINCREMENT: rows are never deleted, so positions are
/// not given twice without it, and it would write one more page in each commit.
const TABLES: &str = "
CREATE TABLE meta (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    format      INTEGER NOT NULL,
    log_id      BLOB    NOT NULL CHECK (length(log_id) = 16),
    shard_count INTEGER NOT NULL CHECK (shard_count > 0)
) STRICT;

-- One row per committed batch, or per control record (record_count = 0).
CREATE TABLE entries (
    position       INTEGER PRIMARY KEY,
    shard          INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    record_count   INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    claim          INTEGER NOT NULL,
    entry_hash     BLOB    NOT NULL,
    body           BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX batches ON entries (shard, first_sequence) WHERE record_count > 0;

-- The control record of the newest claim of each shard: only its writer may commit.
CREATE TABLE claims (
    shard    INTEGER PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

CREATE TRIGGER entries_guard BEFORE INSERT ON entries WHEN new.record_count > 0
BEGIN
    SELECT RAISE(ABORT, 'FENCED')
     WHERE new.claim IS NOT (SELECT position FROM claims WHERE shard = new.shard);
    SELECT RAISE(ABORT, 'EPOCH')
     WHERE new.epoch < (SELECT epoch FROM entries WHERE shard = new.shard AND record_count > 0
                         ORDER BY first_sequence DESC LIMIT 1);
    SELECT RAISE(ABORT, 'SEQUENCE')
     WHERE new.first_sequence IS NOT
           coalesce((SELECT first_sequence + record_count FROM entries
                      WHERE shard = new.shard AND record_count > 0
                      ORDER BY first_sequence DESC LIMIT 1), 1);
END;

CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
";

/// What the log says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The log's id.
    pub(crate) log_id: LogId,
    /// How many shards it has.
    pub(crate) shard_count: u32,
}

/// Where a shard ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Sequence after its last record.
    pub(crate) next_sequence: u64,
    /// Its last entry; 0 without any.
    pub(crate) position: Position,
}

/// Options of the writer's connection.
pub(crate) fn writer_options(file: &Path) -> SqliteConnectOptions {
    sqlite::options(file)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", "67108864")
        .pragma("cell_size_check", "ON")
        .thread_name(|_| "daybook-log".to_owned())
}

/// Makes the log `file`, which is not there. It is there as a whole or not at all, also where the
/// process or the machine ends in between.
pub(crate) async fn make(file: &Path, meta: Meta) -> Result<(), LogError> {
    let io = |error: std::io::Error| LogError::Unavailable(format!("log.db: {error}"));
    let new = folder::begin_file(file).map_err(io)?;
    let made = async {
        let options = writer_options(&new).create_if_missing(true);
        let mut connection = sqlite::connect(&options).await?;
        create(&mut connection, meta).await?;
        // What stays in the WAL would be lost with the name that it is for.
        let kept: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(kept)
    };
    if made.await.map_err(|error| unreadable(&error))? != 0 {
        return Err(LogError::Locked(format!(
            "another program holds {}",
            new.display()
        )));
    }
    folder::put_in_place(file).map_err(io)
}

/// Opens a connection to the log `file`, which is there.
///
/// # Errors
/// Also where the file is empty: SQLite would take it for a new database, and remove its WAL.
pub(crate) async fn connect(
    options: &SqliteConnectOptions,
    file: &Path,
) -> Result<SqliteConnection, LogError> {
    if std::fs::metadata(file).is_ok_and(|found| found.len() == 0) {
        return Err(empty(file));
    }
    sqlite::connect(options)
        .await
        .map_err(|error| unreadable(&error))
}

/// A log is never empty, since it is made as a whole.
fn empty(file: &Path) -> LogError {
    LogError::Unusable(format!(
        "{} is empty, and a log never is: put it back as it was, with log.db-wal if there was one",
        file.display()
    ))
}

/// Reads [`Meta`] of the log `file`.
pub(crate) async fn read_meta(
    connection: &mut SqliteConnection,
    file: &Path,
) -> Result<Meta, LogError> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| unreadable(&error))?;
    if tables == 0 {
        return Err(empty(file));
    }
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| unreadable(&error))?;
    if application != APPLICATION_ID {
        return Err(LogError::Unusable(
            "log.db is an SQLite database, but not a log of Daybook".to_owned(),
        ));
    }
    let row = sqlx::query("SELECT format, log_id, shard_count FROM meta")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| unreadable(&error))?;
    let format: i64 = row.get(0);
    if format > FORMAT {
        return Err(LogError::Unusable(format!(
            "FOLDER_TOO_NEW: log.db has format {format}, and this build of Daybook reads formats \
             up to {FORMAT}: use the version that wrote it, or a newer one"
        )));
    }
    let log_id: Vec<u8> = row.get(1);
    let (Ok(log_id), Ok(shard_count)) = (
        <[u8; 16]>::try_from(log_id),
        u32::try_from(row.get::<i64, _>(2)),
    ) else {
        return Err(damaged("its row of meta contradicts itself"));
    };
    Ok(Meta {
        log_id: LogId(log_id),
        shard_count,
    })
}

/// Makes the tables, all or none.
async fn create(connection: &mut SqliteConnection, meta: Meta) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "PRAGMA application_id = {APPLICATION_ID}"
    )))
    .execute(&mut *transaction)
    .await?;
    sqlx::query("INSERT INTO meta (only_row, format, log_id, shard_count) VALUES (1, ?, ?, ?)")
        .bind(FORMAT)
        .bind(meta.log_id.0.to_vec())
        .bind(i64::from(meta.shard_count))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Where `shard` ends.
pub(crate) async fn end_of(connection: &mut SqliteConnection, shard: u32) -> Result<End, LogError> {
    let last = sqlx::query(
        "SELECT first_sequence + record_count, position FROM entries
          WHERE shard = ? AND record_count > 0 ORDER BY first_sequence DESC LIMIT 1",
    )
    .bind(i64::from(shard))
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| unreadable(&error))?;
    let claim: Option<i64> = sqlx::query_scalar("SELECT position FROM claims WHERE shard = ?")
        .bind(i64::from(shard))
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| unreadable(&error))?;
    let (next_sequence, position) = last.map_or((1, 0), |row| (row.get(0), row.get(1)));
    Ok(End {
        next_sequence: next_sequence.max(1) as u64,
        position: Position(position.max(claim.unwrap_or(0)).max(0) as u64),
    })
}

/// Damage that has no place in a shard.
pub(crate) fn damaged(what: &str) -> LogError {
    LogError::Damaged {
        shard: 0,
        position: Position(0),
        what: format!("log.db is damaged: {what}; run `daybook verify`"),
    }
}

/// What an error in opening the file means.
pub(crate) fn unreadable(error: &sqlx::Error) -> LogError {
    match sqlite::cause(error) {
        Cause::Damaged => damaged(&error.to_string()),
        Cause::Busy => LogError::Locked(format!("another program holds log.db: {error}")),
        _ => LogError::Unavailable(format!("log.db: {error}")),
    }
}
