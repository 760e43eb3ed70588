//! Reading accounts.

use std::collections::HashMap;

use ledger_core::account::{Account, AccountNumber};
use ledger_core::name::{AccountName, LedgerName};
use ports::views::AccountFilter;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::failure::Failure;
use crate::generation::Generation;
use crate::ledgers::limit;
use crate::values::{account_columns, account_status, account_type, get_account, get_number};

/// Where fewer accounts than this have the prefix, they are found by name and sorted.
const SORTED_MAX: i64 = 5_000;

/// Begins a transaction that sees one state.
pub(crate) const ONE_STATE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// `SELECT` of accounts of the ledger `$1`.
macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            account_columns!(),
            " FROM $g.accounts a JOIN $g.balances b
                ON b.ledger_id = a.ledger_id AND b.account = a.number
              WHERE a.ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1) ",
            $rest
        )
    };
}

fn get_all(rows: &[PgRow]) -> Result<Vec<Account>, Failure> {
    let accounts: Result<_, _> = rows.iter().map(get_account).collect();
    Ok(accounts?)
}

/// See [`ports::views::Views::account`]. The text may be no right name, and is found nowhere
/// then.
pub(crate) async fn named(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    name: &str,
) -> Result<Option<Account>, Failure> {
    // Postgres takes no NUL in a text, and no name has one.
    if name.contains('\0') {
        return Ok(None);
    }
    let row = sqlx::query(generation.sql(select_accounts!("AND a.name = $2")))
        .bind(ledger.as_str())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(get_account).transpose()?)
}

/// Accounts by name, in order of the question.
pub(crate) async fn by_name(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    names: &[AccountName],
) -> Result<Vec<Option<Account>>, Failure> {
    let texts: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    let rows = sqlx::query(generation.sql(select_accounts!("AND a.name = ANY($2)")))
        .bind(ledger.as_str())
        .bind(texts)
        .fetch_all(connection)
        .await?;
    let found = get_all(&rows)?.into_iter();
    let found: HashMap<_, _> = found
        .map(|account| (account.terms.name.clone(), account))
        .collect();
    Ok(names.iter().map(|name| found.get(name).cloned()).collect())
}

/// See [`ports::views::Views::accounts_by_number`].
pub(crate) async fn by_number(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    numbers: &[AccountNumber],
) -> Result<Vec<Option<Account>>, Failure> {
    let asked: Vec<_> = numbers.iter().map(|number| i64::from(number.0)).collect();
    let rows = sqlx::query(generation.sql(select_accounts!("AND a.number = ANY($2)")))
        .bind(ledger.as_str())
        .bind(asked)
        .fetch_all(connection)
        .await?;
    let found = get_all(&rows)?.into_iter();
    let found: HashMap<_, _> = found.map(|account| (account.number, account)).collect();
    Ok(numbers
        .iter()
        .map(|number| found.get(number).cloned())
        .collect())
}

/// See [`ports::views::Views::last_account`].
pub(crate) async fn last(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
) -> Result<Option<AccountNumber>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT number FROM $g.accounts
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
          ORDER BY number DESC LIMIT 1",
    ))
    .bind(ledger.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(|row| get_number(row, 0)).transpose()?)
}

/// See [`ports::views::Views::accounts`].
pub(crate) async fn list(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    filter: &AccountFilter,
    most: usize,
) -> Result<Vec<Account>, Failure> {
    if filter.prefix.contains('\0') {
        return Ok(Vec::new());
    }
    // A list by number reads the accounts in order and stops when it has enough; where few have
    // the prefix, that would read on and on, and they are found by name and sorted instead. The
    // two are one question each, since a plan is chosen before it is known which is better.
    let mut transaction = connection.begin_with(ONE_STATE).await?;
    let by_name = match filter.prefix.is_empty() {
        true => false,
        false => is_rare(&mut transaction, generation, ledger, &filter.prefix).await?,
    };
    let condition = match by_name {
        true => select_accounts!(
            "AND a.number = ANY(ARRAY(
                 SELECT number FROM $g.accounts n
                  WHERE n.ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
                    AND n.name >= $4 AND n.name < $5))
             AND a.number > $2 AND a.number <= $3"
        ),
        // `left` keeps the index by name out of it.
        false => select_accounts!(
            "AND a.number > $2 AND a.number <= $3
             AND left(a.name, length($4)) = $4 AND $5::text IS NOT NULL"
        ),
    };
    let text = format!(
        "{condition} AND ($6::text IS NULL OR a.asset = $6) AND ($7::text IS NULL OR a.type = $7)
         AND ($8::text IS NULL OR a.status = $8) ORDER BY a.number LIMIT $9"
    );
    let rows = sqlx::query(generation.sql(&text))
        .bind(ledger.as_str())
        .bind(filter.after.map_or(0, |number| i64::from(number.0)))
        .bind(
            filter
                .through
                .map_or(i64::MAX, |number| i64::from(number.0)),
        )
        .bind(&filter.prefix)
        .bind(beyond(&filter.prefix))
        .bind(filter.asset.map(|asset| asset.to_string()))
        .bind(filter.account_type.map(account_type))
        .bind(filter.status.map(account_status))
        .bind(limit(most))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    get_all(&rows)
}

/// The least text after all that start with `prefix`. Names are ASCII below `~`.
fn beyond(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

async fn is_rare(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    prefix: &str,
) -> Result<bool, Failure> {
    let count: i64 = sqlx::query_scalar(generation.sql(
        "SELECT count(*) FROM (SELECT 1 FROM $g.accounts
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND name >= $2 AND name < $3 LIMIT $4) AS found",
    ))
    .bind(ledger.as_str())
    .bind(prefix)
    .bind(beyond(prefix))
    .bind(SORTED_MAX)
    .fetch_one(connection)
    .await?;
    Ok(count < SORTED_MAX)
}
