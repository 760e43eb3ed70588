//! A small writer that fills a log in memory with what real ledgers decide.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::BytesMut;
use ledger_core::account::{AccountNumber, AccountType, FreezeScope, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::{
    AccountRef, AmountSpec, AtomicMember, CaptureTransaction, ChangeAccount, CloseBooks, Command,
    CreateLedger, CreateTransaction, FreezeAccount, OpenAccount, Operation, PostingSpec,
    ReverseTransaction, UpdateTransaction, VoidTransaction,
};
use ledger_core::facts::Facts;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::{Metadata, MetadataChange, Text};
use ledger_core::time::{Moment, Timestamp};
use ledger_core::transaction::{HoldTerms, LimitsMode};
use ports::log::{Batch, CommitOutcome, EventLog, LogReader, LogWriter};
use ports::memory::{MemoryLog, MemoryViews};
use ports::projection::{Changes, Checkpoint, HeadRow, Projection, ProjectionError};
use ports::snapshot::SnapshotStore;
use ports::views::Views;
use schemas::record::{
    Barrier, LogId, LogStarted, Origin, Payload, Record, WriterClaimed, encode_into, frame,
};
use shard_state::recover::{self, Options};
use shard_state::verify::{self, Report, verify};
use shard_state::{ShardState, Source, key_entry};
use tokio::sync::watch;

pub const LEDGERS: [&str; 2] = ["main", "shop"];

pub fn log_id(n: u8) -> LogId {
    LogId([n; 16])
}

pub fn options(log: &MemoryLog, until: Option<[u8; 16]>) -> Options {
    Options {
        log_id: log.log_id(),
        shard: 0,
        shard_count: log.shard_count(),
        until,
        hash_seed: 42,
        projected: watch::channel(0).1,
    }
}

pub async fn recovered(log: &MemoryLog) -> ShardState {
    let recovered = recover::recover(log.reader(), None, options(log, None), Box::new(|_| {}));
    recovered.await.unwrap().state
}

/// Everything that two states of a shard must have in common.
pub fn assert_same(a: &ShardState, b: &ShardState) {
    assert_eq!(a.last(), b.last());
    assert_eq!(a.epoch(), b.epoch());
    assert_eq!(a.heads(), b.heads());
    let images = |state: &ShardState| -> Vec<_> {
        state
            .ledgers()
            .iter()
            .map(|ledger| ledger.to_image())
            .collect()
    };
    assert_eq!(images(a), images(b));
}

/// The reader, id and shard count of `log`.
pub fn source(log: &MemoryLog) -> Source {
    Source::of(log)
}

/// Fills a log.
pub struct Maker {
    pub log: MemoryLog,
    pub state: ShardState,
    writer: Box<dyn LogWriter>,
    body: BytesMut,
    first: u64,
    count: u32,
    epoch: u64,
    pub now: i64,
    random: u64,
    transactions: Vec<(usize, TransactionId)>,
    holds: Vec<(usize, TransactionId)>,
}

impl Maker {
    /// Claims shard 0 as a writer does.
    pub async fn open(log: MemoryLog, store: Option<Arc<dyn SnapshotStore>>, seed: u64) -> Self {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&seed.to_be_bytes());
        nonce[8] = log.entries(0).len() as u8;
        let barrier = Barrier { nonce, epoch: 0 }.encode();
        let writer = log.claim(0, barrier).await.unwrap();
        let options = options(&log, Some(nonce));
        let recovered = recover::recover(log.reader(), store, options, Box::new(|_| {}));
        let recovered = recovered.await.unwrap();
        assert_eq!(recovered.barrier.unwrap().nonce, nonce);
        let state = recovered.state;
        let now = state
            .last_recorded_at()
            .map_or(1_750_000_000_000_000, |at| at.micros());
        let mut maker = Self {
            first: state.next_sequence(),
            epoch: state.epoch() + 1,
            log,
            state,
            writer,
            body: BytesMut::new(),
            count: 0,
            now,
            random: seed,
            transactions: Vec::new(),
            holds: Vec::new(),
        };
        if maker.first == 1 {
            let shard_count = maker.log.shard_count();
            maker.own(Payload::LogStarted(LogStarted {
                shard_count,
                parent: None,
            }));
        }
        let (epoch, build) = (maker.epoch, Arc::from("test"));
        maker.own(Payload::WriterClaimed(WriterClaimed {
            epoch,
            nonce,
            build,
        }));
        maker
    }

    /// A log with `records` random records, in batches of up to `batch`.
    pub async fn filled(seed: u64, records: usize, batch: u64) -> Self {
        let mut maker = Self::open(MemoryLog::new(log_id(1), 1), None, seed).await;
        maker.set_up();
        maker.fill(records, batch).await;
        maker
    }

    pub fn set_up(&mut self) {
        for ledger in LEDGERS {
            let operation = Operation::CreateLedger(CreateLedger::default());
            assert!(self.command(ledger, operation), "created");
            for (name, account_type) in [
                ("cash", AccountType::Asset),
                ("customers:1", AccountType::Liability),
                ("customers:2", AccountType::Liability),
                ("fees", AccountType::Income),
            ] {
                let operation = Operation::OpenAccount(OpenAccount {
                    name: AccountName::new(name).unwrap(),
                    asset: Asset::new("USD", 2).unwrap(),
                    account_type,
                    limits: Limits::default(),
                    metadata: Metadata::default(),
                });
                assert!(self.command(ledger, operation), "opened");
            }
        }
    }

    pub async fn fill(&mut self, records: usize, batch: u64) {
        for _ in 0..records {
            let (ledger, operation) = self.any();
            self.command(LEDGERS[ledger], operation);
            if self.below(batch) == 0 {
                self.commit().await;
            }
        }
        self.commit().await;
    }

    pub fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn account(&mut self) -> AccountRef {
        AccountRef::Number(AccountNumber(self.below(4) as u32 + 1))
    }

    fn transaction(&mut self, hold: Option<HoldTerms>) -> Operation {
        let postings = (0..1 + self.below(2))
            .map(|_| PostingSpec {
                debit: self.account(),
                credit: self.account(),
                amount: AmountSpec::Exact(Amount::new(u128::from(self.below(500))).unwrap()),
                asset: None,
            })
            .collect();
        Operation::CreateTransaction(CreateTransaction {
            postings,
            effective_at: (self.below(3) == 0)
                .then(|| Timestamp::from_micros(self.now - 86_400_000_000).unwrap()),
            hold,
            limits: LimitsMode::Enforce,
            description: (self.below(4) == 0).then(|| Text::plain("a note")),
            metadata: Metadata::default(),
        })
    }

    fn known(&mut self, holds: bool) -> (usize, TransactionId) {
        let known = if holds {
            &self.holds
        } else {
            &self.transactions
        };
        let count = known.len() as u64;
        let index = self.below(count) as usize;
        let known = if holds {
            &self.holds
        } else {
            &self.transactions
        };
        known.get(index).copied().unwrap_or((0, TransactionId(9)))
    }

    fn any(&mut self) -> (usize, Operation) {
        let ledger = self.below(2) as usize;
        match self.below(20) {
            0..8 => (ledger, self.transaction(None)),
            8..11 => {
                let terms = HoldTerms {
                    expires_at: None,
                    over_capture_up_to: None,
                };
                (ledger, self.transaction(Some(terms)))
            }
            11..13 => {
                let (ledger, hold) = self.known(true);
                let amount = Amount::new(u128::from(self.below(200))).unwrap();
                let operation = Operation::CaptureTransaction(CaptureTransaction {
                    hold,
                    amounts: vec![(0, amount)],
                    is_final: self.below(2) == 0,
                    effective_at: None,
                    description: None,
                    metadata: Metadata::default(),
                });
                (ledger, operation)
            }
            13 => {
                let (ledger, hold) = self.known(true);
                let operation = Operation::VoidTransaction(VoidTransaction { hold, reason: None });
                (ledger, operation)
            }
            14 => {
                let (ledger, original) = self.known(false);
                let operation = Operation::ReverseTransaction(ReverseTransaction {
                    original,
                    amounts: vec![(0, Amount::new(u128::from(self.below(100))).unwrap())],
                    effective_at: None,
                    limits: LimitsMode::Enforce,
                    description: None,
                    metadata: Metadata::default(),
                });
                (ledger, operation)
            }
            15 => {
                let (ledger, transaction) = self.known(false);
                let operation = Operation::UpdateTransaction(UpdateTransaction {
                    transaction,
                    expected_version: None,
                    description: Some(Some(Text::plain("another note"))),
                    metadata: MetadataChange::default(),
                });
                (ledger, operation)
            }
            16 => {
                let operation = Operation::FreezeAccount(FreezeAccount {
                    account: self.account(),
                    scope: FreezeScope::Debits,
                    reason: None,
                });
                (ledger, operation)
            }
            17 => {
                let operation = Operation::UnfreezeAccount(ChangeAccount {
                    account: self.account(),
                    reason: None,
                });
                (ledger, operation)
            }
            18 => {
                let through = Timestamp::from_micros(self.now - 40 * 86_400_000_000).unwrap();
                let operation = Operation::CloseBooks(CloseBooks {
                    through,
                    reason: None,
                });
                (ledger, operation)
            }
            _ => {
                let members = (0..3)
                    .map(|_| AtomicMember {
                        conditions: Vec::new(),
                        operation: self.transaction(None),
                    })
                    .collect();
                (ledger, Operation::Atomic(members))
            }
        }
    }

    /// Decides, records and applies a command; true when it was accepted.
    pub fn command(&mut self, ledger: &str, operation: Operation) -> bool {
        self.now += self.below(5_000_000) as i64;
        let random = u128::from(self.below(u64::MAX));
        let stamp = (self.now / 1_000) as u128;
        let key = match self.below(3) {
            0 => IdempotencyKey::text(&format!("import:{random}")).unwrap(),
            _ => IdempotencyKey::from_uuid(
                stamp << 80 | 7 << 76 | 0b10 << 62 | (random & ((1 << 62) - 1)),
            )
            .unwrap(),
        };
        let index = LEDGERS.iter().position(|name| *name == ledger).unwrap();
        let name = LedgerName::new(ledger).unwrap();
        let command = Command {
            key,
            conditions: Vec::new(),
            operation,
        };
        let at = Timestamp::from_micros(self.now).unwrap();
        let moment = Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        };
        let state = self.state.ledger_or_new(&name);
        let decided = state.decide(&command, &Facts::default(), moment);
        let accepted = decided.is_ok();
        if accepted {
            let id = command.key.transaction_id(&name);
            match &command.operation {
                Operation::CreateTransaction(made) if made.hold.is_some() => {
                    self.holds.push((index, id));
                }
                Operation::CreateTransaction(_) => self.transactions.push((index, id)),
                _ => {}
            }
        }
        let request_hash = Some(request_hash(&name, &command));
        self.put(
            name,
            command.key,
            moment,
            request_hash,
            match decided {
                Ok(event) => Payload::Event(event),
                Err(rejection) => Payload::Rejection(rejection),
            },
        );
        accepted
    }

    fn own(&mut self, payload: Payload) {
        let at = Timestamp::from_micros(self.now).unwrap();
        let moment = Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        };
        let key = format!("daybook:own:{}", self.state.next_sequence());
        let key = IdempotencyKey::text(&key).unwrap();
        self.put(LedgerName::of_shard(0), key, moment, None, payload);
    }

    fn put(
        &mut self,
        ledger: LedgerName,
        key: IdempotencyKey,
        moment: Moment,
        request_hash: Option<[u8; 16]>,
        payload: Payload,
    ) {
        let next = self.state.next(&ledger);
        let record = Record {
            log_id: self.log.log_id(),
            shard: 0,
            epoch: self.epoch,
            sequence: next.sequence,
            ledger,
            ledger_sequence: next.ledger_sequence,
            previous_hash: next.previous_hash,
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
        if !record.ledger.is_engine() {
            let ledger = self.state.ledger_or_new(&record.ledger);
            if let Payload::Event(event) = &record.payload {
                ledger.evolve(event, record.moment);
            }
            ledger.remember_key(record.key.clone(), key_entry(&record));
        }
        self.state.record_head(&record, hash);
        frame::push(&mut self.body, &bytes);
        self.count += 1;
    }

    pub async fn commit(&mut self) {
        if self.count == 0 {
            return;
        }
        let batch = Batch {
            epoch: self.epoch,
            first_sequence: self.first,
            record_count: self.count,
            body: std::mem::take(&mut self.body).freeze(),
            attached: Default::default(),
        };
        let outcome = self.writer.commit(batch).await;
        assert!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
        self.first += u64::from(self.count);
        self.count = 0;
    }
}

