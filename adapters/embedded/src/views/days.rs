//! Adding to the buckets of (account, effective day).

use std::sync::LazyLock;

use ports::projection::{DayRow, ProjectionError};
use sqlx::sqlite::SqliteConnection;

use super::apply::Ids;
use super::bulk::Bulk;
use super::values::{Values, failed, get_minor_units};

/// SQLite adds where both sums are INTEGER and the result fits 63 bits; where it does not, NULL
/// breaks the NOT NULL of the column, and the statement is undone.
static ADD: LazyLock<Bulk> = LazyLock::new(|| {
    let sum = |column: &str| {
        format!(
            "CASE WHEN typeof({column}) = 'integer' AND typeof(excluded.{column}) = 'integer'
                   AND {column} <= 9223372036854775807 - excluded.{column}
                  THEN {column} + excluded.{column} END"
        )
    };
    Bulk::new(
        "INSERT INTO days (ledger_id, account, day, debits, credits, first_ledger_sequence,
           last_ledger_sequence) VALUES",
        7,
        &format!(
            "ON CONFLICT DO UPDATE SET debits = {}, credits = {},
               first_ledger_sequence = min(first_ledger_sequence, excluded.first_ledger_sequence),
               last_ledger_sequence = max(last_ledger_sequence, excluded.last_ledger_sequence)",
            sum("debits"),
            sum("credits")
        ),
    )
});

/// Adds `rows`.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    ids: &Ids,
    rows: &[DayRow],
) -> Result<(), ProjectionError> {
    let large = ADD
        .run_where_it_fits(connection, rows, |values, row| {
            add_values(
                values,
                ids,
                row,
                row.debits.minor_units(),
                row.credits.minor_units(),
            );
        })
        .await?;
    for row in large {
        add_exactly(connection, ids, row).await?;
    }
    Ok(())
}

/// Adds one row in Rust, whatever its size.
async fn add_exactly(
    connection: &mut SqliteConnection,
    ids: &Ids,
    row: &DayRow,
) -> Result<(), ProjectionError> {
    let found = sqlx::query(
        "DELETE FROM days WHERE ledger_id = ? AND account = ? AND day = ?
         RETURNING debits, credits, first_ledger_sequence, last_ledger_sequence",
    )
    .bind(ids.of(row.ledger))
    .bind(i64::from(row.account.0))
    .bind(row.day.0)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    let mut sum = *row;
    let mut debits = row.debits.minor_units();
    let mut credits = row.credits.minor_units();
    if let Some(found) = found {
        // Neither overflows: both are parts of totals of at most i128::MAX.
        debits = debits.saturating_add(get_minor_units(&found, 0)?);
        credits = credits.saturating_add(get_minor_units(&found, 1)?);
        let first = super::values::get_u64(&found, 2)?;
        let last = super::values::get_u64(&found, 3)?;
        sum.first_ledger_sequence = sum.first_ledger_sequence.min(first);
        sum.last_ledger_sequence = sum.last_ledger_sequence.max(last);
    }
    let mut values = Values::with_capacity(7);
    add_values(&mut values, ids, &sum, debits, credits);
    sqlx::query_with(
        "INSERT INTO days (ledger_id, account, day, debits, credits, first_ledger_sequence,
           last_ledger_sequence) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values.into_arguments()?,
    )
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

fn add_values(values: &mut Values, ids: &Ids, row: &DayRow, debits: u128, credits: u128) {
    values.add(ids.of(row.ledger));
    values.add(i64::from(row.account.0));
    values.add(row.day.0);
    values.add_minor_units(debits);
    values.add_minor_units(credits);
    values.add_u64(row.first_ledger_sequence);
    values.add_u64(row.last_ledger_sequence);
}
