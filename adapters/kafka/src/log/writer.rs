//! The right to commit to one shard, and the thread that does it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::log::{Attached, Batch, CommitOutcome, LogEntry, LogWriter, Position};
use schemas::record::frame;
use tokio::sync::oneshot;

use super::Shared;
use super::assemble::{Stored, position};
use super::place::{Kind, Place};
use super::producer::Producer;
use super::transaction::{self, Own, Work};
use crate::gate::ClaimGate;

/// An idle writer looks so often at what librdkafka has to tell.
const IDLE: Duration = Duration::from_secs(1);

/// What the thread is asked for.
pub(crate) enum Request {
    Commit(Batch, oneshot::Sender<CommitOutcome>),
    Confirm(Attached, oneshot::Sender<CommitOutcome>),
}

/// See [`LogWriter`]. Its thread ends with it.
pub(crate) struct Writer {
    requests: SyncSender<Request>,
}

impl Writer {
    /// A writer and what its thread listens to.
    pub(crate) fn new() -> (Self, Receiver<Request>) {
        let (requests, received) = sync_channel(1);
        (Self { requests }, received)
    }

    async fn ask(
        &self,
        request: Request,
        answered: oneshot::Receiver<CommitOutcome>,
    ) -> CommitOutcome {
        match self.requests.try_send(request) {
            Ok(()) => answered.await.unwrap_or_else(|_| {
                CommitOutcome::Indeterminate("the writer's thread ended in the commit".to_owned())
            }),
            Err(TrySendError::Full(_)) => CommitOutcome::Indeterminate(
                "a commit that nobody waits for any more is still under way".to_owned(),
            ),
            Err(TrySendError::Disconnected(_)) => CommitOutcome::Aborted(
                "the writer's thread has ended; it needs a new producer".to_owned(),
            ),
        }
    }
}

#[async_trait]
impl LogWriter for Writer {
    async fn commit(&mut self, batch: Batch) -> CommitOutcome {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Commit(batch, answer), answered).await
    }

    async fn confirm(&mut self, attached: Attached) -> CommitOutcome {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Confirm(attached, answer), answered).await
    }

    fn can_be_deposed(&self) -> bool {
        true
    }
}

/// Commits to one shard, on its own thread.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Option<Arc<dyn ClaimGate>>,
    pub(crate) shard: u32,
    pub(crate) producer: Producer,
    /// The number that the tail knows its claim by.
    pub(crate) claim: u64,
    pub(crate) next_sequence: u64,
    pub(crate) epoch: u64,
    /// Why nothing more is committed.
    pub(crate) spent: Option<CommitOutcome>,
}

impl Drop for Committer {
    fn drop(&mut self) {
        if let Some(known) = self.shared.shard(self.shard) {
            known.tail.released(self.claim);
        }
        self.shared.touch_roster();
    }
}

impl Committer {
    /// Serves until nobody can ask any more.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(IDLE) {
                Ok(Request::Commit(batch, answer)) => {
                    let _ = answer.send(self.commit(batch));
                }
                Ok(Request::Confirm(attached, answer)) => {
                    let _ = answer.send(self.confirm(&attached));
                }
                Err(RecvTimeoutError::Timeout) => transaction::serve(&self.producer),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> CommitOutcome {
        if let Some(spent) = &self.spent {
            return spent.clone();
        }
        if batch.record_count == 0 {
            return CommitOutcome::Aborted("a batch has at least one record".to_owned());
        }
        if batch.epoch < self.epoch {
            return CommitOutcome::Fenced(format!(
                "the log of shard {} has records of epoch {}, which is later than {}",
                self.shard, self.epoch, batch.epoch
            ));
        }
        if batch.first_sequence != self.next_sequence {
            return self.out_of_order(&batch);
        }
        let own = match self.messages(&batch) {
            Ok(own) => own,
            Err(what) => return CommitOutcome::Aborted(what),
        };
        let topic = Arc::clone(&self.shared.connection.topics().events);
        let done = match self.transact(&topic, &own, &batch.attached) {
            Ok(done) => done,
            Err(outcome) => return outcome,
        };
        let next_sequence = batch.first_sequence + u64::from(batch.record_count);
        let Some((first, last)) = done.offsets else {
            // The broker knew the messages from before and did not say where they are.
            let why = "committed, and the broker does not say where".to_owned();
            return self.spend(CommitOutcome::Indeterminate(why));
        };
        self.next_sequence = next_sequence;
        self.epoch = batch.epoch;
        if let Some(known) = self.shared.shard(self.shard) {
            let stored = Stored {
                entry: LogEntry {
                    position: position(first),
                    first_sequence: batch.first_sequence,
                    record_count: batch.record_count,
                    body: batch.body,
                },
                next_offset: last + 1,
                epoch: batch.epoch,
            };
            known.index.note(&stored);
            let alone = last - first == i64::from(batch.record_count) - 1;
            known.tail.committed(self.claim, stored, alone);
        }
        CommitOutcome::Committed(position(first))
    }