/// Read models that tamper with what is written into them.
struct Tampering<F> {
    views: MemoryViews,
    change: F,
}

#[async_trait::async_trait]
impl<F: Fn(&mut Changes) + Send + Sync + 'static> Projection for Tampering<F> {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        self.views.checkpoint(shard).await
    }

    async fn heads(
        &self,
        shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        Projection::heads(&self.views, shard, ledgers).await
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        mut changes: Changes,
    ) -> Result<(), ProjectionError> {
        (self.change)(&mut changes);
        self.views.apply(shard, from, to, changes).await
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        Projection::watch(&self.views, shard)
    }
}

/// Read models of all that `log` holds, made by the real projector; `change` may tamper with
/// the rows.
pub async fn projected(
    log: &MemoryLog,
    change: impl Fn(&mut Changes) + Send + Sync + 'static,
) -> MemoryViews {
    let views = MemoryViews::new(log.shard_count());
    let projection = Tampering {
        views: views.clone(),
        change,
    };
    let config = projector::Config::new(log.log_id(), 0);
    let projector = projector::spawn(config, log.reader(), Arc::new(projection)).unwrap();
    let last = *log.watch(0).borrow() - 1;
    let mut reached = Projection::watch(&views, 0);
    reached
        .wait_for(|sequence| *sequence == last)
        .await
        .unwrap();
    projector.stop().await;
    views
}

/// Verifies `log` and the read models.
pub async fn check(log: &MemoryLog, views: Option<MemoryViews>) -> Report {
    let views = views.map(|views| Arc::new(views) as Arc<dyn Views>);
    verify(
        &source(log),
        None,
        views,
        &verify::Options::default(),
        |_| {},
    )
    .await
    .unwrap()
}

/// Findings, one a line.
pub fn said(report: &Report) -> String {
    report
        .findings
        .iter()
        .map(|finding| format!("\n{finding}"))
        .collect()
}
