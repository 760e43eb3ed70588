//! Makes the read models anew beside the live ones, compares both, and switches.

use std::sync::Arc;
use std::time::Duration;

use ports::log::LogReader;
use ports::projection::{Projection, ProjectionError, ProjectionSwitch, Rebuild};
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;
use crate::follow::Follower;
use crate::priority;
use crate::projector::{Config, Projector};
use crate::status::{State, Status};
use crate::stretch::{Bounds, Cursor};

/// The live projectors are paused for the last records only.
const PAUSE_AT: u64 = 50_000;

/// How far a rebuild has got with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    /// The shard.
    pub shard: u32,
    /// The last record applied.
    pub sequence: u64,
    /// The last record that it is going for; it grows while others write.
    pub target_sequence: u64,
}

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Per shard, the record that both stood at when they were compared and switched.
    pub sequences: Vec<(u32, u64)>,
    /// Tables that differed, with the first differing row of each. Empty when the live read
    /// models were as the log says.
    pub differences: Vec<String>,
    /// True where there was nothing to compare with, since the live ones cannot be read.
    pub not_compared: bool,
}

/// A rebuild failed; the live read models are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log cannot be projected.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The read models cannot be made, compared or switched.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// It was ended before its time.
    #[error("the rebuild was cut off")]
    CutOff,
}

/// Tells how far a rebuild has got.
pub type OnProgress = Box<dyn Fn(RebuildProgress) + Send + Sync>;

/// Rebuilds the read models from the log's first record, beside the live ones, on a thread of
/// low priority. For the last records it pauses `live` (the projectors that move the live read
/// models; none when the server does not run), so that both stand at the same checkpoint;
/// compares row by row; switches, whatever the comparison says, since the log is the truth; and
/// lets `live` follow again.
///
/// # Errors
/// [`RebuildError`]. The live read models are then as they were, and `live` follows.
pub async fn rebuild(
    shards: Vec<Config>,
    reader: Arc<dyn LogReader>,
    live_models: Arc<dyn Projection>,
    live: Vec<Projector>,
    switch: Arc<dyn ProjectionSwitch>,
    progress: OnProgress,
) -> Result<Rebuilt, RebuildError> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name("rebuild".to_owned())
        .spawn(move || {
            priority::lower();
            let job = Job {
                shards,
                reader,
                live_models,
                live,
                progress,
            };
            let outcome = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::Internal(format!("no runtime: {error}")).into())
                .and_then(|runtime| runtime.block_on(job.run(switch.as_ref())));
            // Who asked may have gone; the work is done all the same.
            let _ = done.send(outcome);
        })
        .map_err(|error| Failure::Internal(format!("no thread: {error}")))?;
    result.await.unwrap_or(Err(RebuildError::CutOff))
}

struct Job {
    shards: Vec<Config>,
    reader: Arc<dyn LogReader>,
    live_models: Arc<dyn Projection>,
    live: Vec<Projector>,
    progress: OnProgress,
}

/// A shard of the new read models.
struct Worker {
    config: Config,
    follower: Follower,
    at: Cursor,
}

/// What a shard of the live read models stands at.
struct Target {
    sequence: u64,
    comparable: bool,
}

impl Job {
    async fn run(self, switch: &dyn ProjectionSwitch) -> Result<Rebuilt, RebuildError> {
        let rebuild = switch.begin_rebuild().await?;
        let mut workers = Vec::with_capacity(self.shards.len());
        for config in &self.shards {
            workers.push(self.worker(*config, rebuild.as_ref()).await?);
        }
        for worker in &mut workers {
            loop {
                let target = self.target(worker.config.shard).await?.sequence;
                if target < worker.at.next_sequence() + PAUSE_AT {
                    break;
                }
                self.advance(worker, target).await?;
            }
        }
        let paused = Paused::all(&self.live).await;
        let mut rebuilt = Rebuilt {
            sequences: Vec::new(),
            differences: Vec::new(),
            not_compared: false,
        };
        for worker in &mut workers {
            let target = self.target(worker.config.shard).await?;
            self.advance(worker, target.sequence).await?;
            rebuilt.not_compared |= !target.comparable;
            rebuilt
                .sequences
                .push((worker.config.shard, worker.at.next_sequence() - 1));
        }
        if !rebuilt.not_compared {
            rebuilt.differences = rebuild.differences().await?;
            // Projectors of other processes are not paused: what moved meanwhile differs.
            for (shard, sequence) in &rebuilt.sequences {
                let live = self.live_models.checkpoint(*shard).await?;
                if live.map_or(0, |live| live.sequence) != *sequence {
                    rebuilt.not_compared = true;
                    rebuilt.differences.clear();
                }
            }
        }
        rebuild.switch().await?;
        drop(paused);
        Ok(rebuilt)
    }

    async fn worker(&self, config: Config, rebuild: &dyn Rebuild) -> Result<Worker, RebuildError> {
        let (told, _) = watch::channel(Status {
            shard: config.shard,
            state: State::Starting,
            checkpoint: None,
            committed: 0,
            lag: Duration::ZERO,
        });
        let mut follower = Follower::new(
            config,
            self.reader.clone(),
            rebuild.projection(),
            None,
            told,
        );
        let at = follower.resume().await?;
        Ok(Worker {
            config,
            follower,
            at,
        })
    }

    /// Where the live read models stand, which the new ones are made to reach exactly; the
    /// log's end where the live ones cannot say or say what the log cannot have.
    async fn target(&self, shard: u32) -> Result<Target, RebuildError> {
        let end = self.reader.watch(shard).borrow().saturating_sub(1);
        match self.live_models.checkpoint(shard).await {
            Ok(Some(live)) if live.sequence <= end => Ok(Target {
                sequence: live.sequence,
                comparable: true,
            }),
            Ok(found) => Ok(Target {
                sequence: end,
                comparable: found.is_none() && end == 0,
            }),
            Err(ProjectionError::Unusable(_)) => Ok(Target {
                sequence: end,
                comparable: false,
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn advance(&self, worker: &mut Worker, through: u64) -> Result<(), RebuildError> {
        while worker.at.next_sequence() <= through {
            let bounds = Bounds {
                records: worker.config.records_max,
                bytes: worker.config.bytes_max,
                through,
            };
            let taken = worker.at.take(self.reader.as_ref(), bounds).await?;
            let stretch = taken.ok_or(Failure::LogBehind {
                shard: worker.config.shard,
                sequence: through,
            })?;
            worker.at = worker.follower.apply(&worker.at, stretch).await?;
            (self.progress)(RebuildProgress {
                shard: worker.config.shard,
                sequence: worker.at.next_sequence() - 1,
                target_sequence: through,
            });
        }
        Ok(())
    }
}

/// Projectors that hold still as long as this lives.
struct Paused<'a>(&'a [Projector]);

impl<'a> Paused<'a> {
    async fn all(projectors: &'a [Projector]) -> Self {
        // Before the first is asked, so that an end in the middle lets all go again.
        let paused = Self(projectors);
        for projector in projectors {
            projector.pause().await;
        }
        paused
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        for projector in self.0 {
            projector.resume();
        }
    }
}
