//! Copies a sealed log into another one, and begins that.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::{Batch, CommitOutcome, EventLog, LogWriter, Position};
use ports::routing::chain_shard;
use schemas::record::{
    Barrier, LogId, LogMigrated, Payload, RecordHash, SealedRecord, SealedShard, frame,
};

use super::merge::{Item, Merge};
use super::seal::{Sealed, commit_error, engine_record, heads};
use super::{MigrateError, sealed_shards};
use crate::pipeline::{self, Body, End};
use crate::place::Head;
use crate::recover::{PROGRESS_RECORDS, RecoverError, find_record};
use crate::source::Source;
use crate::state::ShardState;

/// A batch is committed when it has so many bytes: whoever looks for one record reads its batch.
const BATCH_BYTES: usize = 256 * 1024;

/// How to carry over.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The clock.
    pub now: Timestamp,
    /// See [`ledger_core::ledger::LedgerState::new`].
    pub hash_seed: u64,
    /// A batch has no more records than this, and no more than about 256 KiB.
    pub batch_records: u32,
}

impl Options {
    /// The usual batches.
    pub fn new(now: Timestamp, hash_seed: u64) -> Self {
        Self {
            now,
            hash_seed,
            batch_records: 1_000,
        }
    }
}

/// What was carried into a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedShard {
    /// Records that were carried over, of all runs.
    pub records: u64,
    /// Those of them that stood there before this run.
    pub stood: u64,
    /// Ledgers.
    pub ledgers: u64,
}

/// What was carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The log that was carried over.
    pub source: LogId,
    /// The log that goes on.
    pub target: LogId,
    /// Its shards, by number.
    pub shards: Vec<CarriedShard>,
    /// Heads of all ledgers, equal in both, by name.
    pub heads: Vec<(LedgerName, Head)>,
}

/// Copies `source`, which `sealed` says the ends of, into `target`, compares all heads, and
/// begins the target. What an earlier run copied is checked and passed by. `progress` hears of
/// records copied and to be copied.
///
/// # Errors
/// [`MigrateError`]. The target is refused by every writer then, and a later run goes on with it.
pub async fn carry(
    source: &Source,
    sealed: &[Sealed],
    target: &dyn EventLog,
    options: Options,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Carried, MigrateError> {
    let mut run = Run::begin(source, sealed, target, options).await?;
    let mut merge = Merge::of_sealed(source, sealed).await;
    let (mut done, all) = (0_u64, merge.records());
    while let Some(item) = merge.next().await? {
        run.take(item).await?;
        done += 1;
        if done.is_multiple_of(PROGRESS_RECORDS) {
            progress(done, all);
        }
    }
    progress(done, all);
    check_ends(&merge, sealed)?;
    for lane in &mut run.lanes {
        lane.commit(target).await?;
        lane.at_end(target.log_id())?;
    }
    let heads = run.compare_heads(sealed)?;
    // Last of all, so that nothing half carried over can be taken for a log.
    for lane in &mut run.lanes {
        lane.begin(target, source.log_id, sealed, options.now)
            .await?;
    }
    Ok(Carried {
        source: source.log_id,
        target: target.log_id(),
        shards: run.lanes.iter().map(Lane::report).collect(),
        heads,
    })
}

/// Looks whether `target` can be one of a migration from log `source`, before anything is sealed:
/// it is empty, or an earlier run has begun to fill it.
///
/// # Errors
/// [`MigrateError::Unfit`].
pub async fn check_target(target: &dyn EventLog, source: LogId) -> Result<(), MigrateError> {
    let log_id = target.log_id();
    let unfit = |why: String| Err(MigrateError::Unfit { log_id, why });
    if log_id == source {
        return unfit("it is the same log".to_owned());
    }
    for shard in 0..target.shard_count() {
        let Some(entry) = target.reader().entry_of(shard, 1).await? else {
            continue;
        };
        match find_record(pipeline::decode(entry), 1) {
            Some(Ok(first)) => match &first.record.payload {
                _ if first.record.log_id != log_id => {}
                Payload::LogMigrated(migrated) if migrated.source == source => {}
                _ => return unfit(format!("shard {shard} began by itself: it has served")),
            },
            _ => return unfit(format!("the first record of shard {shard} cannot be read")),
        }
    }
    Ok(())
}

/// The source must have been read to the very records that sealed it.
fn check_ends(merge: &Merge, sealed: &[Sealed]) -> Result<(), MigrateError> {
    for ((shard, end), sealed) in (0..).zip(merge.ends()).zip(sealed) {
        let (found, hash) = end.unzip();
        if found != Some(sealed.at.sequence) || hash != Some(sealed.at.hash) {
            return Err(MigrateError::End {
                shard,
                found: found.unwrap_or_default(),
                sealed: sealed.at.sequence,
            });
        }
    }
    Ok(())
}

/// A run, with a lane into each shard of the target.
struct Run<'a> {
    target: &'a dyn EventLog,
    lanes: Vec<Lane>,
}

