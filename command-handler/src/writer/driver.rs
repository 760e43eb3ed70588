//! The thread of a shard's writer: claims the shard, brings its state back, serves, and begins
//! again after every commit that was no clean success.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ports::log::{Consumed, EventLog, LogError, LogWriter};
use ports::snapshot::SnapshotStore;
use ports::views::FactsSource;
use schemas::error::Fault;
use schemas::record::Barrier;
use shard_state::recover::{Options, Recovered};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::callers::Callers;
use super::finder::Finder;
use super::machine::Machine;
use super::mailbox::{Mailbox, Message, Tag};
use super::request::Outcome;
use super::serve::{End, Serving};
use super::snapshots::Snapshots;
use super::status::Condition;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::StartError;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// A shard that was refused though it still is this node's is claimed again after so long: the
/// gate decides, and it may have been wrong.
const REFUSED_MOST: Duration = Duration::from_secs(10);
/// How often a writer without a shard looks up, besides being told.
const DUTY_EVERY: Duration = Duration::from_millis(500);
/// How often a full disk is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What a writer's thread works with.
pub(crate) struct Driver {
    pub(crate) shard: u32,
    pub(crate) config: Arc<Config>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) facts: Arc<dyn FactsSource>,
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) projected: watch::Receiver<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
    pub(crate) mailbox: Mailbox,
    pub(crate) messages: Receiver<Message>,
    pub(crate) finder: Arc<Finder>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) callers: Callers,
    pub(crate) hash_seed: u64,
    /// Counts claims, to tell late answers to an earlier one.
    pub(crate) claims: u64,
    /// The assignment by which the shard was last claimed.
    pub(crate) tried: u64,
    /// The assignment by which a claim was refused, or its shard given up, and when: a later
    /// assignment is waited for.
    pub(crate) refused: Option<(u64, std::time::Instant)>,
    /// Told once, when the shard serves or cannot.
    pub(crate) ready: Option<oneshot::Sender<Result<(), StartError>>>,
}

/// A shard that was claimed, its state, and from where topics are read on.
type Claimed = (Machine<Tag>, Box<dyn LogWriter>, Vec<Consumed>);

impl Driver {
    /// Runs until it is told to stop or can go on no more.
    pub(crate) fn run(mut self) {
        let mut backoff = BACKOFF_FIRST;
        while !self.mailbox.shared.is_stopping() {
            if !self.await_duty() {
                break;
            }
            self.mailbox.shared.set(Condition::Recovering);
            let end = match self.claim() {
                Ok((machine, writer, sources)) => {
                    Serving::new(&mut self, machine, writer, sources).run()
                }
                Err(error) if self.ready.is_some() => {
                    self.tell_ready(Err(error));
                    return self.stopped("it could not be started".to_owned());
                }
                Err(error) if error.code() == "NOT_OWNER" => End::Elsewhere(error.to_string()),
                Err(error) if error.retryable() => End::Lost {
                    why: error.to_string(),
                    served: false,
                },
                Err(error) => End::Finished(format!("{}: {error}", error.code())),
            };
            match end {
                End::Stopped => break,
                End::Finished(why) => return self.stopped(why),
                End::Lost { why, served } => {
                    self.lost(&why);
                    if self.ready.is_some() {
                        let shard = self.shard;
                        self.tell_ready(Err(StartError::Commit { shard, why }));
                        return self.stopped("it could not be started".to_owned());
                    }
                    if served {
                        backoff = BACKOFF_FIRST;
                    }
                    self.pause(backoff.mul_f64(0.5 + 0.5 * rand::random::<f64>()));
                    backoff = (backoff * 2).min(BACKOFF_MOST);
                }
                End::Elsewhere(why) => {
                    tracing::info!(shard = self.shard, %why, "the writer waits for the shard to be given to this node");
                    let declined = self.mailbox.shared.not_owner(self.shard);
                    self.callers.fail(&declined);
                    self.refused = Some((self.tried, std::time::Instant::now()));
                    backoff = BACKOFF_FIRST;
                }
                End::Full(why) => {
                    tracing::warn!(shard = self.shard, %why, "DISK_FULL: the shard is read-only until there is room");
                    self.callers.fail(&Fault::DiskFull { shard: self.shard });
                    if self.ready.is_some() {
                        let shard = self.shard;
                        self.tell_ready(Err(StartError::Commit { shard, why }));
                        return self.stopped("it could not be started".to_owned());
                    }
                    if let Some(end) = self.read_only() {
                        match end {
                            End::Finished(why) => return self.stopped(why),
                            End::Elsewhere(_) => continue,
                            _ => break,
                        }
                    }
                }
            }
        }
        // Whoever came too late for it repeats the command where the shard is served next.
        let declined =
            Fault::unavailable(format!("the writer of shard {} was stopped", self.shard));
        self.end("it was told to", Condition::Ended, &declined);
    }

