//! Brings a shard's state back from its newest good snapshot and the log since.

use std::sync::Arc;

use ports::log::{LogError, LogReader, Position};
use ports::snapshot::{SnapshotError, SnapshotStore};
use schemas::record::{Barrier, LogId, RecordError, RecordHash, SealedRecord};
use tokio::sync::watch;

use crate::divergence::Divergence;
use crate::memory::{Memory, MemoryBounds};
use crate::pipeline::{self, Body, Decoded, End};
use crate::snapshot::{self, Place};
use crate::state::ShardState;

/// What to recover, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The log that must be read.
    pub log_id: LogId,
    /// The shard.
    pub shard: u32,
    /// Shards of the log.
    pub shard_count: u32,
    /// Replay until the barrier with this nonce; `None` for until the log's present end.
    pub until: Option<[u8; 16]>,
    /// See [`ledger_core::ledger::LedgerState::new`].
    pub hash_seed: u64,
    /// The sequence of the projection's checkpoint: what it has passed may leave memory.
    pub projected: watch::Receiver<u64>,
}

/// How far recovery has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last record applied.
    pub sequence: u64,
    /// The log's last record when recovery began.
    pub end: u64,
}

/// Progress is told every so many records, and at the end.
pub(crate) const PROGRESS_RECORDS: u64 = 20_000;

/// Hears of progress.
pub type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// A snapshot that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// A state that was recovered.
#[derive(Debug)]
pub struct Recovered {
    /// The state after the last record.
    pub state: ShardState,
    /// The entry that holds the last record; the first position when there is none.
    pub position: Position,
    /// The barrier that was replayed to.
    pub barrier: Option<Barrier>,
    /// The snapshot that it was started from.
    pub snapshot: Option<String>,
    /// Newer snapshots that could not be used; to be reported.
    pub unusable: Vec<Unusable>,
    /// Records that were replayed.
    pub replayed: u64,
}

/// Why a state could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshot store.
    #[error(transparent)]
    Store(#[from] SnapshotError),
    /// A record cannot follow the ones before it.
    #[error("the log is damaged at position {}: {divergence}", position.0)]
    Diverged {
        /// The entry.
        position: Position,
        /// Which record, and what is wrong.
        divergence: Box<Divergence>,
    },
    /// Bytes that are no record.
    #[error("the log is damaged at position {}: record {sequence} of the shard cannot be read: {source}", position.0)]
    Undecodable {
        /// The entry.
        position: Position,
        /// The record's sequence by its place.
        sequence: u64,
        /// Why.
        source: RecordError,
    },
    /// The log ends before the snapshot: an older log was put back.
    #[error(
        "snapshot {snapshot} was made after record {sequence}, and the log has none of that sequence: an older log was put back, or its end was cut off"
    )]
    LogBehind {
        /// The snapshot.
        snapshot: String,
        /// Its sequence.
        sequence: u64,
    },
    /// The log has another record than the snapshot was made after.
    #[error(
        "snapshot {snapshot} was made after record {sequence} with hash {expected}, and the log has {found} there: this is not the log that it was made from"
    )]
    LogDiverged {
        /// The snapshot.
        snapshot: String,
        /// Its sequence.
        sequence: u64,
        /// Hash of the record as the snapshot says.
        expected: RecordHash,
        /// Hash of the record in the log.
        found: RecordHash,
    },
    /// The snapshot is of another log.
    #[error("snapshot {snapshot} belongs to log {found}, not to {expected}")]
    AnotherLogsSnapshot {
        /// The snapshot.
        snapshot: String,
        /// This log.
        expected: LogId,
        /// The snapshot's log.
        found: LogId,
    },
    /// The records are of another log than the store says.
    #[error(
        "this is log {expected}, but its last record belongs to log {found}: what makes it from that one was not finished; run a migration again, delete what a restore left"
    )]
    Unfinished {
        /// This log.
        expected: LogId,
        /// The log of its last record.
        found: LogId,
    },
    /// The log ended before the barrier was read.
    #[error("the log of shard {shard} ended before the barrier of this claim was read")]
    BarrierMissing {
        /// The shard.
        shard: u32,
    },
    /// The read models are too far behind, and do not come nearer.
    #[error(
        "the read models of shard {shard} are too far behind the log, and do not move: rebuild them (daybook replay)"
    )]
    ProjectionBehind {
        /// The shard.
        shard: u32,
    },
    /// The thread that moved the state died.
    #[error("replay was stopped: {0}")]
    Stopped(String),
}

