//! Starting and stopping the writers of all shards.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ports::log::EventLog;
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
use crate::strong::Strong;
use crate::writer::callers::Callers;
use crate::writer::driver::Driver;
use crate::writer::finder::Finder;
use crate::writer::mailbox::{Mailbox, Message};
use crate::writer::snapshots::{Make, Snapshots};
use crate::writer::status::{Condition, ShardStatus, Shared};

/// The writers of all shards of a log, serving.
pub struct Handler {
    writers: Vec<Mailbox>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    snapshots: Vec<Arc<Snapshots>>,
    projected: Vec<watch::Receiver<u64>>,
    snapshot_on_stop_records: u64,
    api: Arc<CommandApi>,
    strong: Arc<Strong>,
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
    let config = Arc::new(config);
    let mut handler = Handler {
        writers: Vec::new(),
        threads: Mutex::default(),
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
        let shared = Arc::new(Shared::new());
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
        ready.push((shard, told));
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
            ready: Some(tell),
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
    Ok(handler)
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

    /// How every shard fares, by shard.
    pub fn status(&self) -> Vec<ShardStatus> {
        let shards = self.writers.iter().zip(&self.projected);
        shards
            .map(|(writer, projected)| ShardStatus {
                shard: writer.shard,
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

    fn tell_stop(&self) {
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
