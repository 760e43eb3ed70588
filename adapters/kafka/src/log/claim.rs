//! Claiming a shard: gate, fence, barrier.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ports::log::{Attached, CommitOutcome, LogEntry, LogError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Timestamp;
use rdkafka::producer::Producer as _;
use tokio::sync::oneshot;

use super::assemble::{Stored, position};
use super::place::{Kind, Place};
use super::producer::{self, Producer};
use super::tail::End;
use super::transaction::{self, Own, Work};
use super::writer::{Committer, Writer};
use super::{Shared, find};
use crate::error::{is_fenced, is_refusal, log_error};
use crate::gate::{Admission, ClaimGate};

/// How long a claim tries, all attempts together.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the coordinator may take to end what was open.
const INIT: Duration = Duration::from_secs(15);
/// How far this machine's clock may be from the brokers'.
const CLOCK: i64 = 5_000;

/// An attempt that failed.
enum Failed {
    /// Trying again may help.
    Again(LogError),
    For(LogError),
}

/// Claims `shard`; tries again with growing pauses where that may help.
pub(crate) async fn claim(
    shared: &Arc<Shared>,
    gate: Option<&Arc<dyn ClaimGate>>,
    shard: u32,
    barrier: Bytes,
) -> Result<Writer, LogError> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        // Asked anew each time: in the meantime the shard may have been given to another.
        let admission = match gate {
            Some(gate) => Some(gate.admit(shard).await?),
            None => None,
        };
        let error = match attempt(shared, gate, shard, admission, barrier.clone()).await {
            Ok(writer) => return Ok(writer),
            Err(Failed::For(error)) => return Err(error),
            Err(Failed::Again(error)) => error,
        };
        if started.elapsed() + pause > PATIENCE {
            return Err(error);
        }
        tracing::info!(shard, %error, "a claim failed and is tried again");
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Between half of `pause` and all of it, so that two claimants do not keep step.
fn jittered(pause: Duration) -> Duration {
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    pause.mul_f64(0.5 + f64::from(byte) / 512.0)
}

/// One attempt, on a thread that becomes the writer's.
async fn attempt(
    shared: &Arc<Shared>,
    gate: Option<&Arc<dyn ClaimGate>>,
    shard: u32,
    admission: Option<Admission>,
    barrier: Bytes,
) -> Result<Writer, Failed> {
    let (answer, answered) = oneshot::channel();
    let shared = Arc::clone(shared);
    let gate = gate.cloned();
    std::thread::Builder::new()
        .name(format!("daybook-log-{shard}"))
        .spawn(move || {
            match Claimant::new(shared, gate, shard)
                .and_then(|claimant| claimant.claim(admission.as_ref(), barrier))
            {
                Ok(committer) => {
                    let (writer, requests) = Writer::new();
                    // Nobody waits any more: the claim is given up with its thread.
                    if answer.send(Ok(writer)).is_ok() {
                        committer.run(&requests);
                    }
                }
                Err(failed) => {
                    let _ = answer.send(Err(failed));
                }
            }
        })
        .map_err(|error| {
            Failed::For(LogError::Unavailable(format!(
                "no thread could start: {error}"
            )))
        })?;
    answered.await.unwrap_or_else(|_| {
        Err(Failed::Again(LogError::Unavailable(
            "the thread of the claim ended".to_owned(),
        )))
    })
}

struct Claimant {
    shared: Arc<Shared>,
    gate: Option<Arc<dyn ClaimGate>>,
    shard: u32,
    producer: Producer,
}

impl Claimant {
    fn new(
        shared: Arc<Shared>,
        gate: Option<Arc<dyn ClaimGate>>,
        shard: u32,
    ) -> Result<Self, Failed> {
        let producer = producer::producer(&shared.connection, shard).map_err(Failed::For)?;
        Ok(Self {
            shared,
            gate,
            shard,
            producer,
        })
    }

    fn claim(self, admission: Option<&Admission>, barrier: Bytes) -> Result<Committer, Failed> {
        let begun = Instant::now();
        // Fences every earlier writer, and ends what they left open.
        self.producer
            .init_transactions(INIT)
            .map_err(|error| self.refused("fencing earlier writers", &error))?;
        let fenced = begun.elapsed();
        let shard = self.shard;
        let pool = &self.shared.pool;
        let end = pool
            .run_here(shard, -1, |stream| find::end(stream, shard))
            .map_err(retriable)?;
        let found = begun.elapsed();
        let sent = now();
        let stored = self.commit_barrier(end, admission, barrier)?;
        let committed = begun.elapsed();
        self.check(&stored, sent, now())?;
        tracing::info!(
            shard,
            ?fenced,
            end = ?found.saturating_sub(fenced),
            barrier = ?committed.saturating_sub(found),
            took = ?begun.elapsed(),
            "claimed"
        );
        let Some(known) = self.shared.shard(shard) else {
            return Err(Failed::For(super::no_shard(shard, 0)));
        };
        let claim = known.tail.claimed(end, stored);
        self.shared.touch_roster();
        Ok(Committer {
            shared: self.shared,
            gate: self.gate,
            shard,
            producer: self.producer,
            claim,
            next_sequence: end.next_sequence,
            epoch: end.epoch,
            spent: None,
        })
    }

