//! Starting and stopping the writers of all shards.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ledger_core::name::LedgerName;
use ports::ingestion::CommandSource;
use ports::log::EventLog;
use ports::ownership::{AllShards, Assignment, Ownership};
use ports::routing::shard_of;
use ports::snapshot::SnapshotStore;
use ports::strong::StrongReads;
use ports::views::FactsSource;
use shard_state::build;
use shard_state::recover::Options;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::api::CommandApi;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::StartError;
use crate::ingest;
use crate::strong::Strong;
use crate::writer::callers::Callers;
use crate::writer::driver::Driver;
use crate::writer::finder::Finder;
use crate::writer::mailbox::{Mailbox, Message};
use crate::writer::snapshots::{Make, Snapshots};
use crate::writer::status::{Condition, Duty, ShardStatus, Shared};

/// The writers of all shards of a log, serving.
pub struct Handler {
    writers: Vec<Mailbox>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    ownership: Arc<dyn Ownership>,
    snapshots: Vec<Arc<Snapshots>>,
    projected: Vec<watch::Receiver<u64>>,
    snapshot_on_stop_records: u64,
    api: Arc<CommandApi>,
    strong: Arc<Strong>,
}

/// What a handler works on.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Loads from the read models what memory no longer holds.
    pub facts: Arc<dyn FactsSource>,
    /// Snapshots of the state.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// By shard, the sequence that the read models have passed.
    pub projected: Vec<watch::Receiver<u64>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which shards are this node's to write.
    pub ownership: Arc<dyn Ownership>,
    /// Topics that commands come from besides calls.
    pub source: Option<Arc<dyn CommandSource>>,
}

/// Where the ledgers of a shard are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Here, or it will be in a moment.
    Here,
    /// By the node with this address, as far as is known.
    At(Arc<str>),
    /// By another node, or by none just now.
    Unknown,
}

/// Claims every shard of `log`, brings their states back, and serves. `projected` tells, by
/// shard, the sequence that the read models have passed; `facts` loads from the same ones.
///
/// # Errors
/// [`StartError`] of the first shard that cannot serve; the others are stopped again.
pub async fn start(
    config: Config,
    log: Arc<dyn EventLog>,
    facts: Arc<dyn FactsSource>,
    snapshots: Arc<dyn SnapshotStore>,
    projected: Vec<watch::Receiver<u64>>,
    clock: Arc<dyn Clock>,
) -> Result<Handler, StartError> {
    let ownership = Arc::new(AllShards::new(log.shard_count()));
    let parts = Parts {
        log,
        facts,
        snapshots,
        projected,
        clock,
        ownership,
        source: None,
    };
    start_parts(config, parts).await
}

