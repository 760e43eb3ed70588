//! How a shard's writer fares, for health, metrics and `GetServerInfo`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use schemas::error::Fault;

/// What a shard's writer is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Claims the shard and brings its state back.
    Recovering,
    /// Decides.
    Serving,
    /// The log's disk is full: reads are answered, commands declined, until there is room.
    ReadOnly,
    /// Finishes what it took, and takes no more.
    Stopping,
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
            Self::Stopping => "stopping",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// How a shard's writer fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u32,
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
}

/// The shared part of a writer's status.
#[derive(Debug)]
pub(crate) struct Shared {
    condition: Mutex<Condition>,
    pub(crate) epoch: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) snapshot: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            condition: Mutex::new(Condition::Recovering),
            epoch: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Sets the condition; what is stopped stays so, and what is stopping only stops.
    pub(crate) fn set(&self, condition: Condition) {
        let mut now = self
            .condition
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match *now {
            Condition::Stopped(_) => {}
            Condition::Stopping if !matches!(condition, Condition::Stopped(_)) => {}
            _ => *now = condition,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.condition(), Condition::Stopping)
    }

    /// Why a command is not even queued.
    pub(crate) fn declines_commands(&self, shard: u32) -> Option<Fault> {
        match self.condition() {
            Condition::Serving => None,
            Condition::ReadOnly => Some(Fault::DiskFull { shard }),
            Condition::Stopped(why) => Some(Fault::ShardStopped { shard, why }),
            other => Some(Fault::unavailable(not_serving(shard, &other))),
        }
    }

    /// Why a read is not even queued.
    pub(crate) fn declines_reads(&self, shard: u32) -> Option<String> {
        match self.condition() {
            Condition::Serving | Condition::ReadOnly => None,
            other => Some(not_serving(shard, &other)),
        }
    }

    pub(crate) fn load(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

fn not_serving(shard: u32, condition: &Condition) -> String {
    match condition {
        Condition::Stopped(why) => format!("shard {shard} is stopped: {why}"),
        other => format!("shard {shard} is {}", other.label()),
    }
}
