//! The loop of a projector.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger_core::time::Timestamp;
use ports::history::History;
use ports::log::LogReader;
use ports::projection::{Projection, ProjectionError};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::fill::Filling;
use crate::heads::Heads;
use crate::projector::{Config, Wish};
use crate::status::{State, Status};
use crate::stretch::{Bounds, Cursor, Stretch};

/// Longest pause after a stretch, so that what the writer commits meanwhile gathers. Small enough to be "a few
/// ms" for who reads, long enough that single commits do not each cost a transaction.
const GATHER_MAX: Duration = Duration::from_millis(4);

/// Records that wait from which on the next stretch is read and folded while the last one is
/// being written. With fewer it is better to see what comes meanwhile, and write it together.
const AHEAD_RECORDS_MIN: u64 = 32 * 1024;

/// Waits after something could not be reached.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How often who has nothing to write looks whether the history still has what was written.
const HISTORY_LOOK: Duration = Duration::from_secs(2);

/// How long a projector leaves a shard to one that was faster.
const STAND_BY: Duration = Duration::from_secs(1);

/// Follows one shard.
pub(crate) struct Follower {
    config: Config,
    reader: Arc<dyn LogReader>,
    projection: Arc<dyn Projection>,
    /// The history that `projection` writes, where that is a store of its own.
    history: Option<Arc<dyn History>>,
    status: watch::Sender<Status>,
    heads: Heads,
    shard_label: String,
}

impl Follower {
    pub(crate) fn new(
        config: Config,
        reader: Arc<dyn LogReader>,
        projection: Arc<dyn Projection>,
        history: Option<Arc<dyn History>>,
        status: watch::Sender<Status>,
    ) -> Self {
        Self {
            config,
            reader,
            projection,
            history,
            status,
            heads: Heads::default(),
            shard_label: config.shard.to_string(),
        }
    }

