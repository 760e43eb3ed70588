//! Rows of `entries`: their hash, and reading them back.

use bytes::Bytes;
use ports::log::{LogEntry, LogError, Position};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Columns in the order that [`from_row`] reads.
macro_rules! entry_columns {
    () => {
        "position, first_sequence, record_count, epoch, entry_hash, body"
    };
}
pub(crate) use entry_columns;

/// BLAKE3 over everything of an entry that is given before it is stored.
pub(crate) fn hash(
    shard: u32,
    first_sequence: u64,
    record_count: u32,
    epoch: u64,
    body: &[u8],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&shard.to_be_bytes());
    hasher.update(&first_sequence.to_be_bytes());
    hasher.update(&record_count.to_be_bytes());
    hasher.update(&epoch.to_be_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// The entry of a row, if it is as it was written.
pub(crate) fn from_row(shard: u32, row: &SqliteRow) -> Result<LogEntry, LogError> {
    let position = Position(row.try_get::<i64, _>(0).unwrap_or(0).max(0) as u64);
    let damaged = |what: String| LogError::Damaged {
        shard,
        position,
        what,
    };
    let columns = || -> Result<_, sqlx::Error> {
        Ok((
            row.try_get::<i64, _>(1)?,
            row.try_get::<i64, _>(2)?,
            row.try_get::<i64, _>(3)?,
            row.try_get::<&[u8], _>(4)?,
            row.try_get::<Vec<u8>, _>(5)?,
        ))
    };
    let (first_sequence, record_count, epoch, stored, body) = columns()
        .map_err(|error| damaged(format!("a column of the entry cannot be read: {error}")))?;
    let (Ok(first_sequence), Ok(record_count), Ok(epoch)) = (
        u64::try_from(first_sequence),
        u32::try_from(record_count),
        u64::try_from(epoch),
    ) else {
        return Err(damaged("a number of the entry is out of range".to_owned()));
    };
    if stored != hash(shard, first_sequence, record_count, epoch, &body) {
        return Err(damaged(format!(
            "the entry of {record_count} records from sequence {first_sequence} does not have \
             the hash that it was written with"
        )));
    }
    Ok(LogEntry {
        position,
        first_sequence,
        record_count,
        body: Bytes::from(body),
    })
}

/// The entry of a row, damaged or not, where its columns can be read at all.
pub(crate) fn as_it_stands(row: &SqliteRow) -> Option<LogEntry> {
    Some(LogEntry {
        position: Position(row.try_get::<i64, _>(0).ok()?.max(0) as u64),
        first_sequence: u64::try_from(row.try_get::<i64, _>(1).ok()?).ok()?,
        record_count: u32::try_from(row.try_get::<i64, _>(2).ok()?).ok()?,
        body: Bytes::from(row.try_get::<Vec<u8>, _>(5).ok()?),
    })
}
