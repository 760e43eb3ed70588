//! Reading transactions, keys and facts.

use std::collections::HashMap;

use ledger_core::facts::{Facts, FactsNeeded, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::time::Timestamp;
use ports::projection::ProjectionError;
use ports::views::{TransactionFilter, TransactionView};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _};

use super::accounts::{limit, lists, marks};
use super::generation::LedgerRef;
use super::places;
use super::values::{
    Values, failed, get_id, get_key, get_key_entry, get_time, get_transaction, get_u64,
    transaction_status,
};

/// The columns that [`get_view`] reads, of `transactions AS t`.
macro_rules! transaction_columns {
    () => {
        "t.transaction_id, t.ledger_sequence, t.recorded_at, t.key, t.body"
    };
}

fn get_view(row: &SqliteRow) -> Result<TransactionView, ProjectionError> {
    let id = get_id(row, 0)?;
    Ok(TransactionView {
        transaction: get_transaction(row, 4)?,
        ledger_sequence: get_u64(row, 1)?,
        recorded_at: get_time(row, 2)?,
        key: get_key(row, 3)?.unwrap_or(IdempotencyKey::Uuid(id.0)),
    })
}

/// Transactions by id, in order of the question.
pub(super) async fn by_id(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    ids: &[TransactionId],
) -> Result<Vec<Option<TransactionView>>, ProjectionError> {
    let mut found = HashMap::with_capacity(ids.len());
    let mut transaction = connection.begin().await.map_err(failed)?;
    for (chunk, size) in lists(ids) {
        let text = format!(
            concat!(
                "SELECT ",
                transaction_columns!(),
                " FROM transactions t WHERE t.ledger_id = ? AND t.transaction_id IN ({})"
            ),
            marks(size)
        );
        let rows = fetch_by_ids(&mut transaction, text, ledger, chunk, size).await?;
        for row in &rows {
            let view = get_view(row)?;
            found.insert(view.transaction.id, view);
        }
    }
    transaction.commit().await.map_err(failed)?;
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

async fn fetch_by_ids(
    connection: &mut SqliteConnection,
    text: String,
    ledger: LedgerRef,
    ids: &[TransactionId],
    size: usize,
) -> Result<Vec<SqliteRow>, ProjectionError> {
    let mut values = Values::with_capacity(size + 1);
    values.add(ledger.id);
    for index in 0..size {
        values.add_id(ids[index.min(ids.len() - 1)]);
    }
    sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?)
        .fetch_all(connection)
        .await
        .map_err(failed)
}

/// See [`ports::views::Views::transactions`].
pub(super) async fn list(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    filter: &TransactionFilter,
    most: usize,
) -> Result<Vec<TransactionView>, ProjectionError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    // `recorded_at` never falls along a ledger, so its bounds are bounds of the sequence, but
    // for the records of one entry; those are tested one by one.
    let from = match filter.recorded_from {
        Some(from) => places::last_before(&mut transaction, ledger, from).await?,
        None => 0,
    };
    let mut through = filter.through.unwrap_or(u64::MAX).min(i64::MAX as u64);
    if let Some(to) = filter.recorded_to
        && let Some(first) = places::first_after(&mut transaction, ledger, to).await?
    {
        through = through.min(first - 1);
    }
    let (order, beyond) = match filter.oldest_first {
        true => ("ASC", ">"),
        false => ("DESC", "<"),
    };
    // The inner select runs in the index alone, and only what is listed is looked up.
    let mut inner = "SELECT ledger_sequence, transaction_id FROM transactions
          WHERE ledger_id = ? AND ledger_sequence BETWEEN ? AND ?"
        .to_owned();
    let mut values = Values::with_capacity(12);
    values.add(ledger.id);
    values.add_u64(from);
    values.add_u64(through);
    if let Some((sequence, id)) = filter.after {
        inner.push_str(&format!(
            " AND (ledger_sequence, transaction_id) {beyond} (?, ?)"
        ));
        values.add_u64(sequence.min(i64::MAX as u64));
        values.add_id(id);
    }
    if let Some(status) = filter.status {
        // As a literal, so that SQLite sees when the index of open holds can be used.
        inner.push_str(&format!(" AND status = {}", transaction_status(status)));
    }
    for (bound, condition) in [
        (filter.effective_from, " AND effective_at >= ?"),
        (filter.effective_to, " AND effective_at <= ?"),
        (filter.recorded_from, " AND recorded_at >= ?"),
        (filter.recorded_to, " AND recorded_at <= ?"),
    ] {
        if let Some(bound) = bound {
            inner.push_str(condition);
            values.add(Timestamp::micros(bound));
        }
    }
    inner.push_str(&format!(
        " ORDER BY ledger_sequence {order}, transaction_id {order} LIMIT ?"
    ));
    values.add(limit(most));
    values.add(ledger.id);
    let text = format!(
        concat!(
            "SELECT ",
            transaction_columns!(),
            " FROM ({}) AS listed CROSS JOIN transactions t
               ON t.ledger_id = ? AND t.transaction_id = listed.transaction_id
             ORDER BY listed.ledger_sequence {}, listed.transaction_id {}"
        ),
        inner, order, order
    );
    let rows = sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    rows.iter().map(get_view).collect()
}

