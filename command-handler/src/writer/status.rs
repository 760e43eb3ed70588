//! How a shard's writer fares, for health, metrics and `GetServerInfo`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::log::Consumed;
use ports::ownership::Ownership;
use ports::strong::StrongError;
use schemas::error::Fault;
use tokio::sync::watch;

/// What a shard's writer is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Claims the shard and brings its state back.
    Recovering,
    /// Decides.
    Serving,
    /// The log's disk is full: reads are answered, commands declined, until there is room.
    ReadOnly,
    /// Another node writes the shard, or will; this one waits until it is given the shard.
    NotOwner,
    /// Finishes what it took, and takes no more.
    Stopping,
    /// Was told to stop, and has: everything that it took was answered.
    Ended,
    /// Does nothing any more; the reason is in the server's log too.
    Stopped(String),
}

impl Condition {
    /// As `GetServerInfo` says it.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Serving => "serving",
            Self::ReadOnly => "read-only (DISK_FULL)",
            Self::NotOwner => "not this node's",
            Self::Stopping => "stopping",
            Self::Ended | Self::Stopped(_) => "stopped",
        }
    }
}

/// How a shard's writer fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u32,
    /// True where it is this node's to write.
    pub owned: bool,
    /// What its writer is doing.
    pub condition: Condition,
    /// The writer's epoch; 0 before its first claim.
    pub epoch: u64,
    /// Its last durable record.
    pub committed_sequence: u64,
    /// The last record that the read models have passed.
    pub projected_sequence: u64,
    /// The last record of the newest snapshot that this writer knows; 0 for none.
    pub snapshot_sequence: u64,
    /// Commands and reads that wait.
    pub waiting: usize,
    /// Why no commands are taken from topics though the shard serves, where that is so.
    pub ingestion_stopped: Option<String>,
}

/// Whether a shard is this node's to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Duty {
    /// Of the assignment that says so.
    pub(crate) generation: u64,
    pub(crate) owned: bool,
}

/// The reign of a writer, for those who feed it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reign {
    /// Number of the claim; 0 while there is none.
    pub(crate) claim: u64,
    /// False while it pauses.
    pub(crate) serves: bool,
    /// From where the topics that commands come from were to be read when it began.
    pub(crate) sources: Arc<Vec<Consumed>>,
}

/// The shared part of a writer's status.
#[derive(Debug)]
pub(crate) struct Shared {
    condition: Mutex<Condition>,
    duty: Mutex<Duty>,
    pub(crate) ownership: Arc<dyn Ownership>,
    pub(crate) reign: watch::Sender<Reign>,
    pub(crate) ingestion_stopped: Mutex<Option<String>>,
    pub(crate) epoch: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) snapshot: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(ownership: Arc<dyn Ownership>, duty: Duty) -> Self {
        Self {
            condition: Mutex::new(match duty.owned {
                true => Condition::Recovering,
                false => Condition::NotOwner,
            }),
            duty: Mutex::new(duty),
            ownership,
            reign: watch::Sender::default(),
            ingestion_stopped: Mutex::default(),
            epoch: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        lock(&self.condition).clone()
    }

    /// Sets the condition; what is stopped stays so, and what is stopping only stops.
    pub(crate) fn set(&self, condition: Condition) {
        let mut now = lock(&self.condition);
        match *now {
            Condition::Stopped(_) | Condition::Ended => {}
            Condition::Stopping
                if !matches!(condition, Condition::Stopped(_) | Condition::Ended) => {}
            _ => *now = condition,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        matches!(*lock(&self.condition), Condition::Stopping)
    }

    pub(crate) fn duty(&self) -> Duty {
        *lock(&self.duty)
    }

    /// Says whether the shard is this node's; true where that is news.
    pub(crate) fn set_duty(&self, duty: Duty) -> bool {
        std::mem::replace(&mut *lock(&self.duty), duty) != duty
    }

    /// Why another node is to be asked.
    pub(crate) fn not_owner(&self, shard: u32) -> Fault {
        let owner = self.ownership.owner(shard);
        Fault::NotOwner { shard, owner }
    }

    /// The same to a STRONG read.
    pub(crate) fn read_elsewhere(&self, shard: u32) -> StrongError {
        let owner = self.ownership.owner(shard);
        StrongError::NotOwner { shard, owner }
    }

    /// Why a command is not even queued.
    pub(crate) fn declines_commands(&self, shard: u32) -> Option<Fault> {
        match &*lock(&self.condition) {
            Condition::Serving if self.duty().owned => None,
            Condition::Serving | Condition::NotOwner => Some(self.not_owner(shard)),
            Condition::ReadOnly => Some(Fault::DiskFull { shard }),
            Condition::Stopped(why) => Some(Fault::ShardStopped {
                shard,
                why: why.clone(),
            }),
            other => Some(Fault::unavailable(not_serving(shard, other))),
        }
    }

    /// Why a read is not even queued.
    pub(crate) fn declines_reads(&self, shard: u32) -> Option<StrongError> {
        match &*lock(&self.condition) {
            Condition::Serving if self.duty().owned => None,
            Condition::Serving | Condition::NotOwner => Some(self.read_elsewhere(shard)),
            Condition::ReadOnly => None,
            other => Some(StrongError::Unavailable {
                shard,
                why: not_serving(shard, other),
            }),
        }
    }

    pub(crate) fn load(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Tells those who feed the writer how it fares.
    pub(crate) fn reigns(&self, change: impl FnOnce(&mut Reign)) {
        self.reign.send_modify(change);
    }

    /// Says why no commands are taken from topics, or that they are.
    pub(crate) fn set_ingestion_stopped(&self, why: Option<String>) {
        *lock(&self.ingestion_stopped) = why;
    }

    pub(crate) fn ingestion_stopped(&self) -> Option<String> {
        lock(&self.ingestion_stopped).clone()
    }
}

fn not_serving(shard: u32, condition: &Condition) -> String {
    match condition {
        Condition::Stopped(why) => format!("shard {shard} is stopped: {why}"),
        other => format!("shard {shard} is {}", other.label()),
    }
}