    /// Follows until it is told to stop.
    pub(crate) async fn run(mut self, mut wishes: watch::Receiver<Wish>) -> Result<(), Failure> {
        let mut committed = self.reader.watch(self.config.shard);
        let mut place = None;
        let mut filling = None;
        let mut retry = RETRY_FIRST;
        // When all handles are gone nobody can wish any more: it follows on.
        let mut wishing = true;
        loop {
            let wish = *wishes.borrow_and_update();
            match wish {
                Wish::Stop => return Ok(()),
                Wish::Pause(_) => {
                    self.say(State::Paused);
                    // Who paused may move the read models: they are looked at again.
                    place = None;
                    if filling.is_some() {
                        filling = Some(Fill::Look);
                    }
                    wishing &= wishes.changed().await.is_ok();
                    if !wishing {
                        wishes = watch::channel(Wish::Follow).1;
                    }
                    continue;
                }
                Wish::Follow => {}
            }
            let step = match filling.take() {
                Some(fill) => self.fill(fill, &mut filling).await,
                None => self.step(&mut place, &mut committed).await,
            };
            match step {
                Ok(Step::Idle) => {
                    retry = RETRY_FIRST;
                    let changed = committed.changed();
                    tokio::select! {
                        moved = changed => if moved.is_err() {
                            return Err(Failure::Internal("the log is closed".to_owned()));
                        },
                        wish = wishes.changed(), if wishing => wishing = wish.is_ok(),
                        () = tokio::time::sleep(HISTORY_LOOK), if self.history.is_some() => {
                            if self.has_lost_history(place.as_ref()).await {
                                place = None;
                                filling = Some(Fill::Look);
                            }
                        }
                    }
                }
                Ok(Step::Applied(gather)) => {
                    retry = RETRY_FIRST;
                    if !gather.is_zero() {
                        tokio::time::sleep(gather).await;
                    }
                }
                Err(Failure::Projection(ProjectionError::HistoryBehind { found, .. }))
                    if self.history.is_some() =>
                {
                    tracing::warn!(
                        shard = self.config.shard,
                        has = found.map_or(0, |found| found.sequence),
                        "the account history is behind the read models; it is filled from the log"
                    );
                    place = None;
                    filling = Some(Fill::Look);
                }
                Err(failure) if failure.is_transient() => {
                    tracing::warn!(
                        shard = self.config.shard,
                        %failure,
                        retry_ms = retry.as_millis() as u64,
                        "the projection waits"
                    );
                    self.say(State::Retrying(Arc::new(failure)));
                    // Whether the last stretch was written is looked up.
                    place = None;
                    tokio::select! {
                        () = tokio::time::sleep(retry) => {}
                        wish = wishes.changed(), if wishing => wishing = wish.is_ok(),
                    }
                    retry = (retry * 2).min(RETRY_MAX);
                }
                Err(failure @ Failure::Projection(ProjectionError::CheckpointMoved { .. })) => {
                    // Another projector of this shard was faster, or the read models were
                    // switched. What it wrote is checked like everything where one resumes.
                    metrics::counter!(
                        "daybook_projection_overtaken_total",
                        "shard" => self.shard_label.clone()
                    )
                    .increment(1);
                    tracing::info!(
                        shard = self.config.shard,
                        "the read models were moved by another; this projector stands by"
                    );
                    self.say(State::Retrying(Arc::new(failure)));
                    place = None;
                    tokio::select! {
                        () = tokio::time::sleep(STAND_BY) => {}
                        wish = wishes.changed(), if wishing => wishing = wish.is_ok(),
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Writes the next stretch of a history that is behind; `on` says how to go on.
    async fn fill(&mut self, fill: Fill, on: &mut Option<Fill>) -> Result<Step, Failure> {
        // What fails is looked up again.
        *on = Some(Fill::Look);
        let mut filling = match fill {
            Fill::On(filling) => filling,
            Fill::Look => match self.begin_filling().await? {
                Some(filling) => Box::new(filling),
                None => {
                    *on = None;
                    return Ok(Step::Applied(Duration::ZERO));
                }
            },
        };
        let (sequence, through) = filling.reached();
        self.say(State::Filling { sequence, through });
        *on = match filling.step(self.reader.as_ref()).await? {
            true => Some(Fill::On(filling)),
            false => {
                tracing::info!(
                    shard = self.config.shard,
                    through,
                    "the account history is filled"
                );
                None
            }
        };
        Ok(Step::Applied(Duration::ZERO))
    }

    /// Whether the history stands before the read models. Who writes to it is told so; who has
    /// nothing to write has to look, or readers would wait for the next command.
    async fn has_lost_history(&self, place: Option<&Place>) -> bool {
        let (Some(history), Some(place)) = (&self.history, place) else {
            return false;
        };
        match history.checkpoint(self.config.shard).await {
            Ok(found) => found.map_or(0, |found| found.sequence) + 1 < place.at.next_sequence(),
            // It cannot be reached, which whoever needs it says.
            Err(_) => false,
        }
    }

    /// `None` where there is nothing to fill.
    async fn begin_filling(&self) -> Result<Option<Filling>, Failure> {
        let through = self.projection.checkpoint(self.config.shard).await;
        let through = through.map_err(Failure::Projection)?;
        let Some((through, history)) = through.zip(self.history.clone()) else {
            return Ok(None);
        };
        let begun = Filling::begin(self.config, history, through, self.reader.as_ref());
        begun.await.map(Some)
    }

    async fn step(
        &mut self,
        place: &mut Option<Place>,
        committed: &mut watch::Receiver<u64>,
    ) -> Result<Step, Failure> {
        let log_next = *committed.borrow_and_update();
        let Place { at, ahead } = match place.take() {
            Some(place) => place,
            None => Place {
                at: self.resume().await?,
                ahead: None,
            },
        };
        let bounds = Bounds {
            records: self.config.records_max,
            bytes: self.config.bytes_max,
            through: u64::MAX,
        };
        let started = Instant::now();
        let reader = Arc::clone(&self.reader);
        let taken = match ahead {
            Some(stretch) => Some(stretch),
            None => at.take(reader.as_ref(), bounds).await?,
        };
        let Some(stretch) = taken else {
            self.standing(&at, log_next);
            *place = Some(Place { at, ahead: None });
            return Ok(Step::Idle);
        };
        let full = stretch.full;
        let next = stretch.after.clone();
        let is_far_behind = *committed.borrow() > next.next_sequence() + AHEAD_RECORDS_MIN;
        let read_ahead = async {
            match is_far_behind {
                // What cannot be read now is met again, and told, in its turn.
                true => next.take(reader.as_ref(), bounds).await.ok().flatten(),
                false => None,
            }
        };
        let (applied, ahead) = tokio::join!(self.apply(&at, stretch), read_ahead);
        let after = applied?;
        let took = started.elapsed();
        let log_next = *committed.borrow();
        self.standing(&after, log_next);
        let enough_waits = full || ahead.is_some();
        *place = Some(Place { at: after, ahead });
        // At most half of the time is spent here while little waits: many small commits are
        // not as many transactions, and the writer has the other half. Who is far behind has
        // enough waiting; who was idle answers the next commit at once.
        Ok(Step::Applied(match enough_waits {
            true => Duration::ZERO,
            false => took.min(GATHER_MAX),
        }))
    }

    /// Finds where the read models stand.
    pub(crate) async fn resume(&mut self) -> Result<Cursor, Failure> {
        self.heads = Heads::default();
        let shard = self.config.shard;
        let checkpoint = self
            .projection
            .checkpoint(shard)
            .await
            .map_err(Failure::Projection)?;
        Cursor::resume(self.config.log_id, shard, checkpoint, self.reader.as_ref()).await
    }

    /// Writes a stretch and gives where the read models stand then.
    pub(crate) async fn apply(&mut self, at: &Cursor, stretch: Stretch) -> Result<Cursor, Failure> {
        let started = Instant::now();
        let shard = self.config.shard;
        let heads = stretch.heads();
        let Stretch {
            fold,
            first,
            after,
            traced,
            ..
        } = stretch;
        let records = fold.records();
        let checked = self
            .heads
            .check(shard, self.projection.as_ref(), &fold)
            .await;
        if let Err(failure) = checked {
            // Heads that another projector has moved meanwhile say nothing about the log.
            let found = self.projection.checkpoint(shard).await;
            let found = found.map_err(Failure::Projection)?;
            return Err(match at.checkpoint() {
                expected if expected == found => failure,
                expected => Failure::Projection(ProjectionError::CheckpointMoved {
                    shard,
                    expected: expected.map(Box::new),
                    found: found.map(Box::new),
                }),
            });
        }
        let to = after
            .checkpoint()
            .ok_or_else(|| Failure::Internal("an empty stretch was to be written".to_owned()))?;
        let changes = fold.finish().map_err(|what| Failure::Stretch {
            shard,
            first,
            last: to.sequence,
            what,
        })?;
        self.projection
            .apply(shard, at.checkpoint().as_ref(), &to, changes)
            .await
            .map_err(Failure::Projection)?;
        self.heads.learn(heads);
        let label = || self.shard_label.clone();
        metrics::histogram!("daybook_projection_apply_seconds", "shard" => label())
            .record(started.elapsed().as_secs_f64());
        metrics::histogram!("daybook_projection_stretch_records", "shard" => label())
            .record(records as f64);
        metrics::counter!("daybook_projection_records_total", "shard" => label())
            .increment(records);
        tracing::debug!(shard, first, last = to.sequence, records, "projected");
        for trace in traced {
            tracing::debug!(
                shard,
                traceparent = &*trace.traceparent,
                ledger = trace.ledger.as_str(),
                ledger_sequence = trace.ledger_sequence,
                "in the read models"
            );
        }
        Ok(after)
    }

    fn standing(&self, at: &Cursor, log_next: u64) {
        let committed = log_next.saturating_sub(1).max(at.next_sequence() - 1);
        let waiting = committed + 1 - at.next_sequence();
        let lag = match at.last {
            Some(last) if waiting > 0 => since(last.recorded_at),
            _ => Duration::ZERO,
        };
        let label = || self.shard_label.clone();
        metrics::gauge!("daybook_projection_lag_records", "shard" => label()).set(waiting as f64);
        metrics::gauge!("daybook_projection_lag_seconds", "shard" => label())
            .set(lag.as_secs_f64());
        metrics::gauge!("daybook_projection_sequence", "shard" => label())
            .set((at.next_sequence() - 1) as f64);
        self.status.send_modify(|status| {
            status.state = State::Following;
            status.checkpoint = at.checkpoint();
            status.committed = committed;
            status.lag = lag;
        });
    }

    fn say(&self, state: State) {
        self.status.send_modify(|status| status.state = state);
    }
}

/// Where the read models stand, and what was read beyond.
struct Place {
    at: Cursor,
    /// The stretch after `at`, folded.
    ahead: Option<Stretch>,
}

/// A history that is behind.
enum Fill {
    /// Where it stands is to be looked up.
    Look,
    /// The next stretch is to be written.
    On(Box<Filling>),
}

/// What a step came to.
enum Step {
    /// Nothing waits.
    Idle,
    /// A stretch was written; gather for so long before the next.
    Applied(Duration),
}

/// Time since `then` by the system's clock; zero where that says the future. For metrics alone.
fn since(then: Timestamp) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_micros());
    let then = u128::try_from(then.micros()).unwrap_or(0);
    Duration::from_micros(u64::try_from(now.saturating_sub(then)).unwrap_or(u64::MAX))
}