/// What `keys` stand for: in the row of the transaction whose id the key is, or among the keys.
pub(super) async fn keys(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    keys: &[IdempotencyKey],
) -> Result<Vec<(IdempotencyKey, KeyEntry)>, ProjectionError> {
    let mut found = Vec::new();
    let ids: Vec<_> = keys
        .iter()
        .filter_map(|key| match key {
            IdempotencyKey::Uuid(uuid) => Some(TransactionId(*uuid)),
            IdempotencyKey::Text(_) => None,
        })
        .collect();
    for (chunk, size) in lists(&ids) {
        let text = format!(
            "SELECT transaction_id, request_hash, sequence FROM transactions
              WHERE ledger_id = ? AND transaction_id IN ({}) AND request_hash IS NOT NULL",
            marks(size)
        );
        for row in &fetch_by_ids(connection, text, ledger, chunk, size).await? {
            let id = get_id(row, 0)?;
            found.push((IdempotencyKey::Uuid(id.0), get_key_entry(row, 1)?));
        }
    }
    let known: std::collections::HashSet<_> = found.iter().map(|(key, _)| key.clone()).collect();
    let rest: Vec<_> = keys.iter().filter(|key| !known.contains(*key)).collect();
    for (chunk, size) in lists(&rest) {
        let text = format!(
            "SELECT key, request_hash, sequence FROM keys WHERE ledger_id = ? AND key IN ({})",
            marks(size)
        );
        let mut values = Values::with_capacity(size + 1);
        values.add(ledger.id);
        for index in 0..size {
            values.add_key(chunk[index.min(chunk.len() - 1)]);
        }
        let rows = sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        for row in &rows {
            if let Some(key) = get_key(row, 0)? {
                found.push((key, get_key_entry(row, 1)?));
            }
        }
    }
    Ok(found)
}

/// Loads `needed` into `facts`, within the read transaction of `connection`.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    ledger: LedgerRef,
    needed: &[FactsNeeded],
    facts: &mut Facts,
) -> Result<(), ProjectionError> {
    let wanted: Vec<_> = needed.iter().filter_map(|one| one.key.clone()).collect();
    facts.keys.extend(keys(connection, ledger, &wanted).await?);
    let mut ids: Vec<_> = needed
        .iter()
        .flat_map(|one| one.transactions.iter().copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    for (chunk, size) in lists(&ids) {
        let text = format!(
            "SELECT transaction_id, body FROM transactions
              WHERE ledger_id = ? AND transaction_id IN ({})",
            marks(size)
        );
        for row in &fetch_by_ids(connection, text, ledger, chunk, size).await? {
            facts
                .transactions
                .insert(get_id(row, 0)?, get_transaction(row, 1)?);
        }
    }
    Ok(())
}
