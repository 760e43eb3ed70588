//! Reading ledgers and accounts.

use std::collections::HashMap;
use std::hash::Hash;

use ledger_core::account::{Account, AccountNumber};
use ledger_core::name::{AccountName, LedgerName};
use ports::projection::{HeadRow, LedgerIndex, ProjectionError};
use ports::views::{AccountFilter, LedgerProgress, LedgerView};
use prost::Message as _;
use schemas::proto::record::v1 as proto;
use schemas::record::RecordError;
use schemas::record::convert::to_core;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _};

use super::generation::{LedgerRef, read_checkpoint};
use super::values::{
    Values, account_columns, account_status, account_type, damaged, failed, get, get_account,
    get_hash, get_time, get_time_or_none, get_u64, unusable,
};

/// Values of one `IN` list; the last value is repeated to fill it, so that there are few texts.
pub(super) const IN_SIZES: [usize; 4] = [1, 16, 128, 512];

/// Where fewer accounts than this have the prefix, they are found by name and sorted.
const SORTED_MAX: i64 = 5_000;

/// `count` question marks.
pub(super) fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

/// Cuts `items` into lists, each with the size that its `IN` has.
pub(super) fn lists<T>(items: &[T]) -> impl Iterator<Item = (&[T], usize)> {
    let most = IN_SIZES[IN_SIZES.len() - 1];
    items.chunks(most).map(move |chunk| {
        let size = IN_SIZES.into_iter().find(|size| *size >= chunk.len());
        (chunk, size.unwrap_or(most))
    })
}

/// See [`ports::views::Views::progress`].
pub(super) async fn progress(
    connection: &mut SqliteConnection,
    log_id: schemas::record::LogId,
    ledger: LedgerRef,
) -> Result<Option<LedgerProgress>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    let checkpoint = read_checkpoint(&mut transaction, log_id, ledger.shard).await?;
    let row = sqlx::query(
        "SELECT ledger_sequence, record_hash, recorded_at FROM heads WHERE ledger_id = ?",
    )
    .bind(ledger.id)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    match (checkpoint, row) {
        (Some(checkpoint), Some(row)) => Ok(Some(LedgerProgress {
            checkpoint,
            head: get_head(&row, 0)?,
        })),
        _ => Ok(None),
    }
}

fn get_head(row: &SqliteRow, from: usize) -> Result<HeadRow, ProjectionError> {
    Ok(HeadRow {
        ledger: LedgerIndex(0),
        ledger_sequence: get_u64(row, from)?,
        record_hash: get_hash(row, from + 1)?,
        recorded_at: get_time(row, from + 2)?,
    })
}

/// See [`ports::views::Views::last_account`].
pub(super) async fn last(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
) -> Result<Option<AccountNumber>, ProjectionError> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT max(number) FROM accounts WHERE ledger_id = ?")
            .bind(ledger.id)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    let number = number.map(u32::try_from).transpose();
    let number = number.map_err(|_| unusable("an account's number is none"))?;
    Ok(number.map(AccountNumber))
}

/// See [`ports::views::Views::heads`].
pub(super) async fn heads(
    connection: &mut SqliteConnection,
    shard: u32,
) -> Result<Vec<(LedgerName, HeadRow)>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT h.ledger_sequence, h.record_hash, h.recorded_at, l.name
           FROM ledgers l JOIN heads h USING (ledger_id) WHERE l.shard = ? ORDER BY l.name",
    )
    .bind(i64::from(shard))
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let head = HeadRow {
                ledger: LedgerIndex(index as u32),
                ..get_head(row, 0)?
            };
            Ok((get_ledger_name(row, 3)?, head))
        })
        .collect()
}

fn get_ledger_name(row: &SqliteRow, index: usize) -> Result<LedgerName, ProjectionError> {
    LedgerName::from_record(get(row, index)?).map_err(|error| unusable(error.to_string()))
}

fn get_ledger(row: &SqliteRow) -> Result<LedgerView, ProjectionError> {
    let terms: &[u8] = get(row, 5)?;
    let mut terms = proto::LedgerTerms::decode(terms)
        .map_err(RecordError::from)
        .and_then(to_core::ledger_terms)
        .map_err(damaged)?;
    terms.version = get_u64(row, 4)?;
    let shard: i64 = get(row, 1)?;
    Ok(LedgerView {
        name: get_ledger_name(row, 0)?,
        terms,
        created_at: get_time(row, 2)?,
        closed_through: get_time_or_none(row, 3)?,
        shard: u32::try_from(shard).map_err(|_| unusable("a shard is negative"))?,
    })
}

/// See [`ports::views::Views::ledger`].
pub(super) async fn ledger(
    connection: &mut SqliteConnection,
    name: &LedgerName,
) -> Result<Option<LedgerView>, ProjectionError> {
    let row = sqlx::query(
        "SELECT name, shard, created_at, closed_through, version, terms FROM ledgers
          WHERE name = ? AND created_at IS NOT NULL AND terms IS NOT NULL",
    )
    .bind(name.as_str().to_owned())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.as_ref().map(get_ledger).transpose()
}