impl<'a> Run<'a> {
    async fn begin(
        source: &Source,
        sealed: &[Sealed],
        target: &'a dyn EventLog,
        options: Options,
    ) -> Result<Self, MigrateError> {
        let refuse = |why: &str| MigrateError::Unfit {
            log_id: target.log_id(),
            why: why.to_owned(),
        };
        if target.log_id() == source.log_id {
            return Err(refuse("it is the same log"));
        }
        if sealed.len() != source.shard_count as usize {
            return Err(refuse("not all shards of the source are sealed"));
        }
        // One epoch for all that is carried over: no epoch of the source is later.
        let epoch = sealed.iter().map(|shard| shard.epoch).max().unwrap_or(1);
        let mut lanes = Vec::new();
        for shard in 0..target.shard_count() {
            let lane = Lane::open(target, shard, epoch, options).await?;
            if let Some(migrated) = &lane.began
                && (migrated.source != source.log_id || migrated.shards != sealed_shards(sealed))
            {
                return Err(refuse("it was made from another log"));
            }
            lanes.push(lane);
        }
        Ok(Self { target, lanes })
    }

    async fn take(&mut self, item: Item) -> Result<(), MigrateError> {
        let count = self.lanes.len() as u32;
        let shard = chain_shard(&item.record.record.ledger, count);
        let lane = &mut self.lanes[shard as usize];
        lane.take(item, self.target).await
    }

    /// Every chain must end in the target as it does in the source.
    fn compare_heads(&self, sealed: &[Sealed]) -> Result<Vec<(LedgerName, Head)>, MigrateError> {
        let by_name = |heads: &mut dyn Iterator<Item = &(LedgerName, Head)>| {
            heads.cloned().collect::<BTreeMap<_, _>>()
        };
        let before = by_name(&mut sealed.iter().flat_map(|shard| &shard.heads));
        let after = by_name(&mut self.lanes.iter().flat_map(|lane| &lane.heads));
        let names = before.keys().chain(after.keys());
        for name in names {
            let (source_head, target_head) = (before.get(name), after.get(name));
            if source_head != target_head {
                return Err(MigrateError::HeadDiffers {
                    ledger: name.clone(),
                    source_head: Box::new(source_head.copied()),
                    target_head: Box::new(target_head.copied()),
                });
            }
        }
        let ledgers = before.into_iter().filter(|(name, _)| !name.is_engine());
        Ok(ledgers.collect())
    }
}

/// The way into a shard of the target.
struct Lane {
    /// As replay of the shard gives it, up to the record that began it.
    state: ShardState,
    writer: Box<dyn LogWriter>,
    epoch: u64,
    batch_records: u32,
    /// Records of the source that stood there before, and the last one's hash.
    stood: u64,
    stood_hash: Option<RecordHash>,
    /// Records of the source that belong here, so far.
    taken: u64,
    /// What began the shard, where an earlier run came so far.
    began: Option<LogMigrated>,
    /// Heads of its chains behind the last record that was carried over.
    heads: Vec<(LedgerName, Head)>,
    /// Of records that are not committed yet.
    body: BytesMut,
    record_count: u32,
}

