//! How fast a shard is replayed, verified, written to a snapshot and read back: transfers
//! between 10,000 accounts, in a log in memory.
//!
//! `cargo run --release -p shard-state --example replay_speed -- 1000000`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use ledger_core::account::{AccountNumber, AccountType, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::{
    AccountRef, AmountSpec, Command, CreateLedger, CreateTransaction, OpenAccount, Operation,
    PostingSpec,
};
use ledger_core::facts::Facts;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::Metadata;
use ledger_core::time::{Moment, Timestamp};
use ledger_core::transaction::LimitsMode;
use ports::log::{Batch, CommitOutcome, EventLog, Position};
use ports::memory::MemoryLog;
use schemas::record::{Barrier, LogId, LogStarted, Origin, Payload, Record, encode_into, frame};
use shard_state::recover::{self, Options};
use shard_state::{ShardState, Source, key_entry, snapshot, verify};
use tokio::sync::watch;

const ACCOUNTS: u64 = 10_000;
const BATCH: u32 = 8_000;

/// Processor time of all threads so far (Linux), which a busy machine does not falsify.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks = |index: usize| -> f64 {
        let field = fields.get(index).and_then(|field| field.parse().ok());
        field.unwrap_or(0.0)
    };
    (ticks(13) + ticks(14)) / 100.0
}

struct Filler {
    state: ShardState,
    log_id: LogId,
    body: BytesMut,
    count: u32,
    first: u64,
    batches: Vec<Batch>,
}

impl Filler {
    fn put(&mut self, ledger: &LedgerName, key: IdempotencyKey, at: Moment, payload: Payload) {
        let next = self.state.next(ledger);
        let record = Record {
            log_id: self.log_id,
            shard: 0,
            epoch: 1,
            sequence: next.sequence,
            ledger: ledger.clone(),
            ledger_sequence: next.ledger_sequence,
            previous_hash: next.previous_hash,
            moment: at,
            request_hash: Some([7; 16]),
            key,
            actor: None,
            origin: Origin::Grpc,
            traceparent: None,
            payload,
        };
        let mut bytes = BytesMut::new();
        let hash = encode_into(&record, &mut bytes);
        if !ledger.is_engine() {
            let state = self.state.ledger_or_new(ledger);
            if let Payload::Event(event) = &record.payload {
                state.evolve(event, at);
            }
            state.remember_key(record.key.clone(), key_entry(&record));
            if next.sequence.is_multiple_of(100_000) {
                self.state.forget_through(next.sequence);
            }
        }
        self.state.record_head(&record, hash);
        frame::push(&mut self.body, &bytes);
        self.count += 1;
        if self.count == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.batches.push(Batch {
            epoch: 1,
            first_sequence: self.first,
            record_count: self.count,
            body: std::mem::take(&mut self.body).freeze(),
            attached: Default::default(),
        });
        self.first += u64::from(self.count);
        self.count = 0;
    }

    fn decide(&mut self, ledger: &LedgerName, key: IdempotencyKey, at: Moment, op: Operation) {
        let command = Command {
            key,
            conditions: Vec::new(),
            operation: op,
        };
        let _ = request_hash(ledger, &command);
        let state = self.state.ledger_or_new(ledger);
        // Every key is new: nothing that was forgotten can be asked for.
        let facts = Facts {
            through: u64::MAX,
            ..Facts::default()
        };
        let event = state.decide(&command, &facts, at).unwrap();
        self.put(ledger, command.key, at, Payload::Event(event));
    }
}

