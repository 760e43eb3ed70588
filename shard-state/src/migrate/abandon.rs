//! Gives a migration up: the target is closed for ever, then the source opened again.

use std::sync::Arc;

use ledger_core::time::Timestamp;
use ports::log::EventLog;
use ports::snapshot::SnapshotStore;
use schemas::record::{LogId, LogSealed, Payload, Record};

use super::MigrateError;
use super::seal::{reopen, seal_shard};
use crate::pipeline;
use crate::recover::{RecoverError, find_record};

/// The log that a migration was to go to.
pub enum Given<'a> {
    /// It is there.
    Log(&'a dyn EventLog),
    /// It is lost, and nobody will ever serve it.
    Lost(LogId),
}

/// Where a shard of the target stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Nothing, or only what was carried over: no writer accepts it.
    NotBegun,
    /// It was begun, and nobody has served it.
    Begun,
    /// It has records of its own.
    Served,
}

/// Opens `source`, which was sealed for `target`, again; gives how many of its shards were
/// sealed. Before that every shard of the target that could serve is sealed itself, and its seal
/// names the source: at no moment do both take records.
///
/// # Errors
/// [`MigrateError::Served`] where the books went on in the target: nothing has changed then.
/// After any other, doing it again goes on.
pub async fn abandon(
    source: &dyn EventLog,
    store: Option<Arc<dyn SnapshotStore>>,
    source_place: &str,
    target: Given<'_>,
    reason: &str,
    now: Timestamp,
) -> Result<u32, MigrateError> {
    let moved_to = match target {
        Given::Lost(log_id) => log_id,
        Given::Log(log) => {
            let mut stands = Vec::new();
            for shard in 0..log.shard_count() {
                let stand = stand(log, shard).await?;
                if stand == Stand::Served {
                    let log_id = log.log_id();
                    return Err(MigrateError::Served { log_id, shard });
                }
                stands.push(stand);
            }
            let back = LogSealed {
                moved_to: source.log_id(),
                place: Arc::from(source_place),
            };
            for (shard, stand) in (0..).zip(stands) {
                if stand == Stand::Begun {
                    seal_shard(log, None, shard, &back, now).await?;
                }
            }
            log.log_id()
        }
    };
    reopen(source, store, moved_to, &Arc::from(reason), now).await
}

/// Where the books went, where the log is sealed: told by its last records alone.
///
/// # Errors
/// They cannot be read.
pub async fn sealed_for(log: &dyn EventLog) -> Result<Option<LogSealed>, MigrateError> {
    for shard in 0..log.shard_count() {
        if let Some(record) = last_record(log, shard).await?
            && let Payload::LogSealed(sealed) = record.payload
            && record.log_id == log.log_id()
        {
            return Ok(Some(sealed));
        }
    }
    Ok(None)
}

async fn stand(log: &dyn EventLog, shard: u32) -> Result<Stand, MigrateError> {
    let Some(record) = last_record(log, shard).await? else {
        return Ok(Stand::NotBegun);
    };
    Ok(match record.payload {
        _ if record.log_id != log.log_id() => Stand::NotBegun,
        Payload::LogMigrated(_) | Payload::LogSealed(_) => Stand::Begun,
        _ => Stand::Served,
    })
}

/// The last record of a shard.
async fn last_record(log: &dyn EventLog, shard: u32) -> Result<Option<Record>, MigrateError> {
    let reader = log.reader();
    let last = reader.watch(shard).borrow().saturating_sub(1);
    if last == 0 {
        return Ok(None);
    }
    let damaged = |error| MigrateError::Target(Box::new(error));
    let entry = reader.entry_of(shard, last).await?;
    let entry = entry.ok_or_else(|| damaged(RecoverError::BarrierMissing { shard }))?;
    let position = entry.position;
    let found = find_record(pipeline::decode(entry), last);
    let found = found.ok_or_else(|| damaged(RecoverError::BarrierMissing { shard }))?;
    let record = found.map_err(|bytes| {
        damaged(RecoverError::Undecodable {
            position,
            sequence: last,
            source: bytes.error,
        })
    })?;
    Ok(Some(record.record))
}
