//! Clients that go on while servers are hurt. Each is the only one to touch its own accounts, so
//! it knows at any time what they must hold, and asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ledger_core::name::LedgerName;
use ports::routing::shard_of;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::proto::v1 as api;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::bank::{Bank, Refused, command, open, strong, transfer};
use crate::load::Way;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub shards: u32,
    pub clients: u32,
    /// Deposits in each batch of the clients that send batches; every third one does.
    pub batch: usize,
    /// Between a client's commands.
    pub pause: Duration,
    /// How the load beside the clients sends.
    pub load: Way,
}

impl Plan {
    pub fn of(shards: u32) -> Self {
        Self {
            shards,
            clients: 6,
            batch: 40,
            pause: Duration::from_millis(10),
            load: Way::Calls,
        }
    }
}

/// A command that was decided, and what it came to: its ledger sequence, or the refusal's code.
#[derive(Debug, Clone)]
pub struct Sent {
    pub command: api::Command,
    pub outcome: Result<u64, String>,
}

/// What one client did, and what its accounts must hold.
#[derive(Debug)]
pub struct Client {
    pub ledger: String,
    pub name: String,
    /// By account: its balance, and how many postings it has.
    pub accounts: BTreeMap<String, (i64, u64)>,
    pub sent: Vec<Sent>,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: Vec<AtomicU64>,
    strong_reads: AtomicU64,
    broken: Mutex<Vec<String>>,
}

/// Clients that run.
pub struct Traffic {
    runtime: Runtime,
    bank: Arc<Bank>,
    shared: Arc<Shared>,
    ledgers: Vec<String>,
    clients: Vec<JoinHandle<Client>>,
}