    /// A batch that does not follow. Where another writer has come that is the reason, and the
    /// caller is to know it.
    fn out_of_order(&mut self, batch: &Batch) -> CommitOutcome {
        match self.confirm(&Attached::default()) {
            CommitOutcome::Committed(_) => CommitOutcome::Aborted(format!(
                "the batch begins with sequence {}, and the log goes on with {}",
                batch.first_sequence, self.next_sequence
            )),
            other => other,
        }
    }

    fn confirm(&mut self, attached: &Attached) -> CommitOutcome {
        if let Some(spent) = &self.spent {
            return spent.clone();
        }
        let own = match attached.is_empty() {
            true => vec![Own {
                place: Place {
                    kind: Kind::Confirmation,
                    log: self.shared.tag(),
                    epoch: self.epoch,
                    sequence: self.next_sequence,
                    index: 0,
                    count: 0,
                },
                key: Bytes::new(),
                payload: Bytes::from_static(b"\0"),
            }],
            false => Vec::new(),
        };
        let topic = Arc::clone(&self.shared.connection.topics().confirmations);
        match self.transact(&topic, &own, attached) {
            Ok(_) => CommitOutcome::Committed(Position::default()),
            Err(outcome) => outcome,
        }
    }

    /// Commits, and is spent where that was no clean success.
    fn transact(
        &mut self,
        topic: &str,
        own: &[Own],
        attached: &Attached,
    ) -> Result<transaction::Done, CommitOutcome> {
        let group = match attached.consumed.is_empty() {
            true => None,
            false => self.gate.as_ref().and_then(|gate| gate.group_metadata()),
        };
        let work = Work {
            topic,
            own,
            attached,
            group,
        };
        let topics = self.shared.connection.topics();
        match transaction::commit(&self.producer, topics, self.shard, &work) {
            Ok(done) => {
                if let Some(why) = &done.disturbed {
                    tracing::info!(
                        shard = self.shard,
                        why,
                        "a commit succeeded over trouble: the writer is replaced"
                    );
                    self.spent = Some(CommitOutcome::Aborted(format!(
                        "the writer needs a new producer, since its last commit was disturbed: \
                         {why}"
                    )));
                }
                Ok(done)
            }
            Err(failure) => Err(self.spend(failure.outcome(&self.producer))),
        }
    }

    fn spend(&mut self, outcome: CommitOutcome) -> CommitOutcome {
        self.spent = Some(match &outcome {
            CommitOutcome::Fenced(why) => CommitOutcome::Fenced(why.clone()),
            other => CommitOutcome::Aborted(format!(
                "the writer needs a new producer, since its last commit failed: {other:?}"
            )),
        });
        outcome
    }

    fn messages(&self, batch: &Batch) -> Result<Vec<Own>, String> {
        let records = frame::split(batch.body.clone()).map_err(|error| error.to_string())?;
        if records.len() != batch.record_count as usize {
            return Err(format!(
                "the batch says {} records and has {}",
                batch.record_count,
                records.len()
            ));
        }
        let log = self.shared.tag();
        let own = records.into_iter().zip(0..).map(|(payload, index)| Own {
            place: Place {
                kind: Kind::Record,
                log,
                epoch: batch.epoch,
                sequence: batch.first_sequence + u64::from(index),
                index,
                count: batch.record_count,
            },
            key: ledger_of(&payload),
            payload,
        });
        Ok(own.collect())
    }
}

/// The name of the ledger in a record's bytes (its field 5): the key that others who read the
/// topic find their ledger by. Empty where there is none.
fn ledger_of(record: &Bytes) -> Bytes {
    const LEDGER: u64 = 5;
    let mut at = 0;
    let varint = |at: &mut usize| -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *record.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    while let Some(tag) = varint(&mut at) {
        let length = match tag & 7 {
            0 => {
                if varint(&mut at).is_none() {
                    break;
                }
                0
            }
            1 => 8,
            2 => match varint(&mut at).map(usize::try_from) {
                Some(Ok(length)) => length,
                _ => break,
            },
            5 => 4,
            _ => break,
        };
        let Some(end) = at.checked_add(length).filter(|end| *end <= record.len()) else {
            break;
        };
        if tag == LEDGER << 3 | 2 {
            return record.slice(at..end);
        }
        at = end;
    }
    Bytes::new()
}

#[cfg(test)]
mod tests {
    use ports::conformance::samples;
    use schemas::record::LogId;

    use super::*;

    #[test]
    fn the_ledger_is_found_in_a_record() {
        let record = samples::record(LogId([9; 16]), 3, 300, 70_000, 10);
        let bytes = schemas::record::encode(&record).bytes;
        assert_eq!(ledger_of(&bytes), "samples");
        assert_eq!(ledger_of(&Bytes::new()), "");
        assert_eq!(ledger_of(&Bytes::from_static(&[0x2a, 0x7f, 1])), "");
        for at in 0..bytes.len() {
            let _ = ledger_of(&bytes.slice(..at));
        }
    }
}
