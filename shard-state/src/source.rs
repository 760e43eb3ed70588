//! A log that is read.

use std::sync::Arc;

use ports::log::{EventLog, LogReader};
use schemas::record::LogId;

/// A log that is read: restored from, or verified.
#[derive(Clone)]
pub struct Source {
    /// Reads it.
    pub reader: Arc<dyn LogReader>,
    /// Its id.
    pub log_id: LogId,
    /// Its shards.
    pub shard_count: u32,
}

impl Source {
    /// Of an open log.
    pub fn of(log: &dyn EventLog) -> Self {
        Self {
            reader: log.reader(),
            log_id: log.log_id(),
            shard_count: log.shard_count(),
        }
    }
}
