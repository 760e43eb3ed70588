//! Restores a log to an earlier point, into a new log.
//!
//! Records keep their bytes: they are copied, checked as in every replay, up to the point. They
//! say the old log's id, and the chains and sequences simply go on. What begins the new log is
//! a `LogStarted` record behind them in the engine's own chain, with the new log's id and the
//! parent (old id, last sequence, its hash); [`crate::ShardState::apply`] accepts a change of
//! log there and nowhere else. It is written last: a restore that was not finished has a last
//! record of another log than its own, and no writer accepts it.

use std::sync::Arc;

use bytes::BytesMut;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::time::{Moment, Timestamp};
use ports::log::{Batch, CommitOutcome, EventLog, LogError, LogWriter, Position};
use schemas::record::{
    Barrier, LogId, LogStarted, Origin, Parent, Payload, Record, RecordHash, SealedRecord, encode,
    frame,
};

use crate::divergence::Divergence;
use crate::pipeline::{self, Body, Decoded, End};
use crate::recover::{PROGRESS_RECORDS, RecoverError, find_record};
use crate::source::Source;
use crate::state::ShardState;

/// The point that is restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Up to this record of this shard; other shards up to the same moment.
    Sequence {
        /// The shard.
        shard: u32,
        /// Its last record that is kept.
        sequence: u64,
    },
    /// Every record that was recorded at or before this moment, of all shards.
    Moment(Timestamp),
    /// All that is there.
    Newest,
}

/// What was restored of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredShard {
    /// The shard.
    pub shard: u32,
    /// The last record that was kept, and its hash; `None` where the shard has none so early,
    /// and begins anew.
    pub kept: Option<(u64, RecordHash)>,
    /// Time of the last record that was kept.
    pub recorded_at: Option<Timestamp>,
    /// Records of the source that were left behind.
    pub left_behind: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The log before.
    pub parent: LogId,
    /// The new log.
    pub log_id: LogId,
    /// Each shard.
    pub shards: Vec<RestoredShard>,
}

/// Why a log was not restored. The target is not to be used then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The source is damaged before the point.
    #[error("the log to be restored from is damaged: {0}")]
    Damaged(#[source] Box<RecoverError>),
    /// The target is not a new log of as many shards.
    #[error("it cannot be restored into: {0}")]
    Target(String),
    /// No such point.
    #[error("shard {shard} has no record {sequence}; its last is {last}")]
    NoSuchPoint {
        /// The shard.
        shard: u32,
        /// What was asked for.
        sequence: u64,
        /// The last that is there.
        last: u64,
    },
    /// Nothing was recorded up to the point.
    #[error("nothing was recorded up to this point")]
    Empty,
    /// The target did not take a batch.
    #[error("shard {shard} of the new log cannot be written: {outcome:?}")]
    Commit {
        /// The shard.
        shard: u32,
        /// Its answer.
        outcome: CommitOutcome,
    },
}

/// Where a shard is cut.
#[derive(Clone, Copy)]
enum Cut {
    Sequence(u64),
    Moment(Timestamp),
    None,
}

impl Cut {
    fn keeps(self, sequence: u64, record: &Record) -> bool {
        match self {
            Self::Sequence(last) => sequence <= last,
            Self::Moment(last) => record.moment.recorded_at <= last,
            Self::None => true,
        }
    }
}

/// Copies `source` up to `point` into `target`, an empty log, and starts that. `nonce` makes
/// the barriers of the claims; `now` is the clock. `progress` hears of each shard and sequence.
///
/// # Errors
/// [`RestoreError`]; what stands in the target then is refused by every writer.
pub async fn restore(
    source: &Source,
    target: &dyn EventLog,
    point: Point,
    nonce: [u8; 16],
    now: Timestamp,
    mut progress: impl FnMut(u32, u64) + Send,
) -> Result<RestoreReport, RestoreError> {
    check_target(source, target).await?;
    let mut copies = Vec::new();
    for shard in 0..source.shard_count {
        let cut = cut_of(source, point, shard).await?;
        copies.push((shard, cut));
    }
    let mut shards = Vec::new();
    let mut copied = Vec::new();
    for (shard, cut) in copies {
        let copy = Copy::run(source, target, shard, cut, nonce, &mut progress).await?;
        shards.push(copy.report());
        copied.push(copy);
    }
    if shards.iter().all(|shard| shard.kept.is_none()) {
        return Err(RestoreError::Empty);
    }
    // Last of all, so that nothing half restored can be taken for a log.
    for copy in copied {
        copy.start(target.log_id(), now).await?;
    }
    Ok(RestoreReport {
        parent: source.log_id,
        log_id: target.log_id(),
        shards,
    })
}

