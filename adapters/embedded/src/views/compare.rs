//! Comparing rebuilt read models with the live ones.

use std::collections::VecDeque;

use ledger_core::account::AccountNumber;
use ports::projection::{HistoryRow, ProjectionError};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::chunk::unpack;
use super::schema::COMPARED;
use super::values::{failed, get, get_number};

/// Compares every table of `main` (the rebuilt one) with the same of `live`, in one read
/// transaction. Ledgers are matched by name, since their numbers depend on who came first.
pub(super) async fn compare(
    connection: &mut SqliteConnection,
) -> Result<Vec<String>, ProjectionError> {
    sqlx::raw_sql(
        "BEGIN;
         CREATE TEMP TABLE IF NOT EXISTS matched
             (live_id INTEGER PRIMARY KEY, main_id INTEGER NOT NULL, name TEXT NOT NULL);
         DELETE FROM temp.matched;
         INSERT INTO temp.matched SELECT l.ledger_id, m.ledger_id, l.name
           FROM live.ledgers l JOIN main.ledgers m USING (name);",
    )
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    let mut found = Vec::new();
    for (table, key, columns) in COMPARED {
        if let Some(difference) = difference(connection, table, key, columns).await? {
            found.push(difference);
        }
    }
    found.extend(history_difference(connection).await?);
    Ok(found)
}

/// The first difference in `table`: a live row that the rebuilt table does not have alike; or,
/// where there is none, rows that only the rebuilt table has.
async fn difference(
    connection: &mut SqliteConnection,
    table: &str,
    key: &[&str],
    columns: &[&str],
) -> Result<Option<String>, ProjectionError> {
    let joined: String = key
        .iter()
        .map(|column| format!(" AND m.{column} = l.{column}"))
        .collect();
    let unlike: Vec<_> = columns
        .iter()
        .map(|column| format!("m.{column} IS NOT l.{column}"))
        .collect();
    let shown: Vec<_> = key
        .iter()
        .map(|column| format!("'{column} ' || quote(l.{column})"))
        .chain(columns.iter().map(|column| {
            format!(
                "CASE WHEN m.ledger_id IS NOT NULL AND m.{column} IS NOT l.{column} THEN
                   '{column} is ' || quote(l.{column}) || ' and rebuilt ' || quote(m.{column}) END"
            )
        }))
        .collect();
    let text = format!(
        "SELECT concat_ws(', ', coalesce('ledger ' || x.name, 'a ledger that is not rebuilt'), {},
                CASE WHEN m.ledger_id IS NULL THEN 'not in the rebuilt table' END)
           FROM live.{table} l LEFT JOIN temp.matched x ON x.live_id = l.ledger_id
           LEFT JOIN main.{table} m ON m.ledger_id = x.main_id{joined}
          WHERE m.ledger_id IS NULL OR {} LIMIT 1",
        shown.join(", "),
        unlike.join(" OR "),
    );
    let row = sqlx::query(AssertSqlSafe(text))
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if let Some(row) = row {
        let what: String = get(&row, 0)?;
        return Ok(Some(format!("{table}: {what}")));
    }
    let counts =
        format!("SELECT (SELECT count(*) FROM live.{table}), (SELECT count(*) FROM main.{table})");
    let row = sqlx::query(AssertSqlSafe(counts))
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let (live, rebuilt): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
    Ok((live != rebuilt).then(|| format!("{table}: {live} rows, and {rebuilt} rebuilt")))
}

/// The first difference in the history of the ledgers that both have.
async fn history_difference(
    connection: &mut SqliteConnection,
) -> Result<Option<String>, ProjectionError> {
    let ledgers = sqlx::query("SELECT live_id, main_id, name FROM temp.matched ORDER BY name")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    for ledger in &ledgers {
        let name: &str = get(ledger, 2)?;
        let mut live = Records::of("live", get(ledger, 0)?);
        let mut rebuilt = Records::of("main", get(ledger, 1)?);
        loop {
            let pair = (
                live.next(connection).await?,
                rebuilt.next(connection).await?,
            );
            let what = match pair {
                (None, None) => break,
                (Some(live), Some(rebuilt)) if live == rebuilt => continue,
                (Some(live), Some(rebuilt)) => {
                    format!("it is {live:?} and rebuilt {rebuilt:?}")
                }
                (Some(live), None) => format!("{live:?} is not in the rebuilt table"),
                (None, Some(rebuilt)) => format!("{rebuilt:?} is only in the rebuilt table"),
            };
            return Ok(Some(format!("history: ledger {name}, {what}")));
        }
    }
    Ok(None)
}

/// The records of a ledger's history in order, a few rows at a time.
struct Records {
    text: String,
    ledger_id: i64,
    after: (i64, i64),
    waiting: VecDeque<HistoryRow>,
    ended: bool,
}

impl Records {
    fn of(schema: &str, ledger_id: i64) -> Self {
        Self {
            text: format!(
                "SELECT account, first_sequence, records FROM {schema}.history
                  WHERE ledger_id = ? AND (account, first_sequence) > (?, ?)
                  ORDER BY account, first_sequence LIMIT 512"
            ),
            ledger_id,
            after: (-1, -1),
            waiting: VecDeque::new(),
            ended: false,
        }
    }

    async fn next(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        while self.waiting.is_empty() && !self.ended {
            let rows = sqlx::query(AssertSqlSafe(self.text.clone()))
                .bind(self.ledger_id)
                .bind(self.after.0)
                .bind(self.after.1)
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
            self.ended = rows.is_empty();
            for row in &rows {
                let account: AccountNumber = get_number(row, 0)?;
                self.after = (i64::from(account.0), get(row, 1)?);
                self.waiting.extend(unpack(account, get(row, 2)?)?);
            }
        }
        Ok(self.waiting.pop_front())
    }
}