fn fill(log_id: LogId, transfers: u64) -> Vec<Batch> {
    let mut filler = Filler {
        state: ShardState::new(log_id, 0, 1, 1),
        log_id,
        body: BytesMut::new(),
        count: 0,
        first: 1,
        batches: Vec::new(),
    };
    let (own, ledger) = (LedgerName::of_shard(0), LedgerName::new("bank").unwrap());
    let mut micros = 1_750_000_000_000_000;
    let mut random = 1_u64;
    let mut draw = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        random >> 33
    };
    let mut next = |n: u64| {
        micros += 3;
        let at = Timestamp::from_micros(micros).unwrap();
        let key = (micros as u128 / 1_000) << 80 | 7 << 76 | 0b10 << 62 | u128::from(n);
        let moment = Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        };
        (IdempotencyKey::from_uuid(key).unwrap(), moment)
    };
    let started = LogStarted {
        shard_count: 1,
        parent: None,
    };
    let (key, at) = next(0);
    filler.put(&own, key, at, Payload::LogStarted(started));
    let (key, at) = next(1);
    filler.decide(
        &ledger,
        key,
        at,
        Operation::CreateLedger(CreateLedger::default()),
    );
    for number in 1..=ACCOUNTS {
        let (key, at) = next(1 + number);
        let open = OpenAccount {
            name: AccountName::new(&format!("customers:{number}")).unwrap(),
            asset: Asset::new("USD", 2).unwrap(),
            account_type: AccountType::Liability,
            limits: Limits::default(),
            metadata: Metadata::default(),
        };
        filler.decide(&ledger, key, at, Operation::OpenAccount(open));
    }
    for n in 0..transfers {
        let (key, at) = next(n + 1_000_000);
        let debit = draw() % ACCOUNTS;
        let credit = (debit + 1 + draw() % (ACCOUNTS - 1)) % ACCOUNTS;
        let account = |n: u64| AccountRef::Number(AccountNumber(n as u32 + 1));
        let create = CreateTransaction {
            postings: vec![PostingSpec {
                debit: account(debit),
                credit: account(credit),
                amount: AmountSpec::Exact(Amount::new(u128::from(draw() % 10_000 + 1)).unwrap()),
                asset: None,
            }],
            effective_at: None,
            hold: None,
            limits: LimitsMode::Enforce,
            description: None,
            metadata: Metadata::default(),
        };
        filler.decide(&ledger, key, at, Operation::CreateTransaction(create));
    }
    filler.flush();
    filler.batches
}

fn main() {
    let transfers = std::env::args()
        .nth(1)
        .map_or(1_000_000, |n| n.parse().unwrap());
    let log_id = LogId([1; 16]);
    let log = MemoryLog::new(log_id, 1);
    let batches = fill(log_id, transfers);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let barrier = Barrier {
            nonce: [1; 16],
            epoch: 0,
        };
        let mut writer = log.claim(0, barrier.encode()).await.unwrap();
        for batch in batches {
            let outcome = writer.commit(batch).await;
            assert!(matches!(outcome, CommitOutcome::Committed(_)));
        }
        let bytes: usize = log.entries(0).iter().map(|entry| entry.body.len()).sum();
        let rate = |what: &str, (began, cpu): (Instant, f64)| {
            let seconds = began.elapsed().as_secs_f64();
            let cpu = cpu_seconds() - cpu;
            println!(
                "{what}: {seconds:.2} s, {:.0} records/s; {:.2} µs of processor a record",
                transfers as f64 / seconds,
                cpu * 1e6 / transfers as f64
            );
        };
        println!(
            "{transfers} transfers, {} bytes each",
            bytes as u64 / transfers
        );

        let began = (Instant::now(), cpu_seconds());
        for entry in log
            .entries(0)
            .into_iter()
            .filter(|entry| entry.record_count > 0)
        {
            for bytes in frame::split(entry.body).unwrap() {
                std::hint::black_box(schemas::record::decode(bytes).unwrap());
            }
        }
        rate("decode and hash alone, one thread", began);

        let options = Options {
            log_id,
            shard: 0,
            shard_count: 1,
            until: None,
            hash_seed: 1,
            projected: watch::channel(u64::MAX).1,
        };
        let began = (Instant::now(), cpu_seconds());
        let recovered = recover::recover(log.reader(), None, options, Box::new(|_| {}));
        let state = recovered.await.unwrap().state;
        rate("replay", began);

        let began = Instant::now();
        let (manifest, chunks) = snapshot::write(&state, Position(1), "example").unwrap();
        let size: usize = chunks.iter().map(bytes::Bytes::len).sum();
        println!("snapshot written: {:?}, {size} bytes", began.elapsed());
        let began = Instant::now();
        let read = snapshot::read(&manifest, &chunks, 1).unwrap();
        println!("snapshot read: {:?}", began.elapsed());
        assert_eq!(read.last(), state.last());

        let began = (Instant::now(), cpu_seconds());
        let source = Source {
            reader: Arc::clone(&log.reader()),
            log_id,
            shard_count: 1,
        };
        let options = verify::Options::default();
        let report = verify::verify(&source, None, None, &options, |_| {})
            .await
            .unwrap();
        assert!(report.is_clean());
        rate("verify (log alone)", began);
    });
}
