//! Where a ledger's records stand in the log, and at which sequence a moment lies.

use ledger_core::time::Timestamp;
use ports::log::Position;
use ports::projection::{LedgerIndex, PlaceRow, ProjectionError};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::generation::LedgerRef;
use super::values::{failed, get_time, get_u64};

fn get_place(row: &SqliteRow) -> Result<PlaceRow, ProjectionError> {
    Ok(PlaceRow {
        ledger: LedgerIndex(0),
        ledger_sequence: get_u64(row, 0)?,
        sequence: get_u64(row, 1)?,
        position: Position(get_u64(row, 2)?),
        recorded_at: get_time(row, 3)?,
    })
}

/// See [`ports::views::Views::place`].
pub(super) async fn of(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    ledger_sequence: u64,
) -> Result<Option<PlaceRow>, ProjectionError> {
    let row = sqlx::query(
        "SELECT ledger_sequence, sequence, position, recorded_at FROM places
          WHERE ledger_id = ? AND ledger_sequence <= ? ORDER BY ledger_sequence DESC LIMIT 1",
    )
    .bind(ledger.id)
    .bind(i64::try_from(ledger_sequence).unwrap_or(i64::MAX))
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.as_ref().map(get_place).transpose()
}

/// See [`ports::views::Views::place_at`].
pub(super) async fn at(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    at: Timestamp,
) -> Result<Option<PlaceRow>, ProjectionError> {
    let row = sqlx::query(
        "SELECT ledger_sequence, sequence, position, recorded_at FROM places
          WHERE ledger_id = ? AND recorded_at <= ?
          ORDER BY recorded_at DESC, ledger_sequence DESC LIMIT 1",
    )
    .bind(ledger.id)
    .bind(at.micros())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.as_ref().map(get_place).transpose()
}

/// Ledger sequence of the last place before `at`; 0 without any. Every record before it is
/// before `at` too.
pub(super) async fn last_before(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    at: Timestamp,
) -> Result<u64, ProjectionError> {
    let sequence: Option<i64> = sqlx::query_scalar(
        "SELECT ledger_sequence FROM places WHERE ledger_id = ? AND recorded_at < ?
          ORDER BY recorded_at DESC, ledger_sequence DESC LIMIT 1",
    )
    .bind(ledger.id)
    .bind(at.micros())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    Ok(sequence.unwrap_or(0).max(0) as u64)
}

/// Ledger sequence of the first place after `at`. Every record from it on is after `at` too.
pub(super) async fn first_after(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    at: Timestamp,
) -> Result<Option<u64>, ProjectionError> {
    let sequence: Option<i64> = sqlx::query_scalar(
        "SELECT ledger_sequence FROM places WHERE ledger_id = ? AND recorded_at > ?
          ORDER BY recorded_at, ledger_sequence LIMIT 1",
    )
    .bind(ledger.id)
    .bind(at.micros())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    Ok(sequence.map(|sequence| sequence.max(1) as u64))
}
