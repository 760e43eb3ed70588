//! A node: writers of the shards that the group gives it, and what reads its topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_kafka::{ClaimGate, Connection, Group, KafkaConfig, KafkaLog, KafkaSource};
use async_trait::async_trait;
use command_handler::{Condition, Config, Handler, Parts, SystemClock, start_parts};
use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::name::LedgerName;
use ports::log::EventLog;
use ports::memory::MemorySnapshots;
use ports::projection::ProjectionError;
use ports::routing::shard_of;
use ports::views::FactsSource;
use schemas::proto::v1;
use tokio::sync::watch;
use tonic::{Request, Status};

/// Memory holds everything here: nothing is ever to be loaded.
struct Nothing;

#[async_trait]
impl FactsSource for Nothing {
    async fn load(
        &self,
        _shard: u32,
        _ledger: &LedgerName,
        _needed: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError> {
        Ok(Facts {
            through: 0,
            ..Facts::default()
        })
    }
}

pub struct Node {
    pub group: Arc<Group>,
    pub handler: Handler,
}

/// Topics behind `prefix`.
pub fn connection(broker: &str, prefix: &str) -> Connection {
    Connection::new(KafkaConfig {
        bootstrap_servers: broker.to_owned(),
        client_id: "daybook-test".to_owned(),
        prefix: prefix.to_owned(),
        ..KafkaConfig::default()
    })
}

impl Node {
    pub async fn start(connection: &Connection, shards: u32, address: &str) -> Self {
        let group = Group::join(connection, shards, address).expect("it joins");
        let gate = Arc::clone(&group) as Arc<dyn ClaimGate>;
        let log = KafkaLog::open(connection.clone(), Some(gate)).await;
        let log: Arc<dyn EventLog> = Arc::new(log.expect("the log is opened"));
        let (_, projected) = watch::channel(0);
        let parts = Parts {
            log,
            facts: Arc::new(Nothing),
            snapshots: Arc::new(MemorySnapshots::default()),
            projected: vec![projected; shards as usize],
            clock: Arc::new(SystemClock),
            ownership: Arc::clone(&group) as _,
            source: Some(Arc::new(KafkaSource::new(connection.clone()))),
        };
        let config = Config {
            snapshot_every_records: 0,
            ..Config::new("test")
        };
        let handler = start_parts(config, parts).await.expect("it starts");
        Self { group, handler }
    }

    /// Shards that serve here, with their epochs.
    pub fn serving(&self) -> Vec<(u32, u64)> {
        let status = self.handler.status().into_iter();
        status
            .filter(|shard| shard.condition == Condition::Serving)
            .map(|shard| (shard.shard, shard.epoch))
            .collect()
    }

    /// Waits until exactly so many shards serve here; gives how long that took.
    pub async fn serves(&self, shards: usize, most: Duration) -> Duration {
        let begun = Instant::now();
        while self.serving().len() != shards {
            assert!(
                begun.elapsed() < most,
                "{shards} shards were to serve within {most:?}: {:?}",
                self.handler.status()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    pub async fn write(&self, command: v1::Command) -> Result<v1::Receipt, Status> {
        self.handler.api().write(Request::new(command)).await
    }

    /// Writes until it is answered.
    pub async fn insist(&self, command: v1::Command) -> v1::Receipt {
        for _ in 0..400 {
            match self.write(command.clone()).await {
                Ok(receipt) => return receipt,
                Err(status) if status.code() == tonic::Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(status) => panic!("{status:?}"),
            }
        }
        panic!("{command:?} is not answered");
    }

    /// Makes a ledger with accounts `cash` and `a`.
    pub async fn bank(&self, ledger: &str) {
        use v1::command::Operation;
        self.insist(command(
            ledger,
            "ledger",
            Operation::CreateLedger(v1::CreateLedger::default()),
        ))
        .await;
        for (name, account_type, minimum) in [
            ("cash", v1::AccountType::Asset, ""),
            ("a", v1::AccountType::Liability, "0"),
        ] {
            let open = v1::OpenAccount {
                name: name.to_owned(),
                asset: "USD/2".to_owned(),
                r#type: account_type.into(),
                limits: Some(v1::Limits {
                    minimum: minimum.to_owned(),
                    ..v1::Limits::default()
                }),
                ..v1::OpenAccount::default()
            };
            let key = format!("open-{name}");
            self.insist(command(ledger, &key, Operation::OpenAccount(open)))
                .await;
        }
    }

    pub async fn stop(self) {
        self.handler.stop().await;
    }
}

fn command(ledger: &str, key: &str, operation: v1::command::Operation) -> v1::Command {
    v1::Command {
        idempotency_key: key.to_owned(),
        ledger: ledger.to_owned(),
        operation: Some(operation),
        ..v1::Command::default()
    }
}

pub fn transfer(ledger: &str, key: &str) -> v1::Command {
    let create = v1::CreateTransaction {
        postings: vec![v1::PostingSpec {
            debit: "cash".to_owned(),
            credit: "a".to_owned(),
            amount_spec: Some(v1::posting_spec::AmountSpec::Amount("1".to_owned())),
            ..v1::PostingSpec::default()
        }],
        ..v1::CreateTransaction::default()
    };
    let operation = v1::command::Operation::CreateTransaction(create);
    command(ledger, key, operation)
}

/// A ledger of every shard.
pub fn ledgers(shards: u32) -> Vec<String> {
    let mut found = vec![None; shards as usize];
    for n in 0.. {
        let name = format!("bank-{n}");
        let shard = shard_of(&LedgerName::new(&name).expect("a name"), shards);
        found[shard as usize].get_or_insert(name);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found.into_iter().flatten().collect()
}
