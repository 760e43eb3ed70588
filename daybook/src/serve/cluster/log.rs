//! The log with its archive: one log to who reads it.

use std::sync::Arc;

use bytes::Bytes;
use ports::archive::{Archive, Spliced};
use ports::log::{EventLog, LogError, LogReader, LogWriter};
use schemas::record::LogId;

/// A log whose reader goes on in the archive where the medium was trimmed.
pub struct WholeLog {
    log: Arc<dyn EventLog>,
    reader: Arc<dyn LogReader>,
}

impl WholeLog {
    /// `log`, and before it `archive`.
    pub fn new(log: Arc<dyn EventLog>, archive: &dyn Archive) -> Self {
        Self {
            reader: Arc::new(Spliced::new(log.reader(), archive.reader())),
            log,
        }
    }
}

#[tonic::async_trait]
impl EventLog for WholeLog {
    fn log_id(&self) -> LogId {
        self.log.log_id()
    }

    fn shard_count(&self) -> u32 {
        self.log.shard_count()
    }

    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError> {
        self.log.claim(shard, barrier).await
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::clone(&self.reader)
    }
}