async fn check_target(source: &Source, target: &dyn EventLog) -> Result<(), RestoreError> {
    let refuse = |why: &str| Err(RestoreError::Target(why.to_owned()));
    if target.log_id() == source.log_id {
        return refuse("it is the same log");
    }
    if target.shard_count() != source.shard_count {
        return refuse("it has another number of shards");
    }
    for shard in 0..source.shard_count {
        if !target
            .reader()
            .read(shard, Position(0), 1)
            .await?
            .is_empty()
        {
            return refuse("it is not empty");
        }
    }
    Ok(())
}

async fn cut_of(source: &Source, point: Point, shard: u32) -> Result<Cut, RestoreError> {
    Ok(match point {
        Point::Newest => Cut::None,
        Point::Moment(moment) => Cut::Moment(moment),
        Point::Sequence {
            shard: of,
            sequence,
        } if of == shard => {
            record_of(source, of, sequence).await?;
            Cut::Sequence(sequence)
        }
        Point::Sequence {
            shard: of,
            sequence,
        } => {
            let record = record_of(source, of, sequence).await?;
            Cut::Moment(record.record.moment.recorded_at)
        }
    })
}

async fn record_of(
    source: &Source,
    shard: u32,
    sequence: u64,
) -> Result<SealedRecord, RestoreError> {
    let no_such_point = || RestoreError::NoSuchPoint {
        shard,
        sequence,
        last: source.reader.watch(shard).borrow().saturating_sub(1),
    };
    if shard >= source.shard_count || sequence == 0 {
        return Err(RestoreError::NoSuchPoint {
            shard,
            sequence,
            last: 0,
        });
    }
    let entry = source.reader.entry_of(shard, sequence).await?;
    let entry = entry.ok_or_else(no_such_point)?;
    let position = entry.position;
    let found = find_record(pipeline::decode(entry), sequence).ok_or_else(no_such_point)?;
    found.map_err(|bytes| damaged(position, sequence, bytes.error))
}

fn damaged(
    position: Position,
    sequence: u64,
    source: schemas::record::RecordError,
) -> RestoreError {
    RestoreError::Damaged(Box::new(RecoverError::Undecodable {
        position,
        sequence,
        source,
    }))
}

fn diverged(position: Position, divergence: Divergence) -> RestoreError {
    RestoreError::Damaged(Box::new(RecoverError::Diverged {
        position,
        divergence: Box::new(divergence),
    }))
}

/// A shard being copied.
struct Copy {
    state: ShardState,
    writer: Box<dyn LogWriter>,
    /// Of records that are not committed yet, all of one epoch.
    body: BytesMut,
    record_count: u32,
    left_behind: u64,
}

/// A batch is committed when it has so many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

