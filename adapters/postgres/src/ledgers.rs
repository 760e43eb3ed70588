//! Reading ledgers and heads.

use std::collections::HashMap;

use ledger_core::name::LedgerName;
use ports::projection::{HeadRow, LedgerIndex, ProjectionError};
use ports::views::{LedgerProgress, LedgerView};
use prost::Message as _;
use schemas::proto::record::v1 as proto;
use schemas::record::convert::to_core;
use schemas::record::{LogId, RecordError};
use sqlx::postgres::{PgConnection, PgRow};

use crate::failure::{Failure, unusable};
use crate::generation::{Generation, get_checkpoint};
use crate::values::{damaged, get, get_hash, get_time, get_time_or_none, get_u32, get_u64};

/// A `LIMIT`.
pub(crate) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn get_ledger_name(row: &PgRow, index: usize) -> Result<LedgerName, ProjectionError> {
    LedgerName::from_record(get(row, index)?).map_err(|error| unusable(error.to_string()))
}

/// Three columns from `index`: ledger_sequence, record_hash, recorded_at.
fn get_head(row: &PgRow, index: usize, ledger: usize) -> Result<HeadRow, ProjectionError> {
    Ok(HeadRow {
        ledger: LedgerIndex(ledger as u32),
        ledger_sequence: get_u64(row, index)?,
        record_hash: get_hash(row, index + 1)?,
        recorded_at: get_time(row, index + 2)?,
    })
}

fn get_ledger(row: &PgRow) -> Result<LedgerView, ProjectionError> {
    let terms: &[u8] = get(row, 5)?;
    let mut terms = proto::LedgerTerms::decode(terms)
        .map_err(RecordError::from)
        .and_then(to_core::ledger_terms)
        .map_err(damaged)?;
    terms.version = get_u64(row, 4)?;
    Ok(LedgerView {
        name: get_ledger_name(row, 0)?,
        terms,
        created_at: get_time(row, 2)?,
        closed_through: get_time_or_none(row, 3)?,
        shard: get_u32(row, 1)?,
    })
}

/// See [`ports::views::Views::ledger`].
pub(crate) async fn ledger(
    connection: &mut PgConnection,
    generation: &Generation,
    ledger: &LedgerName,
) -> Result<Option<LedgerView>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT name, shard, created_at, closed_through, version, terms FROM $g.ledgers
          WHERE name = $1 AND created_at IS NOT NULL AND terms IS NOT NULL",
    ))
    .bind(ledger.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.as_ref().map(get_ledger).transpose()?)
}

/// See [`ports::views::Views::ledgers`].
pub(crate) async fn ledgers(
    connection: &mut PgConnection,
    generation: &Generation,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<LedgerView>, Failure> {
    let rows = sqlx::query(generation.sql(
        "SELECT name, shard, created_at, closed_through, version, terms FROM $g.ledgers
          WHERE name > $1 AND created_at IS NOT NULL AND terms IS NOT NULL
          ORDER BY name LIMIT $2",
    ))
    .bind(after.unwrap_or(""))
    .bind(limit(most))
    .fetch_all(connection)
    .await?;
    let ledgers: Result<_, _> = rows.iter().map(get_ledger).collect();
    Ok(ledgers?)
}

/// How far the read models have got with the ledger (see [`ports::views::Views::progress`]), and its
/// shard.
pub(crate) async fn progress(
    connection: &mut PgConnection,
    generation: &Generation,
    log_id: LogId,
    ledger: &LedgerName,
) -> Result<Option<(u32, LedgerProgress)>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT c.sequence, c.record_hash, c.position, c.recorded_at,
                h.ledger_sequence, h.record_hash, h.recorded_at, l.shard
           FROM $g.ledgers l JOIN $g.heads h USING (ledger_id)
           JOIN $g.checkpoints c ON c.shard = l.shard AND c.record_hash IS NOT NULL
          WHERE l.name = $1",
    ))
    .bind(ledger.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let progress = LedgerProgress {
        checkpoint: get_checkpoint(&row, 0, log_id)?,
        head: get_head(&row, 4, 0)?,
    };
    Ok(Some((get_u32(&row, 7)?, progress)))
}

/// The heads of `ledgers`, in order.
pub(crate) async fn heads_of(
    connection: &mut PgConnection,
    generation: &Generation,
    ledgers: &[LedgerName],
) -> Result<Vec<Option<HeadRow>>, Failure> {
    let names: Vec<_> = ledgers.iter().map(|ledger| ledger.as_str()).collect();
    let rows = sqlx::query(generation.sql(
        "SELECT l.name, h.ledger_sequence, h.record_hash, h.recorded_at
           FROM $g.ledgers l JOIN $g.heads h USING (ledger_id) WHERE l.name = ANY($1)",
    ))
    .bind(&names)
    .fetch_all(connection)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        found.insert(get::<&str>(row, 0)?, get_head(row, 1, 0)?);
    }
    let heads = names.iter().enumerate().map(|(index, name)| {
        found.get(name).map(|head| HeadRow {
            ledger: LedgerIndex(index as u32),
            ..*head
        })
    });
    Ok(heads.collect())
}

/// See [`ports::views::Views::heads`].
pub(crate) async fn heads(
    connection: &mut PgConnection,
    generation: &Generation,
    shard: u32,
) -> Result<Vec<(LedgerName, HeadRow)>, Failure> {
    let rows = sqlx::query(generation.sql(
        "SELECT l.name, h.ledger_sequence, h.record_hash, h.recorded_at
           FROM $g.ledgers l JOIN $g.heads h USING (ledger_id)
          WHERE l.shard = $1 ORDER BY l.name",
    ))
    .bind(i64::from(shard))
    .fetch_all(connection)
    .await?;
    let mut heads = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        heads.push((get_ledger_name(row, 0)?, get_head(row, 1, index)?));
    }
    Ok(heads)
}
