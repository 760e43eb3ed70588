//! Reading everything that is archived from the archive, though the log still has it.

use std::sync::Arc;

use ports::archive::{Archive, Spliced};
use ports::log::{Begin, LogEntry, LogError, LogReader, Position};
use tokio::sync::watch;

/// A log as if it had been trimmed up to the archive's end.
struct Behind {
    log: Arc<dyn LogReader>,
    begins: Vec<Begin>,
}

/// Reads what is archived from `archive`, and the rest from `log`.
///
/// # Errors
/// The archive cannot be reached.
pub async fn from_archive(
    log: Arc<dyn LogReader>,
    archive: &dyn Archive,
    shard_count: u32,
) -> Result<Arc<dyn LogReader>, LogError> {
    let mut begins = Vec::new();
    for shard in 0..shard_count {
        let mark = archive.mark(shard).await?;
        begins.push(mark.map_or_else(Begin::default, |mark| Begin {
            position: Position(mark.position.0 + 1),
            sequence: mark.next_sequence,
        }));
    }
    let behind = Arc::new(Behind { log, begins });
    Ok(Arc::new(Spliced::new(behind, archive.reader())))
}

impl Behind {
    fn begin(&self, shard: u32) -> Begin {
        self.begins.get(shard as usize).copied().unwrap_or_default()
    }
}

#[tonic::async_trait]
impl LogReader for Behind {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let from = from.max(self.begin(shard).position);
        self.log.read(shard, from, bytes_max).await
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        if sequence < self.begin(shard).sequence {
            return Ok(None);
        }
        self.log.entry_of(shard, sequence).await
    }

    async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
        Ok(self.begin(shard))
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.log.watch(shard)
    }
}