impl Traffic {
    /// Makes ledgers on every shard, and starts the clients against these nodes.
    pub fn start(urls: &[String], plan: Plan, chances: &mut StdRng) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let ledgers = ledgers(plan.shards);
        let shared = Arc::new(Shared {
            acknowledged: ledgers.iter().map(|_| AtomicU64::new(0)).collect(),
            ..Shared::default()
        });
        let bank = {
            let _within = runtime.enter();
            Arc::new(Bank::new(urls))
        };
        runtime.block_on(async {
            for ledger in &ledgers {
                let create = api::command::Operation::CreateLedger(api::CreateLedger::default());
                bank.write(&command(ledger, "create", create))
                    .await
                    .unwrap();
            }
        });
        let clients = (0..plan.clients)
            .map(|index| {
                let at = index as usize % ledgers.len();
                let worker = Worker {
                    at,
                    batch: (index % 3 == 2).then_some(plan.batch),
                    pause: plan.pause,
                    bank: Arc::clone(&bank),
                    shared: Arc::clone(&shared),
                    chances: StdRng::seed_from_u64(chances.random()),
                    client: Client {
                        ledger: ledgers[at].clone(),
                        name: format!("client:{index}"),
                        accounts: BTreeMap::new(),
                        sent: Vec::new(),
                    },
                };
                runtime.spawn(worker.run())
            })
            .collect();
        let traffic = Self {
            runtime,
            bank,
            shared,
            ledgers,
            clients,
        };
        traffic.wait_progress(Duration::from_secs(60), "the clients begin");
        traffic
    }

    pub fn ledgers(&self) -> &[String] {
        &self.ledgers
    }

    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// How many commands were acknowledged, by ledger.
    pub fn acknowledged(&self) -> Vec<u64> {
        let counts = self.shared.acknowledged.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Waits until commands of every ledger have been acknowledged from now on; gives how long
    /// that took.
    pub fn wait_progress(&self, within: Duration, what: &str) -> Duration {
        let before = self.acknowledged();
        let begun = Instant::now();
        loop {
            self.check();
            let now = self.acknowledged();
            if before.iter().zip(&now).all(|(was, is)| *is >= was + 2) {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < within,
                "not within {within:?}: {what}; acknowledged by ledger, then and now: {before:?}, \
                 {now:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A promise that a client saw broken ends the test at once.
    pub fn check(&self) {
        let broken = self.shared.broken.lock().unwrap();
        assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
    }

    /// Lets the clients finish what they have begun.
    pub fn finish(mut self) -> Finished {
        self.shared.stop.store(true, Ordering::Relaxed);
        let clients = std::mem::take(&mut self.clients);
        let clients: Vec<Client> = self.runtime.block_on(async {
            let mut finished = Vec::new();
            for client in clients {
                finished.push(client.await.unwrap());
            }
            finished
        });
        self.check();
        let finished = Finished {
            strong_reads: self.shared.strong_reads.load(Ordering::Relaxed),
            runtime: self.runtime,
            bank: self.bank,
            clients,
        };
        println!(
            "  {} commands, {} STRONG reads; declined: {:?}",
            finished.commands(),
            finished.strong_reads,
            finished.bank.declined()
        );
        finished
    }
}

/// Clients that have finished.
pub struct Finished {
    pub runtime: Runtime,
    pub bank: Arc<Bank>,
    pub clients: Vec<Client>,
    pub strong_reads: u64,
}

impl Finished {
    pub fn commands(&self) -> usize {
        self.clients.iter().map(|client| client.sent.len()).sum()
    }
}

/// A ledger for each shard.
pub fn ledgers(shards: u32) -> Vec<String> {
    (0..shards)
        .map(|shard| {
            (0..)
                .map(|number| format!("bank{number}"))
                .find(|name| shard_of(&LedgerName::new(name).unwrap(), shards) == shard)
                .unwrap()
        })
        .collect()
}

struct Worker {
    /// Of its ledger.
    at: usize,
    batch: Option<usize>,
    pause: Duration,
    bank: Arc<Bank>,
    shared: Arc<Shared>,
    chances: StdRng,
    client: Client,
}

impl Worker {
    async fn run(mut self) -> Client {
        if let Err(broken) = self.go_on().await {
            let told = format!("{} of {}: {broken}", self.client.name, self.client.ledger);
            self.shared.broken.lock().unwrap().push(told);
        }
        self.client
    }

    fn account(&self, name: &str) -> String {
        format!("{}:{name}", self.client.name)
    }

    async fn go_on(&mut self) -> Result<(), String> {
        use api::AccountType::{Asset, Liability};
        for (name, kind, minimum) in [
            ("cash", Asset, ""),
            ("one", Liability, "0"),
            ("two", Liability, "0"),
        ] {
            let account = self.account(name);
            self.client.accounts.insert(account.clone(), (0, 0));
            let command = open(&self.client.ledger, &account, kind, minimum);
            self.decide(command, None).await?;
        }
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.batch {
                Some(count) => self.deposits(count).await?,
                None => self.step().await?,
            }
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), String> {
        let cents = self.chances.random_range(1..500);
        match self.chances.random_range(0..10) {
            0..4 => self.transfer("cash", "one", cents).await,
            4..6 => self.transfer("one", "two", cents).await,
            6..7 => self.transfer("two", "cash", cents).await,
            7..8 => self.repeat().await,
            _ => {
                let name = ["cash", "one", "two"][self.chances.random_range(0..3)];
                self.read(name).await
            }
        }
    }

    fn key(&mut self) -> String {
        // Half of them are UUIDv7, half are texts: they are kept in different ways.
        match self.chances.random() {
            true => uuid::Uuid::now_v7().to_string(),
            false => format!("{} {}", self.client.name, self.client.sent.len()),
        }
    }

    async fn transfer(&mut self, from: &str, to: &str, cents: i64) -> Result<(), String> {
        let key = self.key();
        let (from, to) = (self.account(from), self.account(to));
        let refused = !from.ends_with("cash") && self.client.accounts[&from].0 < cents;
        let refusal = refused.then_some("INSUFFICIENT_FUNDS");
        let command = transfer(&self.client.ledger, &key, &from, &to, cents);
        self.decide(command, refusal).await?;
        if !refused {
            self.client.book(&from, &to, cents);
        }
        Ok(())
    }

    /// Has a command decided, and sees that it came to what it must.
    async fn decide(&mut self, command: api::Command, refusal: Option<&str>) -> Result<(), String> {
        let key = &command.idempotency_key;
        let outcome = match (self.bank.write(&command).await, refusal) {
            (Ok(receipt), None) => Ok(receipt.ledger_sequence),
            (Err(Refused::By(code)), Some(expected)) if code == expected => Err(code),
            (outcome, expected) => {
                return Err(format!(
                    "{key} came to {outcome:?}, and not to {expected:?}"
                ));
            }
        };
        self.shared.acknowledged[self.at].fetch_add(1, Ordering::Relaxed);
        self.client.sent.push(Sent { command, outcome });
        Ok(())
    }

    async fn repeat(&mut self) -> Result<(), String> {
        let at = self.chances.random_range(0..self.client.sent.len());
        let Sent { command, outcome } = self.client.sent[at].clone();
        let again = match self.bank.write(&command).await {
            Ok(receipt) if receipt.repeated => Ok(receipt.ledger_sequence),
            Ok(receipt) => return Err(format!("a repeat was booked anew: {receipt:?}")),
            Err(Refused::By(code)) => Err(code),
            Err(Refused::Never(told)) => return Err(told),
        };
        if again != outcome {
            return Err(format!(
                "{} came to {outcome:?}, and when repeated to {again:?}",
                command.idempotency_key
            ));
        }
        Ok(())
    }

    /// A STRONG read: nobody else moves this account, so it must hold exactly what it must.
    async fn read(&mut self, name: &str) -> Result<(), String> {
        let account = self.account(name);
        let ledger = self.client.ledger.clone();
        let found = match self.bank.posted(&ledger, &account, strong()).await {
            Ok(found) => found,
            Err(refused) => return Err(format!("a STRONG read: {refused:?}")),
        };
        let expected = self.client.accounts[&account].0;
        if found != expected {
            return Err(format!(
                "a STRONG read of {account} says {found}, and it holds {expected}"
            ));
        }
        self.shared.strong_reads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn deposits(&mut self, count: usize) -> Result<(), String> {
        let (from, to) = (self.account("cash"), self.account("one"));
        let first = self.client.sent.len();
        let commands: Vec<_> = (first..first + count)
            .map(|index| {
                let key = format!("{} {index}", self.client.name);
                transfer(&self.client.ledger, &key, &from, &to, 1)
            })
            .collect();
        let outcomes = match self.bank.write_all(&commands).await {
            Ok(outcomes) => outcomes,
            Err(refused) => return Err(format!("a batch: {refused:?}")),
        };
        for (command, outcome) in commands.into_iter().zip(outcomes) {
            match outcome {
                Ok(receipt) => {
                    self.client.book(&from, &to, 1);
                    self.client.sent.push(Sent {
                        command,
                        outcome: Ok(receipt.ledger_sequence),
                    });
                }
                Err(code) => {
                    return Err(format!("{} of a batch: {code}", command.idempotency_key));
                }
            }
        }
        self.shared.acknowledged[self.at].fetch_add(count as u64, Ordering::Relaxed);
        self.read("one").await
    }
}

impl Client {
    fn book(&mut self, from: &str, to: &str, cents: i64) {
        for (account, by) in [(from, -cents), (to, cents)] {
            let (balance, postings) = self.accounts.get_mut(account).unwrap();
            // Cash is an asset: what leaves it for a customer's account is debited, and raises it.
            *balance += if account.ends_with("cash") { -by } else { by };
            *postings += 1;
        }
    }
}