impl RecoverError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log(LogError::Locked(_)) => "LOG_LOCKED",
            Self::Log(LogError::Unusable(_)) | Self::Unfinished { .. } => "LOG_UNUSABLE",
            Self::Log(LogError::NotOwner { .. }) => "NOT_OWNER",
            Self::Log(LogError::Damaged { .. })
            | Self::Diverged { .. }
            | Self::Undecodable { .. } => "LOG_DAMAGED",
            Self::Log(LogError::Unavailable(_)) | Self::Store(SnapshotError::Unavailable(_)) => {
                "UNAVAILABLE"
            }
            Self::Store(SnapshotError::Damaged { .. } | SnapshotError::NotFound { .. }) => {
                "SNAPSHOT_DAMAGED"
            }
            Self::LogBehind { .. } => "LOG_BEHIND",
            Self::LogDiverged { .. } | Self::AnotherLogsSnapshot { .. } => "LOG_DIVERGED",
            Self::BarrierMissing { .. } | Self::Stopped(_) => "UNAVAILABLE",
            Self::ProjectionBehind { .. } => "READ_MODELS_UNUSABLE",
        }
    }
}

/// Recovers a shard: the newest good snapshot that the log agrees with, then the log since.
///
/// A damaged snapshot is passed by (and named in [`Recovered::unusable`]); one that knows more
/// than the log, or another log, refuses recovery: something was put back that should not be.
///
/// # Errors
/// [`RecoverError`].
pub async fn recover(
    reader: Arc<dyn LogReader>,
    store: Option<Arc<dyn SnapshotStore>>,
    options: Options,
    mut progress: OnProgress,
) -> Result<Recovered, RecoverError> {
    let shard = options.shard;
    let end = *reader.watch(shard).borrow();
    let mut start = Start::of_log(&options);
    if let Some(store) = store {
        start = newest(&*reader, &*store, &options).await?;
    }
    let (from, next) = (start.position, start.state.next_sequence());
    let until = match options.until {
        Some(_) => End::Never,
        None => End::Before(end),
    };
    let mut replay = Replay {
        state: start.state,
        memory: Memory::new(MemoryBounds::default(), options.projected.clone()),
        position: from,
        until: options.until,
        barrier: None,
    };
    // Nothing to be read: a log without records may still hold the barrier.
    let mut stretches = pipeline::start(reader, shard, from, until);
    let handle = tokio::runtime::Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let mut told = next;
        while let Some(stretch) = stretches.blocking_recv() {
            if replay.apply(stretch?)? {
                break;
            }
            if !handle.block_on(replay.memory.forget_or_wait(&mut replay.state)) {
                return Err(RecoverError::ProjectionBehind { shard });
            }
            let sequence = replay.state.next_sequence() - 1;
            if sequence >= told + PROGRESS_RECORDS {
                told = sequence;
                progress(Progress {
                    sequence,
                    end: end.saturating_sub(1),
                });
            }
        }
        progress(Progress {
            sequence: replay.state.next_sequence() - 1,
            end: end.saturating_sub(1),
        });
        Ok(replay)
    });
    let replay = work
        .await
        .map_err(|error| RecoverError::Stopped(error.to_string()))??;
    if options.until.is_some() && replay.barrier.is_none() {
        return Err(RecoverError::BarrierMissing { shard });
    }
    match replay.state.current_log() {
        Some(found) if found != options.log_id => Err(RecoverError::Unfinished {
            expected: options.log_id,
            found,
        }),
        _ => Ok(Recovered {
            replayed: replay.state.next_sequence() - next,
            state: replay.state,
            position: replay.position,
            barrier: replay.barrier,
            snapshot: start.snapshot,
            unusable: start.unusable,
        }),
    }
}

/// Where replay starts.
struct Start {
    state: ShardState,
    position: Position,
    snapshot: Option<String>,
    unusable: Vec<Unusable>,
}

impl Start {
    fn of_log(options: &Options) -> Self {
        Self {
            state: ShardState::new(
                options.log_id,
                options.shard,
                options.shard_count,
                options.hash_seed,
            ),
            position: Position(0),
            snapshot: None,
            unusable: Vec::new(),
        }
    }
}

/// The newest good snapshot, checked against the log; the log's beginning where there is none.
async fn newest(
    reader: &dyn LogReader,
    store: &dyn SnapshotStore,
    options: &Options,
) -> Result<Start, RecoverError> {
    let mut start = Start::of_log(options);
    for entry in store.list(options.shard).await? {
        let name = entry.name;
        let place = match &entry.manifest {
            Some(manifest) => Place::of(manifest).map_err(|why| why.to_string()),
            None => Err("its manifest is damaged".to_owned()),
        };
        let place = match place {
            Ok(place) => place,
            Err(why) => {
                start.unusable.push(Unusable { name, why });
                continue;
            }
        };
        let position = agree(reader, &name, &place, options).await?;
        match load(store, &name, options).await? {
            Ok(state) => {
                start.state = state;
                start.position = position;
                start.snapshot = Some(name);
                break;
            }
            Err(why) => start.unusable.push(Unusable { name, why }),
        }
    }
    for Unusable { name, why } in &start.unusable {
        tracing::warn!(shard = options.shard, snapshot = %name, %why, "a snapshot cannot be used; the one before it is");
    }
    Ok(start)
}

