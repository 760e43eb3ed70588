//! Reading an account's history and its days.

use ledger_core::account::AccountNumber;
use ledger_core::time::{Day, Timestamp};
use ports::projection::{HistoryRow, LedgerIndex, ProjectionError};
use ports::views::{DayBucket, HistoryRange};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::accounts::limit;
use super::generation::LedgerRef;
use super::places;
use super::values::{
    failed, get, get_minor_units, get_number, get_time, get_totals, get_u64, unpack_movements,
};

/// The columns that [`get_history`] reads.
macro_rules! history_columns {
    () => {
        "account, ledger_sequence, recorded_at, version, debits_posted, credits_posted,
         debits_pending, credits_pending, movements"
    };
}

fn get_history(row: &SqliteRow) -> Result<HistoryRow, ProjectionError> {
    Ok(HistoryRow {
        ledger: LedgerIndex(0),
        account: get_number(row, 0)?,
        ledger_sequence: get_u64(row, 1)?,
        recorded_at: get_time(row, 2)?,
        version: get_u64(row, 3)?,
        totals: get_totals(row, 4)?,
        movements: unpack_movements(get(row, 8)?)?,
    })
}

fn bound(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// See [`ports::views::Views::history`].
pub(super) async fn range(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    account: AccountNumber,
    range: HistoryRange,
    most: usize,
) -> Result<Vec<HistoryRow>, ProjectionError> {
    let text = match range.newest_first {
        false => concat!(
            "SELECT ",
            history_columns!(),
            " FROM history WHERE ledger_id = ? AND account = ? AND ledger_sequence BETWEEN ? AND ?
              ORDER BY ledger_sequence LIMIT ?"
        ),
        true => concat!(
            "SELECT ",
            history_columns!(),
            " FROM history WHERE ledger_id = ? AND account = ? AND ledger_sequence BETWEEN ? AND ?
              ORDER BY ledger_sequence DESC LIMIT ?"
        ),
    };
    let rows = sqlx::query(text)
        .bind(ledger.id)
        .bind(i64::from(account.0))
        .bind(bound(range.from))
        .bind(bound(range.through))
        .bind(limit(most))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    rows.iter().map(get_history).collect()
}

/// See [`ports::views::Views::history_at`].
pub(super) async fn at(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    account: AccountNumber,
    at: Timestamp,
) -> Result<Option<HistoryRow>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    // Every record from the first place after `at` on is later; before it, only the records of
    // that place's entry before can be.
    let before = places::first_after(&mut transaction, ledger, at).await?;
    let row = sqlx::query(concat!(
        "SELECT ",
        history_columns!(),
        " FROM history WHERE ledger_id = ? AND account = ? AND ledger_sequence < ?
             AND recorded_at <= ?
          ORDER BY ledger_sequence DESC LIMIT 1"
    ))
    .bind(ledger.id)
    .bind(i64::from(account.0))
    .bind(before.map_or(i64::MAX, bound))
    .bind(at.micros())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    row.as_ref().map(get_history).transpose()
}

/// See [`ports::views::Views::days`].
pub(super) async fn days(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    account: AccountNumber,
    from: Day,
    through: Day,
    most: usize,
) -> Result<Vec<DayBucket>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT day, debits, credits, first_ledger_sequence, last_ledger_sequence FROM days
          WHERE ledger_id = ? AND account = ? AND day BETWEEN ? AND ? ORDER BY day LIMIT ?",
    )
    .bind(ledger.id)
    .bind(i64::from(account.0))
    .bind(from.0)
    .bind(through.0)
    .bind(limit(most))
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.iter()
        .map(|row| {
            Ok(DayBucket {
                day: Day(get(row, 0)?),
                debits: get_minor_units(row, 1)?,
                credits: get_minor_units(row, 2)?,
                first_ledger_sequence: get_u64(row, 3)?,
                last_ledger_sequence: get_u64(row, 4)?,
            })
        })
        .collect()
}