impl Lane {
    /// Claims the shard and replays what stands there.
    async fn open(
        target: &dyn EventLog,
        shard: u32,
        epoch: u64,
        options: Options,
    ) -> Result<Self, MigrateError> {
        let nonce: [u8; 16] = rand::random();
        let barrier = Barrier { nonce, epoch: 0 }.encode();
        let log_id = target.log_id();
        let mut lane = Self {
            writer: target.claim(shard, barrier).await?,
            state: ShardState::new(log_id, shard, target.shard_count(), options.hash_seed),
            epoch,
            batch_records: options.batch_records.max(1),
            stood: 0,
            stood_hash: None,
            taken: 0,
            began: None,
            heads: Vec::new(),
            body: BytesMut::new(),
            record_count: 0,
        };
        let reader = target.reader();
        let mut stretches = pipeline::start(Arc::clone(&reader), shard, Position(0), End::Never);
        let mut reached = false;
        'log: while let Some(stretch) = stretches.recv().await {
            for entry in stretch? {
                match entry.body {
                    // Until the claim's own: what stands behind it is nobody's.
                    Body::Barrier(Ok(barrier)) if barrier.nonce == nonce => {
                        reached = true;
                        break 'log;
                    }
                    Body::Barrier(_) => {}
                    Body::Records(records) => {
                        for (sequence, record) in (entry.first_sequence..).zip(records) {
                            let record = record.map_err(|bytes| {
                                MigrateError::Target(Box::new(RecoverError::Undecodable {
                                    position: entry.position,
                                    sequence,
                                    source: bytes.error,
                                }))
                            })?;
                            if lane.stands(log_id, entry.position, sequence, &record)? {
                                reached = true;
                                break 'log;
                            }
                        }
                    }
                }
            }
            lane.forget();
        }
        match reached {
            true => Ok(lane),
            false => {
                let missing = RecoverError::BarrierMissing { shard };
                Err(MigrateError::Target(Box::new(missing)))
            }
        }
    }

    /// Takes a record that stands there; true behind the one that began the shard.
    fn stands(
        &mut self,
        log_id: LogId,
        position: Position,
        sequence: u64,
        record: &SealedRecord,
    ) -> Result<bool, MigrateError> {
        if record.record.log_id == log_id {
            let Payload::LogMigrated(migrated) = &record.record.payload else {
                return Err(MigrateError::Unfit {
                    log_id,
                    why: format!("shard {} began by itself", self.state.shard),
                });
            };
            self.began = Some(migrated.clone());
            self.heads = heads(&self.state);
        }
        let applied = self.state.apply(sequence, record);
        applied.map_err(|divergence| {
            MigrateError::Target(Box::new(RecoverError::Diverged {
                position,
                divergence: Box::new(divergence),
            }))
        })?;
        if self.began.is_none() {
            self.stood += 1;
            self.stood_hash = Some(record.hash);
        }
        Ok(self.began.is_some())
    }

    /// Nothing is decided on this state: it need not remember.
    fn forget(&mut self) {
        let last = self.state.next_sequence() - 1;
        self.state.forget_through(last);
    }

    /// Takes the next record of the source that belongs here.
    async fn take(&mut self, item: Item, target: &dyn EventLog) -> Result<(), MigrateError> {
        self.taken += 1;
        if self.taken <= self.stood {
            let is_last = self.taken == self.stood;
            return match is_last && self.stood_hash != Some(item.record.hash) {
                true => Err(self.differs(target.log_id())),
                false => Ok(()),
            };
        }
        if self.began.is_some() {
            return Err(self.differs(target.log_id()));
        }
        let place = self.state.next_sequence();
        let applied = self.state.apply(place, &item.record);
        applied.map_err(|divergence| MigrateError::Misplaced {
            shard: item.shard,
            sequence: item.sequence,
            divergence: Box::new(divergence),
        })?;
        frame::push(&mut self.body, &item.record.bytes);
        self.record_count += 1;
        if self.body.len() >= BATCH_BYTES || self.record_count >= self.batch_records {
            self.commit(target).await?;
        }
        Ok(())
    }

    fn differs(&self, log_id: LogId) -> MigrateError {
        MigrateError::Unfit {
            log_id,
            why: format!(
                "shard {} holds other records than the source's",
                self.state.shard
            ),
        }
    }

    async fn commit(&mut self, target: &dyn EventLog) -> Result<(), MigrateError> {
        let record_count = std::mem::take(&mut self.record_count);
        if record_count == 0 {
            return Ok(());
        }
        let batch = Batch {
            epoch: self.epoch,
            first_sequence: self.state.next_sequence() - u64::from(record_count),
            record_count,
            body: std::mem::take(&mut self.body).freeze(),
            attached: Default::default(),
        };
        self.forget();
        match self.writer.commit(batch).await {
            CommitOutcome::Committed(_) => Ok(()),
            outcome => Err(commit_error(target, self.state.shard, outcome)),
        }
    }

    /// All of the source was taken.
    fn at_end(&mut self, log_id: LogId) -> Result<(), MigrateError> {
        if self.taken < self.stood {
            return Err(self.differs(log_id));
        }
        if self.began.is_none() {
            self.heads = heads(&self.state);
        }
        Ok(())
    }

    /// Writes the record that begins the shard, where it is not there yet.
    async fn begin(
        &mut self,
        target: &dyn EventLog,
        source: LogId,
        sealed: &[Sealed],
        now: Timestamp,
    ) -> Result<(), MigrateError> {
        if self.began.is_some() {
            return Ok(());
        }
        let shards: Vec<SealedShard> = sealed_shards(sealed);
        let migrated = LogMigrated {
            shard_count: self.state.shard_count,
            source,
            shards,
            last_hash: self.state.last().map(|last| last.hash),
        };
        self.epoch += 1;
        let payload = Payload::LogMigrated(migrated.clone());
        let record = engine_record(&self.state, self.epoch, now, payload);
        let place = self.state.next_sequence();
        self.state
            .apply(place, &record)
            .map_err(|divergence| MigrateError::Misplaced {
                shard: self.state.shard,
                sequence: place,
                divergence: Box::new(divergence),
            })?;
        frame::push(&mut self.body, &record.bytes);
        self.record_count += 1;
        self.began = Some(migrated);
        self.commit(target).await
    }

    fn report(&self) -> CarriedShard {
        let ledgers = self.heads.iter().filter(|(name, _)| !name.is_engine());
        CarriedShard {
            records: self.taken,
            stood: self.stood,
            ledgers: ledgers.count() as u64,
        }
    }
}
