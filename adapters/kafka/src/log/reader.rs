//! Reading committed entries.

use std::sync::Arc;

use async_trait::async_trait;
use ports::log::{Begin, LogEntry, LogError, LogReader, Position};
use tokio::sync::watch;

use super::assemble::{self, Stored};
use super::follow::Follower;
use super::tail::{End, Held};
use super::{Shard, Shared, find};

/// See [`LogReader`].
pub(crate) struct Reader {
    shared: Arc<Shared>,
    /// Follows as long as anybody reads.
    _follower: Follower,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, follower: Follower) -> Self {
        Self {
            shared,
            _follower: follower,
        }
    }

    /// Looks the end up where nobody in this process moves it.
    async fn freshen(&self, shard: u32, known: &Shard) -> Result<(), LogError> {
        if !known.tail.is_live() {
            let end = self.asked(shard, known).await?;
            known.tail.found(end);
        }
        Ok(())
    }

    /// Asks the broker where the end is.
    async fn asked(&self, shard: u32, known: &Shard) -> Result<End, LogError> {
        let before = known.tail.end();
        let pool = &self.shared.pool;
        let from = before.next_offset;
        pool.run(shard, from, move |stream| {
            match stream.bounds(shard)?.1 > from {
                true => find::end(stream, shard),
                false => Ok(before),
            }
        })
        .await
    }

    /// The last entry of `shard`, a control entry too.
    pub(crate) async fn last_entry(&self, shard: u32) -> Result<Option<Stored>, LogError> {
        let Some(known) = self.shared.shard(shard) else {
            return Ok(None);
        };
        self.freshen(shard, known).await?;
        let end = known.tail.end().next_offset;
        let pool = &self.shared.pool;
        pool.run(shard, end, move |stream| {
            let (low, _) = stream.bounds(shard)?;
            let mut back = 1;
            loop {
                let start = (end - back).max(low);
                let mut last = None;
                stream.scan(shard, start, Some(end), |seen| {
                    last = Some(seen);
                    true
                })?;
                if let Some(seen) = last {
                    let index = seen.place.map_or(0, |place| place.index);
                    let front = seen.offset - i64::from(index);
                    let entries = stream.read(shard, front, front, end, usize::MAX)?;
                    stream.rest();
                    return Ok(entries.into_iter().next_back());
                }
                if start == low {
                    return Ok(None);
                }
                back *= 64;
            }
        })
        .await
    }
}

#[async_trait]
impl LogReader for Reader {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let Some(known) = self.shared.shard(shard) else {
            return Ok(Vec::new());
        };
        let mut held = known.tail.read(from, bytes_max);
        if held == Held::Nothing && !known.tail.is_live() {
            self.freshen(shard, known).await?;
            held = known.tail.read(from, bytes_max);
        }
        let end = match held {
            Held::Entries(entries) => return Ok(entries),
            Held::Nothing => return Ok(Vec::new()),
            Held::Before(end) => end,
        };
        let from = assemble::offset(from);
        let entries = self
            .shared
            .pool
            .run(shard, from, move |stream| {
                let entries = stream.read(shard, from, from, end, bytes_max)?;
                // What follows is held, or nothing follows.
                if entries.last().is_none_or(|last| last.next_offset >= end) {
                    stream.rest();
                }
                Ok(entries)
            })
            .await?;
        for stored in &entries {
            known.index.note(stored);
        }
        Ok(entries.into_iter().map(|stored| stored.entry).collect())
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        let Some(known) = self.shared.shard(shard) else {
            return Ok(None);
        };
        let mut held = known.tail.entry_of(sequence);
        if held == Held::Nothing && sequence > 0 && !known.tail.is_live() {
            self.freshen(shard, known).await?;
            held = known.tail.entry_of(sequence);
        }
        let end = match held {
            Held::Entries(entries) => return Ok(entries.into_iter().next()),
            Held::Before(_) => known.tail.end(),
            // Who follows another process's commits hears of them a little after they are there,
            // and somebody else may have seen them already.
            Held::Nothing if sequence > 0 && known.tail.is_live() => {
                self.asked(shard, known).await?
            }
            Held::Nothing => return Ok(None),
        };
        if sequence >= end.next_sequence {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let found = self
            .shared
            .pool
            .run(shard, -1, move |stream| match shared.shard(shard) {
                Some(known) => find::entry_of(stream, &known.index, shard, sequence, end),
                None => Ok(None),
            });
        Ok(found.await?.map(|stored| stored.entry))
    }

    async fn begins(&self, shard: u32) -> Result<Begin, LogError> {
        let Some(known) = self.shared.shard(shard) else {
            return Ok(Begin::default());
        };
        let end = known.tail.end().next_offset;
        let first = self.shared.pool.run(shard, -1, move |stream| {
            let (low, _) = stream.bounds(shard)?;
            if low == 0 {
                return Ok(None);
            }
            let entries = stream.read(shard, low, low, end, 1)?;
            stream.rest();
            Ok(entries.into_iter().next())
        });
        Ok(first.await?.map_or(Begin::default(), |first| Begin {
            position: first.entry.position,
            sequence: first.entry.first_sequence,
        }))
    }

    async fn read_damaged(
        &self,
        shard: u32,
        position: Position,
    ) -> Result<Option<LogEntry>, LogError> {
        if self.shared.shard(shard).is_none() || position.0 == 0 {
            return Ok(None);
        }
        let offset = assemble::offset(position);
        self.shared
            .pool
            .run(shard, -1, move |stream| stream.as_it_stands(shard, offset))
            .await
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        match self.shared.shard(shard) {
            Some(known) => {
                let watch = known.tail.watch();
                if !known.tail.is_live() {
                    self.shared.touch_roster();
                }
                watch
            }
            // A shard that does not exist never grows.
            None => watch::channel(1).1,
        }
    }
}
