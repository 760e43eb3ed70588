//! Reading committed entries.

use async_trait::async_trait;
use ports::log::{LogEntry, LogError, LogReader, Position};
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use tokio::sync::watch;

use super::entry::{as_it_stands, entry_columns, from_row};
use crate::sqlite::{self, Cause};

/// Most entries of one chunk, so that a chunk of tiny entries ends too.
const CHUNK_ENTRIES_MAX: i64 = 4_096;

/// See [`LogReader`].
pub(crate) struct Reader {
    pool: SqlitePool,
    sequences: Vec<watch::Receiver<u64>>,
}

impl Reader {
    /// Reads through `pool`; `sequences` tell the next sequence of each shard.
    pub(crate) fn new(pool: SqlitePool, sequences: Vec<watch::Receiver<u64>>) -> Self {
        Self { pool, sequences }
    }

    /// Positions from `from` whose bodies have about `bytes_max` in all: (first, last).
    ///
    /// Only the lengths are read here. A second statement then fetches the bodies, so that never
    /// more than a chunk is in memory, however far ahead SQLite's thread runs; an entry never
    /// changes, so the two need no common read transaction.
    async fn chunk(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Option<(i64, i64)>, LogError> {
        let rows = sqlx::query(
            "SELECT position, length(body) FROM entries
              WHERE position >= ? AND shard = ? ORDER BY position LIMIT ?",
        )
        .bind(signed(from))
        .bind(i64::from(shard))
        .bind((bytes_max as i64 / 32).clamp(1, CHUNK_ENTRIES_MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed(shard, from, &error))?;
        let mut chunk = None;
        let mut bytes = 0;
        for row in &rows {
            let (position, length): (i64, i64) = (
                row.try_get(0)
                    .map_err(|error| failed(shard, from, &error))?,
                row.try_get(1)
                    .map_err(|error| failed(shard, from, &error))?,
            );
            bytes += length.max(0) as usize;
            match &mut chunk {
                None => chunk = Some((position, position)),
                Some(_) if bytes > bytes_max => break,
                Some((_, last)) => *last = position,
            }
        }
        Ok(chunk)
    }

    async fn entry_at(&self, shard: u32, position: i64) -> Result<Option<LogEntry>, LogError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE position = ? AND shard = ?"
        ))
        .bind(position)
        .bind(i64::from(shard))
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed(shard, Position(position.max(0) as u64), &error))?;
        row.map(|row| from_row(shard, &row)).transpose()
    }

    /// Reads a chunk entry by entry where reading it as a whole met a damaged page: what stands
    /// before the damage is given, and then the damage is named.
    async fn one_by_one(
        &self,
        shard: u32,
        first: i64,
        last: i64,
    ) -> Result<Vec<LogEntry>, LogError> {
        let mut entries = Vec::new();
        for position in first..=last {
            match self.entry_at(shard, position).await {
                Ok(entry) => entries.extend(entry),
                Err(error) if entries.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(entries)
    }
}

#[async_trait]
impl LogReader for Reader {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let Some((first, last)) = self.chunk(shard, from, bytes_max).await? else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE position BETWEEN ? AND ? AND shard = ? ORDER BY position"
        ))
        .bind(first)
        .bind(last)
        .bind(i64::from(shard))
        .fetch_all(&self.pool)
        .await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) if sqlite::cause(&error) == Cause::Damaged => {
                return self.one_by_one(shard, first, last).await;
            }
            Err(error) => return Err(failed(shard, from, &error)),
        };
        checked(shard, rows)
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        let Ok(sequence) = i64::try_from(sequence) else {
            return Ok(None);
        };
        let row = sqlx::query(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE shard = ? AND record_count > 0 AND first_sequence <= ?
              ORDER BY first_sequence DESC LIMIT 1"
        ))
        .bind(i64::from(shard))
        .bind(sequence)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed(shard, Position(0), &error))?;
        let Some(row) = row else { return Ok(None) };
        let entry = from_row(shard, &row)?;
        Ok(Some(entry).filter(|entry| (sequence as u64) < entry.next_sequence()))
    }

    async fn read_damaged(
        &self,
        shard: u32,
        position: Position,
    ) -> Result<Option<LogEntry>, LogError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            entry_columns!(),
            " FROM entries WHERE position = ? AND shard = ?"
        ))
        .bind(signed(position))
        .bind(i64::from(shard))
        .fetch_optional(&self.pool)
        .await;
        match row {
            Ok(row) => Ok(row.and_then(|row| as_it_stands(&row))),
            Err(error) if sqlite::cause(&error) == Cause::Damaged => Ok(None),
            Err(error) => Err(failed(shard, position, &error)),
        }
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        match self.sequences.get(shard as usize) {
            Some(sequence) => sequence.clone(),
            // A shard that does not exist never grows.
            None => watch::channel(1).1,
        }
    }
}

/// The entries of `rows` up to the first damaged one, which is named when it is the first.
fn checked(shard: u32, rows: Vec<SqliteRow>) -> Result<Vec<LogEntry>, LogError> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        match from_row(shard, &row) {
            Ok(entry) => entries.push(entry),
            Err(error) if entries.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(entries)
}

fn signed(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn failed(shard: u32, position: Position, error: &sqlx::Error) -> LogError {
    match (sqlite::cause(error), error) {
        (Cause::Damaged, _) | (_, sqlx::Error::ColumnDecode { .. }) => LogError::Damaged {
            shard,
            position,
            what: format!("log.db is damaged at or after this position: {error}"),
        },
        _ => LogError::Unavailable(format!("log.db: {error}")),
    }
}
