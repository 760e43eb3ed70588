//! Reading an account's history and its days.

use ledger_core::account::AccountNumber;
use ledger_core::time::{Day, Timestamp};
use ports::projection::{HistoryRow, ProjectionError};
use ports::views::{DayBucket, HistoryRange};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::accounts::limit;
use super::chunk::unpack;
use super::generation::LedgerRef;
use super::places;
use super::values::{failed, get, get_minor_units, get_u64};

/// Rows that are fetched at once, each of which holds some records.
const ROWS_AT_ONCE: i64 = 16;

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
        // From the row that the first record may stand in the middle of.
        false => {
            "SELECT first_sequence, last_sequence, records FROM history
              WHERE ledger_id = ?1 AND account = ?2 AND first_sequence <= ?4
                AND first_sequence >= coalesce(
                    (SELECT max(first_sequence) FROM history
                      WHERE ledger_id = ?1 AND account = ?2 AND first_sequence <= ?3), 0)
              ORDER BY first_sequence LIMIT ?5"
        }
        true => {
            "SELECT first_sequence, last_sequence, records FROM history
              WHERE ledger_id = ?1 AND account = ?2 AND first_sequence <= ?4
                AND last_sequence >= ?3
              ORDER BY first_sequence DESC LIMIT ?5"
        }
    };
    let HistoryRange {
        mut from,
        mut through,
        newest_first,
    } = range;
    let mut found = Vec::new();
    let mut transaction = connection.begin().await.map_err(failed)?;
    while from <= through && found.len() < most {
        let rows = sqlx::query(text)
            .bind(ledger.id)
            .bind(i64::from(account.0))
            .bind(bound(from))
            .bind(bound(through))
            .bind(ROWS_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        for row in &rows {
            let mut records = unpack(account, get(row, 2)?)?;
            records.retain(|record| (from..=through).contains(&record.ledger_sequence));
            if newest_first {
                records.reverse();
            }
            found.extend(records);
        }
        if (rows.len() as i64) < ROWS_AT_ONCE {
            break;
        }
        let Some(last) = rows.last() else { break };
        match newest_first {
            false => from = get_u64(last, 1)? + 1,
            true => match get_u64(last, 0)?.checked_sub(1) {
                Some(before) => through = before,
                None => break,
            },
        }
    }
    transaction.commit().await.map_err(failed)?;
    found.truncate(most);
    Ok(found)
}

/// See [`ports::views::Views::history_at`].
pub(super) async fn at(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    account: AccountNumber,
    at: Timestamp,
) -> Result<Option<HistoryRow>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    // Every record from the first place after `at` on is later, so the search begins there and
    // ends at once: only rows of the entry before can be later too.
    let before = places::first_after(&mut transaction, ledger, at).await?;
    let row = sqlx::query(
        "SELECT records FROM history
          WHERE ledger_id = ? AND account = ? AND first_sequence < ? AND first_recorded_at <= ?
          ORDER BY first_sequence DESC LIMIT 1",
    )
    .bind(ledger.id)
    .bind(i64::from(account.0))
    .bind(before.map_or(i64::MAX, bound))
    .bind(at.micros())
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let mut records = unpack(account, get(&row, 0)?)?;
    records.retain(|record| record.recorded_at <= at);
    Ok(records.pop())
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
