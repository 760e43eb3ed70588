//! Seals a log, and opens a sealed one again.

use std::sync::Arc;

use bytes::BytesMut;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::time::{Moment, Timestamp};
use ports::log::{Batch, CommitOutcome, EventLog, LogWriter};
use ports::snapshot::SnapshotStore;
use schemas::record::{
    Barrier, LogId, LogReopened, LogSealed, LogStarted, Origin, Payload, Record, SealedRecord,
    SealedShard, encode, frame,
};
use tokio::sync::watch;

use super::MigrateError;
use crate::place::Head;
use crate::recover::{self, recover};
use crate::state::ShardState;

/// A commit whose outcome is not known is looked up by another claim, so many times.
const TRIES: usize = 5;

/// A shard that was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The record that sealed it, its last.
    pub at: SealedShard,
    /// The epoch of that record.
    pub epoch: u64,
    /// Heads of all its chains, the engine's own too.
    pub heads: Vec<(LedgerName, Head)>,
}

/// Seals all shards of `log`: its last record of each says `seal`. A shard that this very seal
/// closed before stays as it is. `store` holds snapshots of the log, which shorten the replay.
///
/// # Errors
/// [`MigrateError::SealedBefore`] where it was sealed for another log. Shards may be sealed then
/// or not: doing it again goes on.
pub async fn seal(
    log: &dyn EventLog,
    store: Option<Arc<dyn SnapshotStore>>,
    seal: &LogSealed,
    now: Timestamp,
) -> Result<Vec<Sealed>, MigrateError> {
    let mut all = Vec::new();
    for shard in 0..log.shard_count() {
        all.push(seal_shard(log, store.clone(), shard, seal, now).await?);
    }
    Ok(all)
}

/// See [`seal`].
pub(super) async fn seal_shard(
    log: &dyn EventLog,
    store: Option<Arc<dyn SnapshotStore>>,
    shard: u32,
    seal: &LogSealed,
    now: Timestamp,
) -> Result<Sealed, MigrateError> {
    let mut left = TRIES;
    let state = loop {
        left -= 1;
        let mut claim = Claim::make(log, store.clone(), shard).await?;
        match claim.state.sealed() {
            Some(before) if before.moved_to == seal.moved_to => break claim.state,
            Some(before) => return Err(sealed_before(before)),
            None => {}
        }
        match claim.put(Payload::LogSealed(seal.clone()), now).await? {
            CommitOutcome::Committed(_) => break claim.state,
            // What stands there is looked up by the next claim.
            CommitOutcome::Indeterminate(_) | CommitOutcome::Fenced(_) if left > 0 => {}
            outcome => return Err(commit_error(log, shard, outcome)),
        }
    };
    let last = state
        .last()
        .expect("a sealed shard has the record that sealed it");
    Ok(Sealed {
        at: SealedShard {
            sequence: last.sequence,
            hash: last.hash,
        },
        epoch: state.epoch(),
        heads: heads(&state),
    })
}

/// Opens all shards of `log` again that were sealed for `moved_to`, and gives how many there
/// were. The caller has made sure that `moved_to` never serves.
pub(super) async fn reopen(
    log: &dyn EventLog,
    store: Option<Arc<dyn SnapshotStore>>,
    moved_to: LogId,
    reason: &Arc<str>,
    now: Timestamp,
) -> Result<u32, MigrateError> {
    let mut reopened = 0;
    for shard in 0..log.shard_count() {
        let mut left = TRIES;
        let mut was_sealed = false;
        loop {
            left -= 1;
            let mut claim = Claim::make(log, store.clone(), shard).await?;
            match claim.state.sealed() {
                None => break,
                Some(sealed) if sealed.moved_to != moved_to => return Err(sealed_before(sealed)),
                Some(_) => was_sealed = true,
            }
            let payload = Payload::LogReopened(LogReopened {
                reason: Arc::clone(reason),
            });
            match claim.put(payload, now).await? {
                CommitOutcome::Committed(_) => break,
                CommitOutcome::Indeterminate(_) | CommitOutcome::Fenced(_) if left > 0 => {}
                outcome => return Err(commit_error(log, shard, outcome)),
            }
        }
        reopened += u32::from(was_sealed);
    }
    Ok(reopened)
}