impl Copy {
    async fn run(
        source: &Source,
        target: &dyn EventLog,
        shard: u32,
        cut: Cut,
        nonce: [u8; 16],
        progress: &mut (impl FnMut(u32, u64) + Send),
    ) -> Result<Self, RestoreError> {
        let barrier = Barrier { nonce, epoch: 0 }.encode();
        let mut copy = Self {
            state: ShardState::new(source.log_id, shard, source.shard_count, 0),
            writer: target.claim(shard, barrier).await?,
            body: BytesMut::new(),
            record_count: 0,
            left_behind: 0,
        };
        let end = *source.reader.watch(shard).borrow();
        let reader = Arc::clone(&source.reader);
        let mut stretches = pipeline::start(reader, shard, Position(0), End::Before(end));
        let mut told = 0;
        'log: while let Some(stretch) = stretches.recv().await {
            for entry in stretch? {
                if copy.entry(entry, cut).await? {
                    break 'log;
                }
            }
            // Nothing is decided on this state: it need not remember.
            let last = copy.state.next_sequence() - 1;
            copy.state.forget_through(last);
            if last >= told + PROGRESS_RECORDS {
                told = last;
                progress(shard, last);
            }
        }
        copy.commit().await?;
        progress(shard, copy.state.next_sequence() - 1);
        copy.left_behind = end.saturating_sub(copy.state.next_sequence());
        Ok(copy)
    }

    /// Copies an entry; true when the cut was reached.
    async fn entry(&mut self, entry: Decoded, cut: Cut) -> Result<bool, RestoreError> {
        let Body::Records(records) = entry.body else {
            return Ok(false);
        };
        for (sequence, record) in (entry.first_sequence..).zip(records) {
            let record = record.map_err(|bytes| damaged(entry.position, sequence, bytes.error))?;
            if !cut.keeps(sequence, &record.record) {
                return Ok(true);
            }
            if self.body.len() >= BATCH_BYTES || record.record.epoch > self.state.epoch() {
                self.commit().await?;
            }
            self.state
                .apply(sequence, &record)
                .map_err(|divergence| diverged(entry.position, divergence))?;
            self.push(&record);
        }
        Ok(false)
    }

    fn push(&mut self, record: &SealedRecord) {
        frame::push(&mut self.body, &record.bytes);
        self.record_count += 1;
    }

    /// Commits what was pushed: the last records of the state.
    async fn commit(&mut self) -> Result<(), RestoreError> {
        let record_count = std::mem::take(&mut self.record_count);
        if record_count == 0 {
            return Ok(());
        }
        let batch = Batch {
            epoch: self.state.epoch(),
            first_sequence: self.state.next_sequence() - u64::from(record_count),
            record_count,
            body: std::mem::take(&mut self.body).freeze(),
            attached: Default::default(),
        };
        match self.writer.commit(batch).await {
            CommitOutcome::Committed(_) => Ok(()),
            outcome => Err(RestoreError::Commit {
                shard: self.state.shard,
                outcome,
            }),
        }
    }

    /// Writes the record that begins the new log.
    async fn start(mut self, log_id: LogId, now: Timestamp) -> Result<(), RestoreError> {
        self.state.carried_into(log_id);
        let ledger = LedgerName::of_shard(self.state.shard);
        let next = self.state.next(&ledger);
        let parent = self.state.last().zip(self.state.current_log());
        let parent = parent.map(|(last, log_id)| Parent {
            log_id,
            sequence: last.sequence,
            hash: last.hash,
        });
        let recorded_at = self.state.last_recorded_at().map_or(now, |at| at.max(now));
        let record = encode(&Record {
            log_id,
            shard: self.state.shard,
            epoch: self.state.epoch() + 1,
            sequence: next.sequence,
            ledger_sequence: next.ledger_sequence,
            previous_hash: next.previous_hash,
            ledger,
            moment: Moment {
                recorded_at,
                business_date: recorded_at.utc_day(),
            },
            key: IdempotencyKey::text(&format!("daybook:log:{log_id}"))
                .expect("44 printable bytes"),
            request_hash: None,
            actor: None,
            origin: Origin::Timer,
            traceparent: None,
            payload: Payload::LogStarted(LogStarted {
                shard_count: self.state.shard_count,
                parent,
            }),
        });
        self.state
            .apply(next.sequence, &record)
            .map_err(|divergence| diverged(Position(0), divergence))?;
        self.push(&record);
        self.commit().await
    }

    fn report(&self) -> RestoredShard {
        let last = self.state.last();
        RestoredShard {
            shard: self.state.shard,
            kept: last.map(|last| (last.sequence, last.hash)),
            recorded_at: last.map(|last| last.recorded_at),
            left_behind: self.left_behind,
        }
    }
}
