//! One file of read models: the live one, or one that is being rebuilt.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use ledger_core::name::LedgerName;
use ports::log::Position;
use ports::projection::{Checkpoint, HeadRow, LedgerIndex, ProjectionError};
use schemas::record::LogId;
use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use tokio::sync::Mutex;

use super::schema::{APPLICATION_ID, FORMAT, PAGE_BYTES, TABLES};
use super::values::{failed, get, get_bytes, get_hash, get_time, get_u64, unusable};
use crate::folder::beside;
use crate::sqlite;

/// Connections that answer queries.
const READERS: u32 = 6;
/// Connections that load facts, which commands wait for: queries do not stand in their way.
const FACTS_READERS: u32 = 2;
/// Names whose ids are remembered.
const NAMES_MAX: usize = 100_000;

/// How a ledger is known in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LedgerRef {
    /// Its number in this file.
    pub(crate) id: i64,
    /// The shard that it lives in.
    pub(crate) shard: u32,
}

/// See the module.
pub(crate) struct Generation {
    file: PathBuf,
    pub(crate) log_id: LogId,
    pub(crate) readers: SqlitePool,
    pub(crate) facts: SqlitePool,
    /// `None` when opened for reading alone, or closed.
    pub(crate) writer: Mutex<Option<Writer>>,
    names: RwLock<HashMap<LedgerName, LedgerRef>>,
}

/// The connection that writes, and its transactions.
///
/// They are begun and ended by hand: SQLite ends a transaction by itself where the disk is full,
/// and sqlx, which counts them, would take the next one for a savepoint of it for ever.
pub(crate) struct Writer {
    pub(crate) connection: SqliteConnection,
    /// A transaction was begun, and neither committed nor rolled back since.
    begun: bool,
}

impl Writer {
    fn new(connection: SqliteConnection) -> Self {
        Self {
            connection,
            begun: false,
        }
    }

    /// Begins a transaction. One that a caller left behind by going away is rolled back first.
    pub(crate) async fn begin(&mut self) -> Result<(), ProjectionError> {
        if self.begun {
            self.roll_back().await;
        }
        self.begun = true;
        self.execute("BEGIN IMMEDIATE").await
    }

    /// Commits it.
    pub(crate) async fn commit(&mut self) -> Result<(), ProjectionError> {
        self.execute("COMMIT").await?;
        self.begun = false;
        Ok(())
    }

    /// Rolls it back, if SQLite has not done so by itself.
    pub(crate) async fn roll_back(&mut self) {
        let _ = self.execute("ROLLBACK").await;
        self.begun = false;
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), ProjectionError> {
        sqlx::query(sql)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

/// What a file of read models turned out to be.
pub(crate) enum Found {
    /// It can be used.
    Usable(Generation),
    /// It was made by an earlier version, and must be built anew.
    Outdated,
}

impl Generation {
    /// Opens `file`; makes it where it is missing.
    pub(crate) async fn open(
        file: &Path,
        log_id: LogId,
        shard_count: u32,
    ) -> Result<Found, ProjectionError> {
        let options = sqlite::options(file)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            // A power loss may undo the last transactions, never a part of one: the projector
            // finds the checkpoint of what is there, and goes on from it.
            .synchronous(SqliteSynchronous::Normal)
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "67108864")
            .pragma("temp_store", "MEMORY")
            .statement_cache_capacity(200)
            .thread_name(|_| "daybook-views".to_owned());
        let mut writer = sqlite::connect(&options).await.map_err(failed)?;
        match read_meta(&mut writer).await? {
            Some(meta) if meta.format < FORMAT => return Ok(Found::Outdated),
            Some(meta) => check(&meta, log_id, shard_count)?,
            None => create(&mut writer, log_id, shard_count)
                .await
                .map_err(failed)?,
        }
        let reading = sqlite::options(file);
        Ok(Found::Usable(Self::new(
            file,
            log_id,
            Some(writer),
            reading,
        )))
    }

    /// Opens `file` for reading alone. `None` where there is nothing in it for this version: the
    /// next start makes it anew.
    pub(crate) async fn open_read_only(
        file: &Path,
        log_id: LogId,
        shard_count: u32,
    ) -> Result<Option<Self>, ProjectionError> {
        if !file.exists() {
            return Ok(None);
        }
        let mut reading = sqlite::options(file).read_only(true);
        if std::fs::metadata(beside(file, "-wal")).is_err()
            && sqlite::connect(&reading).await.is_err()
        {
            // As with the log: nobody serves it, and SQLite cannot write to the folder.
            reading = reading.immutable(true);
        }
        let mut connection = sqlite::connect(&reading).await.map_err(failed)?;
        match read_meta(&mut connection).await? {
            Some(meta) if meta.format < FORMAT => return Ok(None),
            Some(meta) => check(&meta, log_id, shard_count)?,
            None => return Ok(None),
        }
        connection.close().await.map_err(failed)?;
        Ok(Some(Self::new(file, log_id, None, reading)))
    }

    fn new(
        file: &Path,
        log_id: LogId,
        writer: Option<SqliteConnection>,
        reading: SqliteConnectOptions,
    ) -> Self {
        let reading = reading.pragma("cache_size", "-4096");
        Self {
            file: file.to_owned(),
            log_id,
            readers: sqlite::readers(reading.clone(), READERS, "daybook-query"),
            facts: sqlite::readers(reading, FACTS_READERS, "daybook-facts"),
            writer: Mutex::new(writer.map(Writer::new)),
            names: RwLock::default(),
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// What SQLite's own check of the pages finds; empty where they are sound.
    pub(crate) async fn page_check(&self) -> Result<Vec<String>, ProjectionError> {
        let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(20)")
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Closes all connections, and waits for those in use.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.facts.close().await;
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.connection.close().await
        {
            tracing::warn!(%error, "the read models were not closed cleanly; nothing is lost");
        }
    }

    /// Removes the file and what SQLite keeps beside it.
    pub(crate) fn remove(file: &Path) -> std::io::Result<()> {
        for path in [file.to_owned(), beside(file, "-wal"), beside(file, "-shm")] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// How `ledger` is known here, from memory alone.
    pub(crate) fn remembered(&self, ledger: &LedgerName) -> Option<LedgerRef> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(ledger).copied()
    }

    /// Remembers names that are committed. An id never changes in a file.
    pub(crate) fn remember(&self, found: impl IntoIterator<Item = (LedgerName, LedgerRef)>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for (name, known) in found {
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(name, known);
        }
    }

    /// How `ledger` is known here; `None` where nothing is recorded of it.
    pub(crate) async fn ledger_ref(
        &self,
        connection: &mut SqliteConnection,
        ledger: &LedgerName,
    ) -> Result<Option<LedgerRef>, ProjectionError> {
        if let Some(known) = self.remembered(ledger) {
            return Ok(Some(known));
        }
        let found = find_ledger(connection, ledger).await?;
        if let Some(found) = found {
            self.remember([(ledger.clone(), found)]);
        }
        Ok(found)
    }
}

/// How `ledger` is known in the file of `connection`.
pub(crate) async fn find_ledger(
    connection: &mut SqliteConnection,
    ledger: &LedgerName,
) -> Result<Option<LedgerRef>, ProjectionError> {
    let row = sqlx::query("SELECT ledger_id, shard FROM ledgers WHERE name = ?")
        .bind(ledger.as_str().to_owned())
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(LedgerRef {
        id: get(&row, 0)?,
        shard: u32::try_from(get::<i64>(&row, 1)?).map_err(|_| unusable("a shard is negative"))?,
    }))
}

/// The checkpoint of `shard`.
pub(crate) async fn read_checkpoint(
    connection: &mut SqliteConnection,
    log_id: LogId,
    shard: u32,
) -> Result<Option<Checkpoint>, ProjectionError> {
    let row = sqlx::query(
        "SELECT sequence, record_hash, position, recorded_at FROM checkpoints WHERE shard = ?",
    )
    .bind(i64::from(shard))
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Checkpoint {
        log_id,
        sequence: get_u64(&row, 0)?,
        record_hash: get_hash(&row, 1)?,
        position: Position(get_u64(&row, 2)?),
        recorded_at: get_time(&row, 3)?,
    }))
}

