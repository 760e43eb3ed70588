//! Comparing rebuilt read models with the live ones.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::accounts::ONE_STATE;
use crate::copy::sql;
use crate::failure::Failure;
use crate::generation::Generation;
use crate::schema::{COMPARED, Compared};
use crate::values::get;

/// Compares every table of `rebuilt` with the same of `live`, both as they stand at one moment.
/// Ledgers are matched by name, since their numbers depend on who came first.
pub(crate) async fn compare(
    connection: &mut PgConnection,
    live: &Generation,
    rebuilt: &Generation,
) -> Result<Vec<String>, Failure> {
    let mut transaction = connection.begin_with(ONE_STATE).await?;
    let mut found = Vec::new();
    for compared in COMPARED {
        found.extend(difference(&mut transaction, live, rebuilt, compared).await?);
    }
    transaction.commit().await?;
    Ok(found)
}

/// The first difference in a table: a live row that the rebuilt table does not have alike; or,
/// where there is none, rows that only the rebuilt table has.
async fn difference(
    connection: &mut PgConnection,
    live: &Generation,
    rebuilt: &Generation,
    compared: &Compared,
) -> Result<Option<String>, Failure> {
    let Compared {
        name,
        table,
        key,
        columns,
    } = compared;
    let (live, rebuilt) = (&live.schema, &rebuilt.schema);
    let joined: String = key
        .iter()
        .map(|column| format!(" AND m.{column} = l.{column}"))
        .collect();
    let unlike: Vec<_> = columns
        .iter()
        .map(|column| format!("m.{column} IS DISTINCT FROM l.{column}"))
        .collect();
    let shown: Vec<_> = key
        .iter()
        .map(|column| format!("'{column} ' || quote_nullable(l.{column}::text)"))
        .chain(columns.iter().map(|column| {
            format!(
                "CASE WHEN m.ledger_id IS NOT NULL AND m.{column} IS DISTINCT FROM l.{column} THEN
                   '{column} is ' || quote_nullable(l.{column}::text) || ' and rebuilt '
                   || quote_nullable(m.{column}::text) END"
            )
        }))
        .collect();
    let order: String = key.iter().map(|column| format!(", l.{column}")).collect();
    let text = format!(
        "SELECT concat_ws(', ', 'ledger ' || x.name, {},
                CASE WHEN m.ledger_id IS NULL THEN 'not in the rebuilt table' END)
           FROM {live}.{table} l JOIN {live}.ledgers x ON x.ledger_id = l.ledger_id
           LEFT JOIN {rebuilt}.ledgers y ON y.name = x.name
           LEFT JOIN {rebuilt}.{table} m ON m.ledger_id = y.ledger_id{joined}
          WHERE m.ledger_id IS NULL OR {} ORDER BY x.name{order} LIMIT 1",
        shown.join(", "),
        unlike.join(" OR "),
    );
    let row = sqlx::query(sql(text))
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        let what: String = get(&row, 0)?;
        return Ok(Some(format!("{name}: {what}")));
    }
    let text = format!(
        "SELECT (SELECT count(*) FROM {live}.{table}), (SELECT count(*) FROM {rebuilt}.{table})"
    );
    let row = sqlx::query(sql(text))
        .persistent(false)
        .fetch_one(connection)
        .await?;
    let (in_live, in_rebuilt): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
    let differ = in_live != in_rebuilt;
    Ok(differ.then(|| format!("{name}: {in_live} rows, and {in_rebuilt} rebuilt")))
}
