//! A handler over a log in memory, and read models that know the whole log.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use command_handler::{Clock, CommandApi, Config, Handler, Parts, StartError};
use ledger_core::event::Event;
use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::Transaction;
use ports::log::{EventLog, LogReader};
use ports::memory::{MemoryLog, MemoryMember, MemorySnapshots, MemorySource};
use ports::projection::ProjectionError;
use ports::views::FactsSource;
use schemas::proto::v1;
use schemas::record::{LogId, Payload, SealedRecord, frame};
use tokio::sync::watch;
use tonic::{Request, Status};

pub const START: i64 = 1_780_000_000_000_000;

/// A clock that is set by hand.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    pub fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// All records of a shard, decoded.
pub fn records(log: &MemoryLog, shard: u32) -> Vec<SealedRecord> {
    let entries = log.entries(shard).into_iter();
    entries
        .filter(|entry| entry.record_count > 0)
        .flat_map(|entry| frame::split(entry.body).unwrap())
        .map(|bytes| schemas::record::decode(bytes).unwrap())
        .collect()
}

fn transactions(event: &Event) -> Vec<&Transaction> {
    match event {
        Event::TransactionCreated(e) => vec![&e.transaction],
        Event::TransactionCaptured(e) => vec![&e.capture, &e.hold],
        Event::TransactionReleased(e) => vec![&e.hold],
        Event::TransactionReversed(e) => vec![&e.reversal, &e.original],
        Event::TransactionUpdated(e) => vec![&e.transaction],
        Event::Atomic(events) => events.iter().flat_map(transactions).collect(),
        _ => Vec::new(),
    }
}

/// Facts straight from the log.
pub struct LogFacts(pub MemoryLog);

#[async_trait::async_trait]
impl FactsSource for LogFacts {
    async fn load(
        &self,
        shard: u32,
        ledger: &LedgerName,
        needed: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError> {
        let mut keys = BTreeMap::new();
        let mut found = BTreeMap::new();
        let records = records(&self.0, shard);
        for sealed in records.iter().filter(|r| r.record.ledger == *ledger) {
            let record = &sealed.record;
            if needed.iter().any(|n| n.key.as_ref() == Some(&record.key)) {
                keys.insert(record.key.clone(), shard_state::key_entry(record));
            }
            if let Payload::Event(event) = &record.payload {
                for transaction in transactions(event) {
                    if needed
                        .iter()
                        .any(|n| n.transactions.contains(&transaction.id))
                    {
                        found.insert(transaction.id, transaction.clone());
                    }
                }
            }
        }
        Ok(Facts {
            through: records.len() as u64,
            keys,
            transactions: found,
        })
    }
}

/// A handler and all that is around it.
pub struct Server {
    pub log: MemoryLog,
    pub store: Arc<MemorySnapshots>,
    pub clock: TestClock,
    pub handler: Handler,
    pub api: Arc<CommandApi>,
}

pub fn config() -> Config {
    Config::new("test")
}

pub fn log(shards: u32) -> MemoryLog {
    MemoryLog::new(LogId([3; 16]), shards)
}

/// Read models that are said to be where the log is.
fn projected(log: &MemoryLog) -> Vec<watch::Receiver<u64>> {
    (0..log.shard_count())
        .map(|shard| {
            let mut next = log.watch(shard);
            let (passed, told) = watch::channel(*next.borrow() - 1);
            tokio::spawn(async move {
                while next.changed().await.is_ok() {
                    let last = *next.borrow() - 1;
                    passed.send_replace(last);
                }
            });
            told
        })
        .collect()
}

pub async fn start_on(
    config: Config,
    log: MemoryLog,
    store: Arc<MemorySnapshots>,
    clock: TestClock,
) -> Result<Server, StartError> {
    let handler = command_handler::start(
        config,
        Arc::new(log.clone()),
        Arc::new(LogFacts(log.clone())),
        Arc::clone(&store) as Arc<dyn ports::snapshot::SnapshotStore>,
        projected(&log),
        Arc::new(clock.clone()),
    )
    .await?;
    Ok(server(handler, log, store, clock))
}

fn server(
    handler: Handler,
    log: MemoryLog,
    store: Arc<MemorySnapshots>,
    clock: TestClock,
) -> Server {
    let api = handler.api();
    Server {
        log,
        store,
        clock,
        handler,
        api,
    }
}

/// One node of several.
pub async fn join(
    config: Config,
    log: &MemoryLog,
    member: &MemoryMember,
    source: Option<&MemorySource>,
    store: &Arc<MemorySnapshots>,
) -> Server {
    let clock = TestClock::new();
    let parts = Parts {
        log: member.gated(log),
        facts: Arc::new(LogFacts(log.clone())),
        snapshots: Arc::clone(store) as Arc<dyn ports::snapshot::SnapshotStore>,
        projected: projected(log),
        clock: Arc::new(clock.clone()),
        ownership: Arc::new(member.clone()),
        source: source.map(|source| Arc::new(source.clone()) as _),
    };
    let handler = command_handler::start_parts(config, parts).await.unwrap();
    server(handler, log.clone(), Arc::clone(store), clock)
}

/// Waits until it is so.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it never came to be: {what}");
}