    fn refused(&self, doing: &str, error: &KafkaError) -> Failed {
        let code = error.rdkafka_error_code();
        let fatal = match error {
            KafkaError::Transaction(error) => error.is_fatal() && !code.is_some_and(is_fenced),
            _ => false,
        };
        match code {
            Some(code) if is_refusal(code) => Failed::For(log_error(doing, error)),
            Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
                Failed::For(LogError::Unusable(format!(
                    "the brokers' transaction.max.timeout.ms is below {:?}",
                    producer::TRANSACTION_TIMEOUT
                )))
            }
            _ if fatal => Failed::For(log_error(doing, error)),
            _ => Failed::Again(log_error(doing, error)),
        }
    }

    /// Commits the barrier in a transaction of its own.
    fn commit_barrier(
        &self,
        end: End,
        admission: Option<&Admission>,
        barrier: Bytes,
    ) -> Result<Stored, Failed> {
        let attached = Attached {
            consumed: admission.map_or_else(Vec::new, |admission| admission.offsets.clone()),
            messages: Vec::new(),
        };
        let own = [Own {
            place: Place {
                kind: Kind::Barrier,
                log: self.shared.tag(),
                epoch: end.epoch,
                sequence: end.next_sequence,
                index: 0,
                count: 0,
            },
            key: Bytes::new(),
            payload: barrier.clone(),
        }];
        let group = self.gate.as_ref().and_then(|gate| gate.group_metadata());
        let topics = self.shared.connection.topics();
        let work = Work {
            topic: &topics.events,
            own: &own,
            attached: &attached,
            group,
        };
        let done = match transaction::commit(&self.producer, topics, self.shard, &work) {
            Ok(done) => done,
            Err(failure) if failure.is_stale_group() => {
                let outcome = failure.outcome(&self.producer);
                return Err(Failed::For(LogError::NotOwner {
                    shard: self.shard,
                    why: format!("the consumer group has moved on: {outcome:?}"),
                }));
            }
            Err(failure) => {
                let why = match failure.outcome(&self.producer) {
                    CommitOutcome::Fenced(why) => format!("another claim came first: {why}"),
                    other => format!("the barrier was not committed: {other:?}"),
                };
                return Err(Failed::Again(LogError::Unavailable(why)));
            }
        };
        match (done.offsets, done.disturbed) {
            (Some((offset, _)), None) => Ok(Stored {
                entry: LogEntry {
                    position: position(offset),
                    first_sequence: end.next_sequence,
                    record_count: 0,
                    body: barrier,
                },
                next_offset: offset + 1,
                epoch: end.epoch,
            }),
            (_, disturbed) => Err(Failed::Again(LogError::Unavailable(format!(
                "the barrier's commit was disturbed: {}",
                disturbed.unwrap_or_default()
            )))),
        }
    }

    /// Reads the barrier back, as everybody will, and compares the brokers' clock with ours: it
    /// was sent after `sent` and appended before `done`.
    fn check(&self, barrier: &Stored, sent: i64, done: i64) -> Result<(), Failed> {
        let shard = self.shard;
        let offset = barrier.first_offset();
        let seen = self
            .shared
            .pool
            .run_here(shard, -1, |stream| {
                stream.first_at(shard, offset, offset + 1)
            })
            .map_err(retriable)?;
        match seen {
            Some(seen) if seen.offset == offset => match seen.timestamp {
                Timestamp::LogAppendTime(at) => within_clock(at, sent, done).map_err(Failed::For),
                _ => Err(Failed::For(LogError::Unusable(
                    "the events topic does not have message.timestamp.type=LogAppendTime, which \
                     claims compare their clock with"
                        .to_owned(),
                ))),
            },
            _ => Err(Failed::Again(LogError::Unavailable(
                "the barrier cannot be read back".to_owned(),
            ))),
        }
    }
}

/// Refuses a clock that is off: what this node would write would carry wrong times.
fn within_clock(appended: i64, sent: i64, done: i64) -> Result<(), LogError> {
    let (off, word) = match (sent - appended, appended - done) {
        (ahead, _) if ahead > CLOCK => (ahead, "ahead of"),
        (_, behind) if behind > CLOCK => (behind, "behind"),
        _ => return Ok(()),
    };
    Err(LogError::Unusable(format!(
        "this machine's clock is {} s {word} the brokers': a writer may be {} s off at most",
        off / 1_000,
        CLOCK / 1_000
    )))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

fn retriable(error: LogError) -> Failed {
    match error {
        LogError::Unavailable(_) => Failed::Again(error),
        other => Failed::For(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_refused() {
        assert!(within_clock(1_000_000, 1_004_900, 1_005_000).is_ok());
        assert!(within_clock(1_000_000, 990_000, 995_100).is_ok());
        // A commit that took long says nothing about the clock.
        assert!(within_clock(1_000_000, 999_990, 1_012_000).is_ok());
        let ahead = within_clock(1_000_000, 1_010_000, 1_010_005).expect_err("ten seconds");
        assert!(ahead.to_string().contains("10 s ahead of"), "{ahead}");
        let behind = within_clock(1_000_000, 989_995, 990_000).expect_err("ten seconds");
        assert!(behind.to_string().contains("10 s behind"), "{behind}");
    }

    #[test]
    fn pauses_are_jittered() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()));
        }
    }
}
