//! A small writer for tests: decides commands with real ledgers, fills a log in memory with
//! what they decide, and answers STRONG reads from them. Panics where a test is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::BytesMut;
use ledger_core::canonical::request_hash;
use ledger_core::command::{Command, Operation};
use ledger_core::event::Event;
use ledger_core::facts::{Facts, KeyEntry};
use ledger_core::key::IdempotencyKey;
use ledger_core::ledger::LedgerState;
use ledger_core::name::LedgerName;
use ledger_core::rejection::Rejection;
use ledger_core::time::{Moment, Timestamp};
use schemas::record::{
    Barrier, LogStarted, Origin, Payload, Record, RecordHash, WriterClaimed, encode_into, frame,
};

use super::MemoryLog;
use crate::log::{Batch, CommitOutcome, EventLog, LogWriter};
use crate::routing::shard_of;
use crate::strong::{StrongAnswer, StrongError, StrongQuery, StrongRead, StrongReads};

/// See the module. Clones are the same one.
#[derive(Clone)]
pub struct Scribe {
    log: MemoryLog,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    shards: Vec<Shard>,
    chains: BTreeMap<LedgerName, Chain>,
    now: i64,
    keys: u128,
}

struct Shard {
    writer: Option<Box<dyn LogWriter>>,
    next: u64,
    body: BytesMut,
    first: u64,
    count: u32,
}

struct Chain {
    state: LedgerState,
    head: Option<(u64, RecordHash, Timestamp)>,
}

impl Scribe {
    /// Claims all shards of the empty `log` and begins them.
    pub async fn new(log: MemoryLog) -> Self {
        let mut shards = Vec::new();
        for shard in 0..log.shard_count() {
            let nonce = [shard as u8; 16];
            let barrier = Barrier { nonce, epoch: 0 }.encode();
            let writer = log.claim(shard, barrier).await.expect("a fresh log");
            shards.push(Shard {
                writer: Some(writer),
                next: 1,
                body: BytesMut::new(),
                first: 1,
                count: 0,
            });
        }
        let scribe = Self {
            inner: Arc::new(Mutex::new(Inner {
                shards,
                chains: BTreeMap::new(),
                now: 1_750_000_000_000_000,
                keys: 0,
            })),
            log,
        };
        for shard in 0..scribe.log.shard_count() {
            let started = LogStarted {
                shard_count: scribe.log.shard_count(),
                parent: None,
            };
            scribe.own(shard, Payload::LogStarted(started));
            let claimed = WriterClaimed {
                epoch: 1,
                nonce: [shard as u8; 16],
                build: "test".into(),
            };
            scribe.own(shard, Payload::WriterClaimed(claimed));
        }
        scribe.commit().await;
        scribe
    }

    /// The log that is filled.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// The engine's time, in microseconds.
    pub fn now(&self) -> i64 {
        self.inner().now
    }

    /// Lets time pass.
    pub fn wait(&self, micros: i64) {
        self.inner().now += micros;
    }

    /// Decides `operation` under a fresh UUIDv7 and records the decision; it is in the log with
    /// the next [`Self::commit`].
    ///
    /// # Errors
    /// The refusal, which is recorded too.
    pub fn write(&self, ledger: &str, operation: Operation) -> Result<Event, Rejection> {
        let key = {
            let mut inner = self.inner();
            inner.keys += 1;
            let stamp = (inner.now / 1_000) as u128;
            stamp << 80 | 7 << 76 | 0b10 << 62 | inner.keys
        };
        let key = IdempotencyKey::from_uuid(key).expect("made as a UUIDv7");
        self.write_as(ledger, key, operation)
    }

    /// As [`Self::write`], under this key.
    ///
    /// # Errors
    /// The refusal, which is recorded too.
    pub fn write_as(
        &self,
        ledger: &str,
        key: IdempotencyKey,
        operation: Operation,
    ) -> Result<Event, Rejection> {
        let ledger = LedgerName::new(ledger).expect("tests name ledgers well");
        let command = Command {
            key,
            conditions: Vec::new(),
            operation,
        };
        let (decided, moment) = {
            let mut inner = self.inner();
            let moment = inner.moment();
            let chain = inner.chain(&ledger);
            let decided = chain.state.decide(&command, &Facts::default(), moment);
            if let Ok(event) = &decided {
                chain.state.evolve(event, moment);
            }
            (decided, moment)
        };
        let payload = match &decided {
            Ok(event) => Payload::Event(event.clone()),
            Err(rejection) => Payload::Rejection(rejection.clone()),
        };
        let expiry = matches!(command.operation, Operation::ExpireHold(_));
        let hash = (!expiry).then(|| request_hash(&ledger, &command));
        let shard = shard_of(&ledger, self.log.shard_count());
        self.record(shard, ledger, command.key, moment, hash, payload);
        decided
    }