/// Writes the shards that `parts.ownership` gives to this node, now and as that changes. Where
/// all are its own for ever it serves them all when this returns; otherwise it returns at once,
/// though no shard may be this node's yet, and [`Handler::status`] tells how each fares.
///
/// # Errors
/// [`StartError`] of the first shard that cannot serve where all must; the others are stopped
/// again.
pub async fn start_parts(config: Config, parts: Parts) -> Result<Handler, StartError> {
    let Parts {
        log,
        facts,
        snapshots,
        projected,
        clock,
        ownership,
        source,
    } = parts;
    let config = Arc::new(config);
    let mut assignment = ownership.assignment();
    let given = assignment.borrow_and_update().clone();
    let mut handler = Handler {
        writers: Vec::new(),
        threads: Mutex::default(),
        tasks: Mutex::default(),
        ownership: Arc::clone(&ownership),
        snapshots: Vec::new(),
        projected,
        snapshot_on_stop_records: config.snapshot_on_stop_records,
        api: Arc::new(CommandApi::new(Vec::new(), log.log_id())),
        strong: Arc::new(Strong {
            writers: Vec::new(),
        }),
    };
    let hash_seed = rand::random();
    let mut ready = Vec::new();
    for shard in 0..log.shard_count() {
        let Some(projected) = handler.projected.get(shard as usize).cloned() else {
            return Err(StartError::Thread {
                shard,
                why: "it has no projection to follow".to_owned(),
            });
        };
        let duty = Duty {
            generation: given.generation,
            owned: given.shards.contains(&shard),
        };
        let shared = Arc::new(Shared::new(Arc::clone(&ownership), duty));
        let (sender, messages) = mpsc::channel();
        let mailbox = Mailbox::new(shard, Arc::clone(&shared), config.queue, sender);
        let keeper = Arc::new(Snapshots {
            shard,
            every: config.snapshot_every_records,
            shared,
            runtime: Handle::current(),
            make: maker(&config, &log, &snapshots, shard, hash_seed, &projected),
            running: AtomicBool::new(false),
        });
        let (tell, told) = oneshot::channel();
        if ownership.is_fixed() {
            ready.push((shard, told));
        }
        let driver = Driver {
            shard,
            config: Arc::clone(&config),
            log: Arc::clone(&log),
            facts: Arc::clone(&facts),
            store: Arc::clone(&snapshots),
            projected,
            clock: Arc::clone(&clock),
            runtime: Handle::current(),
            mailbox: mailbox.clone(),
            messages,
            finder: Arc::new(Finder::new(log.reader(), shard)),
            snapshots: Arc::clone(&keeper),
            callers: Callers::new(shard),
            hash_seed,
            claims: 0,
            tried: 0,
            refused: None,
            ready: ownership.is_fixed().then_some(tell),
        };
        handler.writers.push(mailbox);
        handler.snapshots.push(keeper);
        let thread = std::thread::Builder::new().name(format!("writer-{shard}"));
        match thread.spawn(move || driver.run()) {
            Ok(thread) => handler.threads().push(thread),
            Err(error) => {
                handler.halt().await;
                let why = error.to_string();
                return Err(StartError::Thread { shard, why });
            }
        }
    }
    for (shard, told) in ready {
        let told = told.await.unwrap_or_else(|_| {
            Err(StartError::Thread {
                shard,
                why: "it died".to_owned(),
            })
        });
        if let Err(error) = told {
            handler.halt().await;
            return Err(error);
        }
    }
    handler.api = Arc::new(CommandApi::new(handler.writers.clone(), log.log_id()));
    handler.strong = Arc::new(Strong {
        writers: handler.writers.clone(),
    });
    let mut tasks = vec![tokio::spawn(follow(
        assignment,
        ownership,
        handler.writers.clone(),
    ))];
    if let Some(source) = source {
        for writer in &handler.writers {
            let service = ingest::Service::new(
                writer.clone(),
                log.shard_count(),
                Arc::clone(&source),
                config.ingestion.clone(),
            );
            tasks.push(tokio::spawn(service.run()));
        }
    }
    *handler.tasks() = tasks;
    Ok(handler)
}

/// Tells the writers which shards are this node's, as that changes.
async fn follow(
    mut assignment: watch::Receiver<Assignment>,
    ownership: Arc<dyn Ownership>,
    writers: Vec<Mailbox>,
) {
    loop {
        let given = assignment.borrow_and_update().clone();
        for writer in &writers {
            let duty = Duty {
                generation: given.generation,
                owned: given.shards.contains(&writer.shard),
            };
            if !writer.shared.set_duty(duty) {
                continue;
            }
            metrics::gauge!("daybook_shard_owned", "shard" => writer.shard.to_string())
                .set(f64::from(u8::from(duty.owned)));
            // Who serves says itself when all is done; who does not has begun nothing.
            if !duty.owned && writer.shared.condition() != Condition::Serving {
                ownership.released(writer.shard);
            }
            writer.send(Message::Duty);
        }
        if assignment.changed().await.is_err() {
            return;
        }
    }
}

impl Handler {
    /// The command API.
    pub fn api(&self) -> Arc<CommandApi> {
        Arc::clone(&self.api)
    }

    /// Reads through the writers.
    pub fn strong(&self) -> Arc<dyn StrongReads> {
        Arc::clone(&self.strong) as Arc<dyn StrongReads>
    }

