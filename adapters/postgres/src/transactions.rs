//! Reading transactions and keys.

use std::collections::HashMap;

use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::projection::ProjectionError;
use ports::views::{TransactionFilter, TransactionView};
use sqlx::postgres::{PgConnection, PgRow};

use crate::failure::Failure;
use crate::generation::Generation;
use crate::ledgers::limit;
use crate::values::{
    Time, Uuid, bound, get, get_id, get_key_entry, get_time, get_transaction, get_u64, key_text,
    parse_key, transaction_status,
};

/// The columns that [`get_view`] reads.
macro_rules! transaction_columns {
    () => {
        "transaction_id, ledger_sequence, recorded_at, key, body"
    };
}

fn get_view(row: &PgRow) -> Result<TransactionView, ProjectionError> {
    let id = get_id(row, 0)?;
    let key = match get::<Option<&str>>(row, 3)? {
        Some(text) => parse_key(text)?,
        None => IdempotencyKey::Uuid(id.0),
    };
    Ok(TransactionView {
        transaction: get_transaction(row, 4)?,
        ledger_sequence: get_u64(row, 1)?,
        recorded_at: get_time(row, 2)?,
        key,
    })
}

/// Transactions by id, in order of the question.
pub(crate) async fn by_id(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    ids: &[TransactionId],
) -> Result<Vec<Option<TransactionView>>, Failure> {
    let asked: Vec<_> = ids.iter().map(|id| Uuid(id.0)).collect();
    let rows = sqlx::query(generation.sql(concat!(
        "SELECT ",
        transaction_columns!(),
        " FROM $g.transactions
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND transaction_id = ANY($2)"
    )))
    .bind(ledger.as_str())
    .bind(asked)
    .fetch_all(connection)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let view = get_view(row)?;
        found.insert(view.transaction.id, view);
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// What `key` stands for: in the row of the transaction whose id it is, or among the keys.
pub(crate) async fn key(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    key: &IdempotencyKey,
) -> Result<Option<KeyEntry>, Failure> {
    let uuid = match key {
        IdempotencyKey::Uuid(uuid) => Some(Uuid(*uuid)),
        IdempotencyKey::Text(_) => None,
    };
    let row = sqlx::query(generation.sql(
        "SELECT request_hash, sequence, 0 AS place FROM $g.transactions
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND transaction_id = $2 AND request_hash IS NOT NULL
         UNION ALL
         SELECT request_hash, sequence, 1 FROM $g.keys
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1) AND key = $3
          ORDER BY place LIMIT 1",
    ))
    .bind(ledger.as_str())
    .bind(uuid)
    .bind(key_text(key))
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(|row| get_key_entry(row, 0)).transpose()?)
}

/// See [`ports::views::Views::transactions`].
pub(crate) async fn list(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
    filter: &TransactionFilter,
    most: usize,
) -> Result<Vec<TransactionView>, Failure> {
    let (order, beyond, inclusive) = match filter.oldest_first {
        true => ("ASC", ">", ">="),
        false => ("DESC", "<", "<="),
    };
    let mut text = concat!(
        "SELECT ",
        transaction_columns!(),
        " FROM $g.transactions
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
            AND ledger_sequence <= $2"
    )
    .to_owned();
    let bounds = [
        ("effective_at >=", filter.effective_from),
        ("effective_at <=", filter.effective_to),
        ("recorded_at >=", filter.recorded_from),
        ("recorded_at <=", filter.recorded_to),
    ];
    let mut times: Vec<Timestamp> = Vec::new();
    let first_time = 5;
    for (condition, bound) in bounds {
        if let Some(bound) = bound {
            text.push_str(&format!(" AND {condition} ${}", first_time + times.len()));
            times.push(bound);
        }
    }
    // `recorded_at` never falls along a ledger, so its bounds are bounds of the sequence too,
    // which the index knows; the records of one entry are tested one by one, above.
    for (bound, condition) in [
        (
            filter.recorded_from,
            "ledger_sequence >= coalesce((SELECT p.ledger_sequence FROM $g.places p
               WHERE p.ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
                 AND p.recorded_at < $bound
               ORDER BY p.recorded_at DESC, p.ledger_sequence DESC LIMIT 1), 0)",
        ),
        (
            filter.recorded_to,
            "ledger_sequence < coalesce((SELECT p.ledger_sequence FROM $g.places p
               WHERE p.ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $1)
                 AND p.recorded_at > $bound
               ORDER BY p.recorded_at, p.ledger_sequence LIMIT 1), 9223372036854775807)",
        ),
    ] {
        if let Some(bound) = bound {
            let place = format!("${}", first_time + times.len());
            text.push_str(" AND ");
            text.push_str(&condition.replace("$bound", &place));
            times.push(bound);
        }
    }
    match filter.after {
        // The first condition is for the index, which knows nothing of ids.
        Some(_) => text.push_str(&format!(
            " AND ledger_sequence {inclusive} $3
              AND (ledger_sequence, transaction_id) {beyond} ($3, $4)"
        )),
        None => text.push_str(" AND $3::bigint IS NULL AND $4::uuid IS NULL"),
    }
    if let Some(status) = filter.status {
        // As a literal, so that Postgres sees when the index of open holds can be used.
        text.push_str(&format!(" AND status = '{}'", transaction_status(status)));
    }
    text.push_str(&format!(
        " ORDER BY ledger_sequence {order}, transaction_id {order} LIMIT {}",
        limit(most)
    ));
    let mut query = sqlx::query(generation.sql(&text))
        .bind(ledger.as_str())
        .bind(bound(filter.through.unwrap_or(u64::MAX)))
        .bind(filter.after.map(|(sequence, _)| bound(sequence)))
        .bind(filter.after.map(|(_, id)| Uuid(id.0)));
    for time in times {
        query = query.bind(Time(time));
    }
    let rows = query.fetch_all(connection).await?;
    let views: Result<_, _> = rows.iter().map(get_view).collect();
    Ok(views?)
}