/// See [`ports::views::Views::ledgers`].
pub(super) async fn ledgers(
    connection: &mut SqliteConnection,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<LedgerView>, ProjectionError> {
    let rows = sqlx::query(
        "SELECT name, shard, created_at, closed_through, version, terms FROM ledgers
          WHERE name > ? AND created_at IS NOT NULL AND terms IS NOT NULL
          ORDER BY name LIMIT ?",
    )
    .bind(after.unwrap_or("").to_owned())
    .bind(limit(most))
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    rows.iter().map(get_ledger).collect()
}

/// A `LIMIT`.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// Accounts by name, in order of the question.
pub(super) async fn by_name(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    names: &[AccountName],
) -> Result<Vec<Option<Account>>, ProjectionError> {
    let value = |values: &mut Values, name: &AccountName| values.add(name.as_str().to_owned());
    let key = |account: &Account| account.terms.name.clone();
    by(connection, ledger, "a.name", names, value, key).await
}

/// Accounts by `column`, in order of the question; `value` puts what is asked for into the
/// statement, `key` tells what was found.
async fn by<K: Eq + Hash>(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    column: &'static str,
    asked: &[K],
    value: impl Fn(&mut Values, &K),
    key: impl Fn(&Account) -> K,
) -> Result<Vec<Option<Account>>, ProjectionError> {
    let mut found = HashMap::with_capacity(asked.len());
    let mut transaction = connection.begin().await.map_err(failed)?;
    for (chunk, size) in lists(asked) {
        let text = format!(
            concat!(
                "SELECT ",
                account_columns!(),
                " FROM accounts a JOIN balances b
                    ON b.ledger_id = a.ledger_id AND b.account = a.number
                  WHERE a.ledger_id = ? AND {} IN ({})"
            ),
            column,
            marks(size)
        );
        let mut values = Values::with_capacity(size + 1);
        values.add(ledger.id);
        for index in 0..size {
            value(&mut values, &chunk[index.min(chunk.len() - 1)]);
        }
        let rows = sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        for row in &rows {
            let account = get_account(row)?;
            found.insert(key(&account), account);
        }
    }
    transaction.commit().await.map_err(failed)?;
    Ok(asked.iter().map(|key| found.get(key).cloned()).collect())
}

/// See [`ports::views::Views::account`]. The text may be no right name, and is found nowhere then.
pub(super) async fn named(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    name: &str,
) -> Result<Option<Account>, ProjectionError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts a JOIN balances b ON b.ledger_id = a.ledger_id AND b.account = a.number
          WHERE a.ledger_id = ? AND a.name = ?"
    ))
    .bind(ledger.id)
    .bind(name.to_owned())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    row.as_ref().map(get_account).transpose()
}

/// See [`ports::views::Views::accounts_by_number`].
pub(super) async fn by_number(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    numbers: &[AccountNumber],
) -> Result<Vec<Option<Account>>, ProjectionError> {
    let value = |values: &mut Values, number: &AccountNumber| values.add(i64::from(number.0));
    let key = |account: &Account| account.number;
    by(connection, ledger, "a.number", numbers, value, key).await
}

/// See [`ports::views::Views::accounts`].
pub(super) async fn list(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    filter: &AccountFilter,
    most: usize,
) -> Result<Vec<Account>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    let by_name = match filter.prefix.is_empty() {
        true => false,
        false => is_rare(&mut transaction, ledger, &filter.prefix).await?,
    };
    // A list by number reads the accounts in order and stops when it has enough; where few have
    // the prefix, that would read on and on, and they are found by name and sorted instead.
    let index = match by_name {
        true => "INDEXED BY accounts_by_name",
        false => "NOT INDEXED",
    };
    let mut text = format!(
        concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts a {} CROSS JOIN balances b
                ON b.ledger_id = a.ledger_id AND b.account = a.number
              WHERE a.ledger_id = ? AND a.number > ? AND a.number <= ?"
        ),
        index
    );
    let mut values = Values::with_capacity(8);
    values.add(ledger.id);
    values.add(filter.after.map_or(0, |number| i64::from(number.0)));
    values.add(
        filter
            .through
            .map_or(i64::MAX, |number| i64::from(number.0)),
    );
    if !filter.prefix.is_empty() {
        text.push_str(" AND a.name >= ? AND a.name < ?");
        values.add(filter.prefix.clone());
        values.add(beyond(&filter.prefix));
    }
    if let Some(asset) = &filter.asset {
        text.push_str(" AND a.asset = ?");
        values.add(asset.to_string());
    }
    if let Some(wanted) = filter.account_type {
        text.push_str(" AND a.type = ?");
        values.add(account_type(wanted));
    }
    if let Some(wanted) = filter.status {
        text.push_str(" AND a.status = ?");
        values.add(account_status(wanted));
    }
    text.push_str(" ORDER BY a.number LIMIT ?");
    values.add(limit(most));
    let rows = sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    rows.iter().map(get_account).collect()
}

/// The least text after all that start with `prefix`. Names are ASCII below `~`.
fn beyond(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

async fn is_rare(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    prefix: &str,
) -> Result<bool, ProjectionError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM accounts INDEXED BY accounts_by_name
          WHERE ledger_id = ? AND name >= ? AND name < ? LIMIT ?)",
    )
    .bind(ledger.id)
    .bind(prefix.to_owned())
    .bind(beyond(prefix))
    .bind(SORTED_MAX)
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    Ok(count < SORTED_MAX)
}