    /// Commits what was decided since, each shard's as one batch.
    pub async fn commit(&self) {
        for shard in 0..self.log.shard_count() as usize {
            let (mut writer, batch) = {
                let mut inner = self.inner();
                let of = &mut inner.shards[shard];
                if of.count == 0 {
                    continue;
                }
                let batch = Batch {
                    epoch: 1,
                    first_sequence: of.first,
                    record_count: of.count,
                    body: std::mem::take(&mut of.body).freeze(),
                    attached: Default::default(),
                };
                of.first += u64::from(of.count);
                of.count = 0;
                (of.writer.take().expect("one commit at a time"), batch)
            };
            let outcome = writer.commit(batch).await;
            assert!(
                matches!(outcome, CommitOutcome::Committed(_)),
                "{outcome:?}"
            );
            self.inner().shards[shard].writer = Some(writer);
        }
    }

    /// Commits what is no record where shard 0's next record should be, as a broken writer might.
    pub async fn commit_garbage(&self) {
        {
            let mut inner = self.inner();
            let of = &mut inner.shards[0];
            frame::push(&mut of.body, b"no record");
            of.next += 1;
            of.count += 1;
        }
        self.commit().await;
    }

    /// Looks at a ledger's state.
    pub fn state<T>(&self, ledger: &str, look: impl FnOnce(&LedgerState) -> T) -> T {
        let ledger = LedgerName::new(ledger).expect("tests name ledgers well");
        look(&self.inner().chain(&ledger).state)
    }

    fn own(&self, shard: u32, payload: Payload) {
        let (moment, next) = {
            let inner = self.inner();
            (inner.moment(), inner.shards[shard as usize].next)
        };
        let key = IdempotencyKey::text(&format!("daybook:own:{next}")).expect("a right key");
        self.record(
            shard,
            LedgerName::of_shard(shard),
            key,
            moment,
            None,
            payload,
        );
    }

    fn record(
        &self,
        shard: u32,
        ledger: LedgerName,
        key: IdempotencyKey,
        moment: Moment,
        request_hash: Option<[u8; 16]>,
        payload: Payload,
    ) {
        let log_id = self.log.log_id();
        let mut inner = self.inner();
        let sequence = inner.shards[shard as usize].next;
        let chain = inner.chain(&ledger);
        let record = Record {
            log_id,
            shard,
            epoch: 1,
            sequence,
            ledger,
            ledger_sequence: chain.head.map_or(1, |head| head.0 + 1),
            previous_hash: chain.head.map(|head| head.1),
            moment,
            key,
            request_hash,
            actor: None,
            origin: Origin::Grpc,
            traceparent: None,
            payload,
        };
        let mut bytes = BytesMut::new();
        let hash = encode_into(&record, &mut bytes);
        chain.head = Some((record.ledger_sequence, hash, moment.recorded_at));
        let entry = KeyEntry {
            request_hash: request_hash.unwrap_or_default(),
            sequence,
        };
        if !record.ledger.is_engine() {
            chain.state.remember_key(record.key, entry);
        }
        let of = &mut inner.shards[shard as usize];
        frame::push(&mut of.body, &bytes);
        of.next += 1;
        of.count += 1;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn moment(&self) -> Moment {
        let recorded_at = Timestamp::from_micros(self.now).expect("tests stay in range");
        Moment {
            recorded_at,
            business_date: recorded_at.utc_day(),
        }
    }

    fn chain(&mut self, ledger: &LedgerName) -> &mut Chain {
        self.chains.entry(ledger.clone()).or_insert_with(|| Chain {
            state: LedgerState::new(ledger.clone(), 7),
            head: None,
        })
    }
}

#[async_trait]
impl StrongReads for Scribe {
    async fn read(
        &self,
        ledger: &LedgerName,
        query: StrongQuery,
    ) -> Result<StrongRead, StrongError> {
        let shard = shard_of(ledger, self.log.shard_count());
        let inner = self.inner();
        let found = inner.chains.get(ledger);
        let Some((chain, head)) = found.and_then(|chain| Some((chain, chain.head?))) else {
            return Err(StrongError::LedgerNotFound(ledger.clone()));
        };
        let state = &chain.state;
        let answer = match query {
            StrongQuery::Position => StrongAnswer::Position,
            StrongQuery::Accounts(asked) => {
                let asked = asked.iter();
                StrongAnswer::Accounts(asked.map(|a| state.account(a).cloned()).collect())
            }
            StrongQuery::OpenHolds(asked) => {
                let asked = asked.iter();
                StrongAnswer::OpenHolds(asked.map(|id| state.open_hold(*id).cloned()).collect())
            }
            StrongQuery::OpenHoldsOf(asked) => {
                let account = state.account(&asked).map(|account| account.number);
                let holds = account.map(|number| state.open_holds_of(number));
                StrongAnswer::OpenHoldsOf(holds.map(|h| h.into_iter().cloned().collect()))
            }
        };
        Ok(StrongRead {
            answer,
            sequence: inner.shards[shard as usize].next - 1,
            ledger_sequence: head.0,
            record_hash: head.1,
            recorded_at: head.2,
        })
    }
}
