//! Where a ledger's records stand in the log; and the buckets of days.

use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Timestamp};
use ports::log::Position;
use ports::projection::{LedgerIndex, PlaceRow, ProjectionError};
use ports::views::DayBucket;
use sqlx::postgres::{PgConnection, PgRow};

use crate::failure::Failure;
use crate::generation::Generation;
use crate::ledgers::limit;
use crate::values::{Date, Time, bound, get, get_minor_units, get_time, get_u64};

fn get_place(row: &PgRow) -> Result<PlaceRow, ProjectionError> {
    Ok(PlaceRow {
        ledger: LedgerIndex(0),
        ledger_sequence: get_u64(row, 0)?,
        sequence: get_u64(row, 1)?,
        position: Position(get_u64(row, 2)?),
        recorded_at: get_time(row, 3)?,
    })
}

/// See [`ports::views::Views::place`].
pub(crate) async fn of(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    ledger_sequence: u64,
) -> Result<Option<PlaceRow>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT ledger_sequence, sequence, position, recorded_at FROM $g.places
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND ledger_sequence <= $2 ORDER BY ledger_sequence DESC LIMIT 1",
    ))
    .bind(ledger.as_str())
    .bind(bound(ledger_sequence))
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(get_place).transpose()?)
}

/// See [`ports::views::Views::place_at`].
pub(crate) async fn at(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    at: Timestamp,
) -> Result<Option<PlaceRow>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT ledger_sequence, sequence, position, recorded_at FROM $g.places
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND recorded_at <= $2 ORDER BY recorded_at DESC, ledger_sequence DESC LIMIT 1",
    ))
    .bind(ledger.as_str())
    .bind(Time(at))
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(get_place).transpose()?)
}

/// See [`ports::views::Views::days`].
pub(crate) async fn days(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    account: AccountNumber,
    days: (Day, Day),
    most: usize,
) -> Result<Vec<DayBucket>, Failure> {
    let rows = sqlx::query(generation.sql(
        "SELECT day, debits, credits, first_ledger_sequence, last_ledger_sequence FROM $g.days
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND account = $2 AND day BETWEEN $3 AND $4 ORDER BY day LIMIT $5",
    ))
    .bind(ledger.as_str())
    .bind(i64::from(account.0))
    .bind(Date(days.0))
    .bind(Date(days.1))
    .bind(limit(most))
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(DayBucket {
            day: get::<Date>(row, 0)?.0,
            debits: get_minor_units(row, 1)?,
            credits: get_minor_units(row, 2)?,
            first_ledger_sequence: get_u64(row, 3)?,
            last_ledger_sequence: get_u64(row, 4)?,
        });
    }
    Ok(found)
}