pub async fn start(shards: u32) -> Server {
    start_on(config(), log(shards), Arc::default(), TestClock::new())
        .await
        .unwrap()
}

pub fn options(key: &str) -> Option<v1::CommandOptions> {
    Some(v1::CommandOptions {
        idempotency_key: key.to_owned(),
        ..v1::CommandOptions::default()
    })
}

impl Server {
    /// Makes a ledger with accounts `cash`, `a` and `b`.
    pub async fn bank(&self, ledger: &str) {
        let create = v1::CreateLedgerRequest {
            options: options("ledger"),
            ledger: ledger.to_owned(),
            create: Some(v1::CreateLedger::default()),
        };
        self.api.create_ledger(Request::new(create)).await.unwrap();
        for (name, account_type, minimum) in [
            ("cash", v1::AccountType::Asset, ""),
            ("a", v1::AccountType::Liability, "0"),
            ("b", v1::AccountType::Liability, "0"),
        ] {
            let open = v1::OpenAccountRequest {
                options: options(&format!("open-{name}")),
                ledger: ledger.to_owned(),
                open: Some(v1::OpenAccount {
                    name: name.to_owned(),
                    asset: "USD/2".to_owned(),
                    r#type: account_type.into(),
                    limits: Some(v1::Limits {
                        minimum: minimum.to_owned(),
                        ..v1::Limits::default()
                    }),
                    ..v1::OpenAccount::default()
                }),
            };
            self.api.open_account(Request::new(open)).await.unwrap();
        }
    }

    pub async fn transfer(
        &self,
        ledger: &str,
        key: &str,
        from: &str,
        to: &str,
        amount: u64,
    ) -> Result<v1::Receipt, Status> {
        let command = command(ledger, key, from, to, amount);
        self.api.write(Request::new(command)).await
    }
}

pub fn command(ledger: &str, key: &str, from: &str, to: &str, amount: u64) -> v1::Command {
    v1::Command {
        idempotency_key: key.to_owned(),
        ledger: ledger.to_owned(),
        operation: Some(v1::command::Operation::CreateTransaction(create(
            from, to, amount,
        ))),
        ..v1::Command::default()
    }
}

pub fn create(from: &str, to: &str, amount: u64) -> v1::CreateTransaction {
    v1::CreateTransaction {
        postings: vec![v1::PostingSpec {
            debit: from.to_owned(),
            credit: to.to_owned(),
            amount_spec: Some(v1::posting_spec::AmountSpec::Amount(amount.to_string())),
            ..v1::PostingSpec::default()
        }],
        ..v1::CreateTransaction::default()
    }
}

/// The reason in a status's `ErrorInfo`.
pub fn reason(status: &Status) -> String {
    let status = schemas::error::to_rpc_status(status.clone());
    reason_of(&status)
}

pub fn reason_of(status: &tonic_types::Status) -> String {
    let message = status.message.split(':').next().unwrap_or_default();
    message.to_owned()
}

/// The outcome of one of many: `OK`, or the reason.
pub fn said(outcome: &v1::Outcome) -> String {
    match outcome.outcome.as_ref().unwrap() {
        v1::outcome::Outcome::Receipt(_) => "OK".to_owned(),
        v1::outcome::Outcome::Error(status) => reason_of(status),
    }
}

pub fn receipt(outcome: &v1::Outcome) -> &v1::Receipt {
    match outcome.outcome.as_ref().unwrap() {
        v1::outcome::Outcome::Receipt(receipt) => receipt,
        v1::outcome::Outcome::Error(status) => panic!("{status:?}"),
    }
}