    /// Where commands to `ledger` and STRONG reads of it are to go.
    pub fn owner_of(&self, ledger: &LedgerName) -> Owner {
        let shard = shard_of(ledger, self.writers.len() as u32);
        if self.writers[shard as usize].shared.duty().owned {
            return Owner::Here;
        }
        self.ownership
            .owner(shard)
            .map_or(Owner::Unknown, Owner::At)
    }

    /// How every shard fares, by shard.
    pub fn status(&self) -> Vec<ShardStatus> {
        let shards = self.writers.iter().zip(&self.projected);
        shards
            .map(|(writer, projected)| ShardStatus {
                shard: writer.shard,
                owned: writer.shared.duty().owned,
                ingestion_stopped: writer.shared.ingestion_stopped(),
                condition: writer.shared.condition(),
                epoch: writer.shared.load(&writer.shared.epoch),
                committed_sequence: writer.shared.load(&writer.shared.committed),
                projected_sequence: *projected.borrow(),
                snapshot_sequence: writer.shared.load(&writer.shared.snapshot),
                waiting: writer.waiting(),
            })
            .collect()
    }

    /// Makes a snapshot of every shard now; gives their sequences by shard.
    ///
    /// # Errors
    /// Why the first one failed.
    pub async fn snapshot(&self) -> Result<Vec<u64>, String> {
        let mut sequences = Vec::with_capacity(self.snapshots.len());
        for keeper in &self.snapshots {
            sequences.push(keeper.now().await?);
        }
        Ok(sequences)
    }

    /// Takes no more, finishes and answers what was taken, and makes a snapshot of every shard
    /// that has moved far since its last one. A second call finds nothing left to do.
    pub async fn stop(&self) {
        self.halt().await;
        // Nothing is written here any more: others may have the shards at once.
        self.ownership.leave().await;
        for (writer, keeper) in self.writers.iter().zip(&self.snapshots) {
            let committed = writer.shared.load(&writer.shared.committed);
            let since = committed.saturating_sub(writer.shared.load(&writer.shared.snapshot));
            if self.snapshot_on_stop_records > 0 && since >= self.snapshot_on_stop_records {
                // Told in the server's log; a snapshot only makes the next start shorter.
                let _ = keeper.now().await;
            }
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<tokio::task::JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_stop(&self) {
        // What was not handed to a writer yet is read again by whoever has the shard then.
        for task in std::mem::take(&mut *self.tasks()) {
            task.abort();
        }
        for writer in &self.writers {
            writer.shared.set(Condition::Stopping);
            writer.send(Message::Stop);
        }
    }

    async fn halt(&self) {
        self.tell_stop();
        let threads = std::mem::take(&mut *self.threads());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a writer's thread died");
                }
            }
        });
        if let Err(error) = joined.await {
            tracing::error!(%error, "the writers' threads could not be waited for");
        }
    }
}

impl Drop for Handler {
    /// Lets the threads end, though nobody waits for them.
    fn drop(&mut self) {
        self.tell_stop();
    }
}

/// Makes snapshots of one shard from the last one and the log since.
fn maker(
    config: &Config,
    log: &Arc<dyn EventLog>,
    store: &Arc<dyn SnapshotStore>,
    shard: u32,
    hash_seed: u64,
    projected: &watch::Receiver<u64>,
) -> Box<Make> {
    let (log, store, build) = (Arc::clone(log), Arc::clone(store), config.build.clone());
    let options = Options {
        log_id: log.log_id(),
        shard,
        shard_count: log.shard_count(),
        until: None,
        hash_seed,
        projected: projected.clone(),
    };
    Box::new(move || {
        let built = build::spawn(
            log.reader(),
            Arc::clone(&store),
            options.clone(),
            build.clone(),
        );
        Box::pin(async move {
            match built.await {
                Ok(Ok(built)) => Ok(built.sequence),
                Ok(Err(error)) => Err(format!("{}: {error}", error.code())),
                Err(_) => Err("its thread could not be started".to_owned()),
            }
        })
    })
}

#[cfg(test)]
mod tests;
