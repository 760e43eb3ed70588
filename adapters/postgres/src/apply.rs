//! Applying changes: rows and their checkpoint in one transaction.

use std::collections::HashMap;

use ledger_core::name::LedgerName;
use ports::history::History;
use ports::projection::{Changes, Checkpoint, LedgerIndex, ProjectionError};
use schemas::record::LogId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::failure::{Failure, unusable};
use crate::generation::{Generation, read_checkpoint};
use crate::rows;
use crate::values::{Time, get, get_u32, stored};

/// The ids of [`Changes::ledgers`], by index.
pub(crate) struct Ids(Vec<i32>);

impl Ids {
    /// The id of `ledger`.
    pub(crate) fn of(&self, ledger: LedgerIndex) -> i32 {
        self.0[ledger.0 as usize]
    }
}

/// A stretch to be applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) shard: u32,
    pub(crate) from: Option<Checkpoint>,
    pub(crate) to: Checkpoint,
}

/// How it is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To what is read. The commit is on Postgres's disk before it is answered, as its
    /// configuration says: memory forgets keys on the strength of the checkpoint, and though a
    /// lost tail would be waited for, it is cheap not to lose it.
    Live,
    /// To what is being rebuilt. The switch commits durably, and all before it with it.
    Rebuild,
}

/// Changes of another log, or that speak of a ledger that they do not name, are a fault of the
/// caller's, and must not become a row of another ledger or a panic.
pub(crate) fn check(
    log_id: LogId,
    to: &Checkpoint,
    changes: &Changes,
) -> Result<(), ProjectionError> {
    if to.log_id != log_id {
        return Err(unusable(format!(
            "changes of log {} cannot be applied to read models of log {log_id}",
            to.log_id
        )));
    }
    let count = changes.ledgers.len();
    let right = |ledger: LedgerIndex| (ledger.0 as usize) < count;
    let all = changes.ledger_rows.iter().all(|row| right(row.ledger))
        && changes.heads.iter().all(|row| right(row.ledger))
        && changes.accounts.iter().all(|row| right(row.ledger))
        && changes.balances.iter().all(|row| right(row.ledger))
        && changes.transactions.iter().all(|row| right(row.ledger))
        && changes.history.iter().all(|row| right(row.ledger))
        && changes.days.iter().all(|row| right(row.ledger))
        && changes.keys.iter().all(|row| right(row.ledger))
        && changes.places.iter().all(|row| right(row.ledger));
    match all {
        true => Ok(()),
        false => Err(unusable("changes speak of a ledger that they do not name")),
    }
}

/// Writes `changes` and moves the checkpoint. Rows are written first, so that those which
/// contradict what stands there never get into the history; then the history; then all of it is
/// committed, so that the history is never behind.
///
/// Must not be cancelled; see [`crate::copy::copy`].
pub(crate) async fn apply(
    connection: &mut PgConnection,
    generation: &Generation,
    channel: &str,
    mode: Mode,
    stretch: &Stretch,
    changes: &Changes,
    history: &dyn History,
) -> Result<(), Failure> {
    let mut transaction = match mode {
        Mode::Live => connection.begin().await?,
        Mode::Rebuild => {
            connection
                .begin_with("BEGIN; SET LOCAL synchronous_commit TO off")
                .await?
        }
    };
    if !move_checkpoint(&mut transaction, generation, channel, stretch).await? {
        transaction.rollback().await?;
        let log_id = stretch.to.log_id;
        let found = read_checkpoint(connection, generation, log_id, stretch.shard).await?;
        return Err(ProjectionError::CheckpointMoved {
            shard: stretch.shard,
            expected: stretch.from.map(Box::new),
            found: found.map(Box::new),
        }
        .into());
    }
    let ids = ids(
        &mut transaction,
        generation,
        stretch.shard,
        &changes.ledgers,
    )
    .await?;
    rows::write(&mut transaction, generation, &ids, changes).await?;
    write_history(history, mode, stretch, changes).await?;
    transaction.commit().await?;
    Ok(())
}