fn sealed_before(sealed: &LogSealed) -> MigrateError {
    MigrateError::SealedBefore {
        moved_to: sealed.moved_to,
        place: sealed.place.to_string(),
    }
}

pub(super) fn heads(state: &ShardState) -> Vec<(LedgerName, Head)> {
    let heads = state.heads().into_iter();
    heads.map(|(name, head)| (name.clone(), head)).collect()
}

pub(super) fn commit_error(log: &dyn EventLog, shard: u32, outcome: CommitOutcome) -> MigrateError {
    MigrateError::Commit {
        log_id: log.log_id(),
        shard,
        outcome,
    }
}

/// A shard, claimed, and its state.
struct Claim {
    state: ShardState,
    writer: Box<dyn LogWriter>,
}

impl Claim {
    async fn make(
        log: &dyn EventLog,
        store: Option<Arc<dyn SnapshotStore>>,
        shard: u32,
    ) -> Result<Self, MigrateError> {
        let nonce: [u8; 16] = rand::random();
        let barrier = Barrier { nonce, epoch: 0 }.encode();
        let writer = log.claim(shard, barrier).await?;
        let options = recover::Options {
            log_id: log.log_id(),
            shard,
            shard_count: log.shard_count(),
            until: Some(nonce),
            hash_seed: rand::random(),
            // Nothing is decided on this state: it need not remember.
            projected: watch::channel(u64::MAX).1,
        };
        let recovered = recover(log.reader(), store, options, Box::new(|_| {})).await;
        let recovered = recovered.map_err(|error| MigrateError::Source(Box::new(error)))?;
        Ok(Self {
            state: recovered.state,
            writer,
        })
    }

    /// Puts an engine record behind the last one, at the next epoch.
    async fn put(
        &mut self,
        payload: Payload,
        now: Timestamp,
    ) -> Result<CommitOutcome, MigrateError> {
        let mut payloads = vec![payload];
        if self.state.last().is_none() {
            let started = LogStarted {
                shard_count: self.state.shard_count,
                parent: None,
            };
            payloads.insert(0, Payload::LogStarted(started));
        }
        let epoch = self.state.epoch() + 1;
        let first_sequence = self.state.next_sequence();
        let mut body = BytesMut::new();
        let mut record_count = 0;
        for payload in payloads {
            let record = engine_record(&self.state, epoch, now, payload);
            let applied = self.state.apply(record.record.sequence, &record);
            applied.map_err(|divergence| {
                MigrateError::Source(Box::new(recover::RecoverError::Diverged {
                    position: ports::log::Position::default(),
                    divergence: Box::new(divergence),
                }))
            })?;
            frame::push(&mut body, &record.bytes);
            record_count += 1;
        }
        let batch = Batch {
            epoch,
            first_sequence,
            record_count,
            body: body.freeze(),
            attached: Default::default(),
        };
        Ok(self.writer.commit(batch).await)
    }
}

/// A record of the engine's own chain, behind the last one of `state`.
pub(super) fn engine_record(
    state: &ShardState,
    epoch: u64,
    now: Timestamp,
    payload: Payload,
) -> SealedRecord {
    let ledger = LedgerName::of_shard(state.shard);
    let next = state.next(&ledger);
    let recorded_at = state.last_recorded_at().map_or(now, |at| at.max(now));
    encode(&Record {
        log_id: state.log_id,
        shard: state.shard,
        epoch,
        sequence: next.sequence,
        ledger_sequence: next.ledger_sequence,
        previous_hash: next.previous_hash,
        ledger,
        moment: Moment {
            recorded_at,
            business_date: recorded_at.utc_day(),
        },
        key: IdempotencyKey::text(&format!("daybook:log:{}:{epoch}", next.sequence))
            .expect("two numbers and a few letters are printable and short"),
        request_hash: None,
        actor: None,
        origin: Origin::Timer,
        traceparent: None,
        payload,
    })
}