    /// Waits until the shard is this node's to claim; false when told to stop.
    fn await_duty(&mut self) -> bool {
        let shared = Arc::clone(&self.mailbox.shared);
        loop {
            let duty = shared.duty();
            let refused = self
                .refused
                .is_some_and(|(by, when)| by == duty.generation && when.elapsed() < REFUSED_MOST);
            if duty.owned && !refused {
                self.tried = duty.generation;
                return true;
            }
            shared.set(Condition::NotOwner);
            if !duty.owned {
                shared.ownership.released(self.shard);
            }
            match self.messages.recv_timeout(DUTY_EVERY) {
                Err(RecvTimeoutError::Disconnected) | Ok(Message::Stop) => return false,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Commands {
                    requests, reply, ..
                }) => {
                    let why = shared.not_owner(self.shard);
                    let declined = requests.iter().map(|_| Outcome::Declined(why.clone()));
                    let _ = reply.send(declined.collect());
                }
                Ok(Message::Read { reply, .. }) => {
                    let _ = reply.send(Err(shared.read_elsewhere(self.shard)));
                }
                Ok(Message::Attach { reply, .. }) => {
                    let _ = reply.send(Err(shared.not_owner(self.shard)));
                }
                Ok(
                    Message::Duty
                    | Message::Committed { .. }
                    | Message::Facts { .. }
                    | Message::Repeats(_),
                ) => {}
            }
        }
    }

    /// Tells all who wait that the shard begins again from its log.
    fn lost(&mut self, why: &str) {
        metrics::counter!("daybook_recoveries_total", "shard" => self.shard.to_string())
            .increment(1);
        tracing::warn!(shard = self.shard, %why, "the shard recovers from its log");
        self.callers.fail(&Fault::unavailable(format!(
            "shard {} lost its place and recovers: {why}",
            self.shard
        )));
    }

    pub(super) fn tell_ready(&mut self, result: Result<(), StartError>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(result);
        }
    }

    fn stopped(&mut self, why: String) {
        let declined = Fault::ShardStopped {
            shard: self.shard,
            why: why.clone(),
        };
        self.end(&why, Condition::Stopped(why.clone()), &declined);
    }

    fn end(&mut self, why: &str, condition: Condition, declined: &Fault) {
        tracing::info!(shard = self.shard, %why, "the writer is stopped");
        self.mailbox.shared.set(condition);
        self.callers.fail(declined);
    }

    /// Claims the shard and brings its state back, up to the claim's own barrier.
    fn claim(&mut self) -> Result<Claimed, StartError> {
        let shard = self.shard;
        self.claims += 1;
        let nonce: [u8; 16] = rand::random();
        let epoch = self.mailbox.shared.epoch.load(Ordering::Relaxed);
        let barrier = Barrier { nonce, epoch }.encode();
        let claimed = self.runtime.block_on(self.log.claim(shard, barrier));
        let writer = claimed.map_err(|source| StartError::Claim { shard, source })?;
        let recovered = self.recover(Some(nonce))?;
        if let Some(sealed) = recovered.state.sealed() {
            return Err(StartError::Sealed {
                shard,
                moved_to: sealed.moved_to,
                place: Arc::clone(&sealed.place),
            });
        }
        let sources = recovered.state.sources();
        let mut machine = Machine::new(
            recovered.state,
            self.config.bounds,
            self.clock.now(),
            self.config.accept_clock,
        )
        .map_err(|source| StartError::Clock { shard, source })?;
        machine.claim(nonce, &self.config.build);
        self.mailbox
            .shared
            .epoch
            .store(machine.epoch(), Ordering::Relaxed);
        Ok((machine, writer, sources))
    }

    fn recover(&self, until: Option<[u8; 16]>) -> Result<Recovered, StartError> {
        let shard = self.shard;
        let options = Options {
            log_id: self.log.log_id(),
            shard,
            shard_count: self.log.shard_count(),
            until,
            hash_seed: self.hash_seed,
            projected: self.projected.clone(),
        };
        let begun = std::time::Instant::now();
        let mut told = begun;
        let progress = Box::new(move |progress: shard_state::recover::Progress| {
            if told.elapsed() > Duration::from_secs(2) {
                told = std::time::Instant::now();
                tracing::info!(
                    shard,
                    sequence = progress.sequence,
                    end = progress.end,
                    "replaying"
                );
            }
        });
        let recovered = self.runtime.block_on(shard_state::recover::recover(
            self.log.reader(),
            Some(Arc::clone(&self.store)),
            options,
            progress,
        ));
        let recovered = recovered.map_err(|source| StartError::Recover {
            shard,
            source: Box::new(source),
        })?;
        tracing::info!(
            shard,
            sequence = recovered.state.next_sequence() - 1,
            replayed = recovered.replayed,
            snapshot = recovered.snapshot.as_deref(),
            took = ?begun.elapsed(),
            "recovered"
        );
        if recovered.snapshot.is_some() {
            let sequence = recovered.state.next_sequence() - 1 - recovered.replayed;
            self.mailbox
                .shared
                .snapshot
                .fetch_max(sequence, Ordering::Relaxed);
        }
        Ok(recovered)
    }

    /// Waits out a full disk: answers reads from what is durable, declines commands, and tries
    /// now and then whether a claim goes through. `None` when there is room again.
    fn read_only(&mut self) -> Option<End> {
        self.mailbox.shared.set(Condition::ReadOnly);
        let mut machine = match self.recover(None) {
            Ok(recovered) => Some(Machine::reading(
                recovered.state,
                self.config.bounds,
                Fault::DiskFull { shard: self.shard },
            )),
            Err(error) if error.retryable() => None,
            Err(error) => return Some(End::Finished(format!("{}: {error}", error.code()))),
        };
        loop {
            if self.answer_reads(machine.as_mut()) || self.mailbox.shared.is_stopping() {
                return Some(End::Stopped);
            }
            if !self.mailbox.shared.duty().owned {
                return Some(End::Elsewhere("the shard is taken away".to_owned()));
            }
            let barrier = Barrier {
                nonce: rand::random(),
                epoch: self.mailbox.shared.epoch.load(Ordering::Relaxed),
            };
            // Only tries whether there is room: the claim proper is made afresh.
            match self
                .runtime
                .block_on(self.log.claim(self.shard, barrier.encode()))
            {
                Ok(_) => return None,
                Err(error @ LogError::NotOwner { .. }) => {
                    return Some(End::Elsewhere(error.to_string()));
                }
                Err(error) => tracing::debug!(shard = self.shard, %error, "no room yet"),
            }
        }
    }

    /// Serves reads for as long as a probe is due; true when told to stop.
    fn answer_reads(&mut self, mut machine: Option<&mut Machine<Tag>>) -> bool {
        let until = std::time::Instant::now() + PROBE_EVERY;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            let Ok(message) = self.messages.recv_timeout(left) else {
                return false;
            };
            let Some(machine) = machine.as_deref_mut() else {
                if matches!(message, Message::Stop) {
                    return true;
                }
                // Nothing to answer from: dropped, and its caller told that it is unavailable.
                continue;
            };
            match message {
                Message::Commands {
                    requests,
                    reply,
                    room,
                    ..
                } => self.callers.commands(machine, requests, reply, room),
                Message::Read {
                    ledger,
                    query,
                    reply,
                    room,
                } => self.callers.read(machine, ledger, query, reply, room),
                Message::Attach { reply, .. } => {
                    let _ = reply.send(Err(Fault::DiskFull { shard: self.shard }));
                }
                Message::Duty => return false,
                Message::Stop => return true,
                Message::Committed { .. } | Message::Facts { .. } | Message::Repeats(_) => {}
            }
            while machine.step(usize::MAX) {}
            self.callers.answer(machine.outputs());
        }
    }

    /// Waits, but not through a stop.
    fn pause(&self, time: Duration) {
        let until = std::time::Instant::now() + time;
        while std::time::Instant::now() < until && !self.mailbox.shared.is_stopping() {
            std::thread::sleep(Duration::from_millis(10).min(time));
        }
    }
}
