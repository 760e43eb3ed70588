//! An archive in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::archive::{Archive, ArchiveMark};
use crate::log::{LogEntry, LogError, LogReader, Position};

/// An archive in memory that can be told to fail and to lose all it has. Clones are the same.
#[derive(Debug, Clone)]
pub struct MemoryArchive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shards: Vec<Shard>,
    faults: Mutex<u32>,
}

#[derive(Debug)]
struct Shard {
    entries: Mutex<Vec<LogEntry>>,
    next: watch::Sender<u64>,
}

impl MemoryArchive {
    /// An empty archive.
    pub fn new(shard_count: u32) -> Self {
        let shards = (0..shard_count)
            .map(|_| Shard {
                entries: Mutex::default(),
                next: watch::Sender::new(1),
            })
            .collect();
        Self {
            inner: Arc::new(Inner {
                shards,
                faults: Mutex::new(0),
            }),
        }
    }

    /// Lets the next `count` calls find it out of reach.
    pub fn fail_next(&self, count: u32) {
        *self
            .inner
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = count;
    }

    /// Loses all it has, as a store without a disk does when it starts again.
    pub fn lose(&self) {
        for shard in &self.inner.shards {
            lock(&shard.entries).clear();
            shard.next.send_replace(1);
        }
    }

    /// Changes what it holds of `shard`.
    pub fn tamper(&self, shard: u32, change: impl FnOnce(&mut Vec<LogEntry>)) {
        if let Some(shard) = self.inner.shards.get(shard as usize) {
            change(&mut lock(&shard.entries));
        }
    }

    fn shard(&self, shard: u32) -> Result<&Shard, LogError> {
        let mut faults = self
            .inner
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *faults > 0 {
            *faults -= 1;
            return Err(LogError::Unavailable("as the test wants".to_owned()));
        }
        let found = self.inner.shards.get(shard as usize);
        found.ok_or_else(|| LogError::Unusable(format!("there is no shard {shard}")))
    }
}

fn lock(entries: &Mutex<Vec<LogEntry>>) -> MutexGuard<'_, Vec<LogEntry>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mark_of(entries: &[LogEntry]) -> Option<ArchiveMark> {
    entries.last().map(|last| ArchiveMark {
        next_sequence: last.next_sequence(),
        position: last.position,
    })
}

#[async_trait]
impl Archive for MemoryArchive {
    async fn mark(&self, shard: u32) -> Result<Option<ArchiveMark>, LogError> {
        Ok(mark_of(&lock(&self.shard(shard)?.entries)))
    }

    async fn append(
        &self,
        shard: u32,
        from: Option<ArchiveMark>,
        entries: &[LogEntry],
    ) -> Result<Option<ArchiveMark>, LogError> {
        let of = self.shard(shard)?;
        let mut stored = lock(&of.entries);
        let found = mark_of(&stored);
        if found != from {
            return Err(LogError::Unusable(format!(
                "the archive of shard {shard} stands at {found:?}, not at {from:?}"
            )));
        }
        let new = crate::archive::successors(from, entries)?;
        stored.extend(new.into_iter().cloned());
        let mark = mark_of(&stored);
        of.next
            .send_replace(mark.map_or(1, |mark| mark.next_sequence));
        Ok(mark)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl LogReader for MemoryArchive {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let stored = lock(&self.shard(shard)?.entries);
        let mut bytes = 0;
        let follow = stored.iter().filter(|entry| entry.position >= from);
        Ok(follow
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.body.len().max(1);
                first || bytes <= bytes_max
            })
            .cloned()
            .collect())
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        let stored = lock(&self.shard(shard)?.entries);
        let holds =
            |entry: &&LogEntry| (entry.first_sequence..entry.next_sequence()).contains(&sequence);
        Ok(stored.iter().find(holds).cloned())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        match self.inner.shards.get(shard as usize) {
            Some(of) => of.next.subscribe(),
            None => watch::channel(1).1,
        }
    }
}