/// The heads of `ledgers`, in order.
pub(crate) async fn read_heads(
    generation: &Generation,
    connection: &mut SqliteConnection,
    ledgers: &[LedgerName],
) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    let mut heads = Vec::with_capacity(ledgers.len());
    for (index, ledger) in ledgers.iter().enumerate() {
        let Some(known) = generation.ledger_ref(&mut transaction, ledger).await? else {
            heads.push(None);
            continue;
        };
        let row = sqlx::query(
            "SELECT ledger_sequence, record_hash, recorded_at FROM heads WHERE ledger_id = ?",
        )
        .bind(known.id)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        heads.push(match row {
            Some(row) => Some(HeadRow {
                ledger: LedgerIndex(index as u32),
                ledger_sequence: get_u64(&row, 0)?,
                record_hash: get_hash(&row, 1)?,
                recorded_at: get_time(&row, 2)?,
            }),
            None => None,
        });
    }
    transaction.commit().await.map_err(failed)?;
    Ok(heads)
}

struct Meta {
    format: i64,
    log_id: LogId,
    shard_count: i64,
}

async fn read_meta(connection: &mut SqliteConnection) -> Result<Option<Meta>, ProjectionError> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if tables == 0 {
        return Ok(None);
    }
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(unusable("the file holds something else"));
    }
    let row = sqlx::query("SELECT format, log_id, shard_count FROM meta")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    Ok(Some(Meta {
        format: get(&row, 0)?,
        log_id: LogId(get_bytes(&row, 1)?),
        shard_count: get(&row, 2)?,
    }))
}

fn check(meta: &Meta, log_id: LogId, shard_count: u32) -> Result<(), ProjectionError> {
    if meta.format > FORMAT {
        return Err(ProjectionError::Unusable(format!(
            "FOLDER_TOO_NEW: they have format {}, and this build of Daybook reads formats up to \
             {FORMAT}",
            meta.format
        )));
    }
    if meta.log_id != log_id {
        return Err(unusable(format!(
            "they were made from log {}, and the log here is {log_id}",
            meta.log_id
        )));
    }
    if meta.shard_count != i64::from(shard_count) {
        return Err(unusable(
            "they were made from a log with another number of shards",
        ));
    }
    Ok(())
}

async fn create(
    connection: &mut SqliteConnection,
    log_id: LogId,
    shard_count: u32,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    let mark = format!("PRAGMA application_id = {APPLICATION_ID}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(mark))
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO meta (only_row, format, log_id, shard_count) VALUES (1, ?, ?, ?)")
        .bind(FORMAT)
        .bind(log_id.0.to_vec())
        .bind(i64::from(shard_count))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