/// Reads the snapshot; the inner error says what is damaged.
pub(crate) async fn load(
    store: &dyn SnapshotStore,
    name: &str,
    options: &Options,
) -> Result<Result<ShardState, String>, RecoverError> {
    let (manifest, chunks) = match store.get(options.shard, name).await {
        Ok(found) => found,
        Err(SnapshotError::Damaged { what, .. }) => return Ok(Err(what)),
        Err(error @ SnapshotError::NotFound { .. }) => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let seed = options.hash_seed;
    tokio::task::spawn_blocking(move || snapshot::read(&manifest, &chunks, seed))
        .await
        .map(|read| read.map_err(|why| why.to_string()))
        .map_err(|error| RecoverError::Stopped(error.to_string()))
}

/// The log must have the very record that the snapshot was made after. Gives its position.
async fn agree(
    reader: &dyn LogReader,
    name: &str,
    place: &Place,
    options: &Options,
) -> Result<Position, RecoverError> {
    if place.log_id != options.log_id
        || place.shard != options.shard
        || place.shard_count != options.shard_count
    {
        return Err(RecoverError::AnotherLogsSnapshot {
            snapshot: name.to_owned(),
            expected: options.log_id,
            found: place.log_id,
        });
    }
    let sequence = place.last.sequence;
    let Some(entry) = reader.entry_of(options.shard, sequence).await? else {
        return Err(RecoverError::LogBehind {
            snapshot: name.to_owned(),
            sequence,
        });
    };
    let position = entry.position;
    match find_record(pipeline::decode(entry), sequence) {
        Some(Ok(record)) if record.hash == place.last.hash => Ok(position),
        Some(Ok(SealedRecord { hash: found, .. })) => Err(RecoverError::LogDiverged {
            snapshot: name.to_owned(),
            sequence,
            expected: place.last.hash,
            found,
        }),
        Some(Err(bytes)) => Err(RecoverError::Undecodable {
            position,
            sequence,
            source: bytes.error,
        }),
        None => Err(RecoverError::LogBehind {
            snapshot: name.to_owned(),
            sequence,
        }),
    }
}

/// The record of `sequence` in `entry`.
pub(crate) fn find_record(
    entry: Decoded,
    sequence: u64,
) -> Option<Result<SealedRecord, pipeline::Undecodable>> {
    let Body::Records(records) = entry.body else {
        return None;
    };
    let index = usize::try_from(sequence.checked_sub(entry.first_sequence)?).ok()?;
    records.into_iter().nth(index)
}

/// Replay on its way.
struct Replay {
    state: ShardState,
    memory: Memory,
    position: Position,
    until: Option<[u8; 16]>,
    barrier: Option<Barrier>,
}

impl Replay {
    /// Applies a stretch; true when the barrier was read.
    fn apply(&mut self, stretch: Vec<Decoded>) -> Result<bool, RecoverError> {
        for entry in stretch {
            match entry.body {
                Body::Barrier(Ok(barrier)) => {
                    if self.until == Some(barrier.nonce) {
                        self.barrier = Some(barrier);
                        return Ok(true);
                    }
                }
                Body::Barrier(Err(source)) => {
                    return Err(RecoverError::Undecodable {
                        position: entry.position,
                        sequence: entry.first_sequence,
                        source,
                    });
                }
                Body::Records(records) => {
                    self.records(entry.position, entry.first_sequence, records)?;
                }
            }
        }
        Ok(false)
    }

    fn records(
        &mut self,
        position: Position,
        first_sequence: u64,
        records: Vec<Result<SealedRecord, pipeline::Undecodable>>,
    ) -> Result<(), RecoverError> {
        for (sequence, record) in (first_sequence..).zip(records) {
            // The entry that a snapshot ends in holds records that the snapshot covers.
            if sequence < self.state.next_sequence() && self.position == position {
                continue;
            }
            let record = record.map_err(|bytes| RecoverError::Undecodable {
                position,
                sequence,
                source: bytes.error,
            })?;
            self.state
                .apply(sequence, &record)
                .map_err(|divergence| RecoverError::Diverged {
                    position,
                    divergence: Box::new(divergence),
                })?;
        }
        self.position = position;
        Ok(())
    }
}