/// Moves the checkpoint by compare-and-set, and tells those who follow it when it is committed.
/// Whoever does so first has the row until then, so that a second projector waits here, before
/// it has written anything, and finds the checkpoint moved.
async fn move_checkpoint(
    connection: &mut PgConnection,
    generation: &Generation,
    channel: &str,
    stretch: &Stretch,
) -> Result<bool, Failure> {
    let (from, to) = (stretch.from, stretch.to);
    if from.is_some_and(|from| from.log_id != to.log_id) {
        return Ok(false);
    }
    let told = format!("{} {} {}", generation.number, stretch.shard, to.sequence);
    let moved = sqlx::query(generation.sql(
        "WITH moved AS (
             UPDATE $g.checkpoints
                SET sequence = $2, record_hash = $3, position = $4, recorded_at = $5
              WHERE shard = $1 AND sequence = $6 AND position = $7
                AND record_hash IS NOT DISTINCT FROM $8 AND recorded_at IS NOT DISTINCT FROM $9
             RETURNING shard)
         SELECT pg_notify($10, $11) FROM moved",
    ))
    .bind(i64::from(stretch.shard))
    .bind(stored(to.sequence)?)
    .bind(to.record_hash.0)
    .bind(stored(to.position.0)?)
    .bind(Time(to.recorded_at))
    .bind(stored(from.map_or(0, |from| from.sequence))?)
    .bind(stored(from.map_or(0, |from| from.position.0))?)
    .bind(from.map(|from| from.record_hash.0))
    .bind(from.map(|from| Time(from.recorded_at)))
    .bind(channel)
    .bind(told)
    .fetch_optional(connection)
    .await?;
    Ok(moved.is_some())
}

async fn write_history(
    history: &dyn History,
    mode: Mode,
    stretch: &Stretch,
    changes: &Changes,
) -> Result<(), ProjectionError> {
    let Stretch { shard, from, to } = stretch;
    if mode == Mode::Rebuild {
        // What stands there was written for the live ones. It is not written over: were the
        // rebuilt rows wrong, that would spoil it before anybody has compared.
        let reached = history.checkpoint(*shard).await?;
        if reached.is_some_and(|at| at.log_id == to.log_id && at.sequence >= to.sequence) {
            return Ok(());
        }
    }
    history
        .append(
            *shard,
            from.as_ref(),
            to,
            &changes.ledgers,
            &changes.history,
        )
        .await
}

/// Ids of `ledgers`; ledgers that were never seen get one.
async fn ids(
    connection: &mut PgConnection,
    generation: &Generation,
    shard: u32,
    ledgers: &[LedgerName],
) -> Result<Ids, Failure> {
    if ledgers.is_empty() {
        return Ok(Ids(Vec::new()));
    }
    let names: Vec<_> = ledgers.iter().map(|ledger| ledger.as_str()).collect();
    let mut known = HashMap::with_capacity(names.len());
    let rows = sqlx::query(
        generation.sql("SELECT ledger_id, shard, name FROM $g.ledgers WHERE name = ANY($1)"),
    )
    .bind(&names)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        known.insert(get::<String>(row, 2)?, (get(row, 0)?, get_u32(row, 1)?));
    }
    let mut new: Vec<_> = names
        .iter()
        .filter(|name| !known.contains_key(**name))
        .collect();
    new.sort_unstable();
    new.dedup();
    if !new.is_empty() {
        let rows = sqlx::query(generation.sql(
            "INSERT INTO $g.ledgers (name, shard) SELECT name, $2 FROM unnest($1::text[]) AS name
             ON CONFLICT (name) DO NOTHING RETURNING ledger_id, shard, name",
        ))
        .bind(&new)
        .bind(shard as i32)
        .fetch_all(connection)
        .await?;
        for row in &rows {
            known.insert(get::<String>(row, 2)?, (get(row, 0)?, get_u32(row, 1)?));
        }
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        match known.get(name) {
            Some((id, of)) if *of == shard => ids.push(*id),
            Some((_, of)) => {
                return Err(unusable(format!(
                    "ledger {name} stands in shard {of}, and shard {shard} has records of it"
                ))
                .into());
            }
            None => {
                return Err(unusable(format!(
                    "ledger {name} stands in another shard, and shard {shard} has records of it"
                ))
                .into());
            }
        }
    }
    Ok(Ids(ids))
}
