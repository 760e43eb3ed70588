//! Topics that commands come from, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::ingestion::{CommandSource, CommandTopic, Lag, SourceError, SourceReader, SourceRecord};
use crate::log::Consumed;

/// The three topics. Clones are the same topics.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    partitions: Arc<Mutex<BTreeMap<(CommandTopic, u32), Partition>>>,
    grown: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Partition {
    begins: u64,
    records: Vec<SourceRecord>,
}

impl Partition {
    fn ends(&self) -> u64 {
        self.begins + self.records.len() as u64
    }
}

impl MemorySource {
    fn partitions(&self) -> MutexGuard<'_, BTreeMap<(CommandTopic, u32), Partition>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record to a partition; gives its offset.
    pub fn push(
        &self,
        kind: CommandTopic,
        partition: u32,
        key: &str,
        headers: &[(&str, &str)],
        payload: impl Into<Bytes>,
    ) -> u64 {
        let mut partitions = self.partitions();
        let of = partitions.entry((kind, partition)).or_default();
        let offset = of.ends();
        let headers = headers.iter();
        of.records.push(SourceRecord {
            kind,
            topic: kind.name().into(),
            partition,
            offset,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            headers: headers
                .map(|(name, value)| {
                    let value = Bytes::copy_from_slice(value.as_bytes());
                    ((*name).to_owned(), Some(value))
                })
                .collect(),
            unnamed_headers: 0,
            payload: Some(payload.into()),
        });
        drop(partitions);
        self.grown.send_modify(|grown| *grown += 1);
        offset
    }

    /// Loses all records of a partition before `offset`.
    pub fn lose_before(&self, kind: CommandTopic, partition: u32, offset: u64) {
        let mut partitions = self.partitions();
        let of = partitions.entry((kind, partition)).or_default();
        let lost = offset
            .saturating_sub(of.begins)
            .min(of.records.len() as u64);
        of.records.drain(..lost as usize);
        of.begins += lost;
    }
}

#[async_trait]
impl CommandSource for MemorySource {
    async fn open(
        &self,
        shard: u32,
        from: &[Consumed],
        accept_gap: bool,
    ) -> Result<Box<dyn SourceReader>, SourceError> {
        let partitions = self.partitions();
        let none = Partition::default();
        let mut next = Vec::new();
        for kind in CommandTopic::ALL {
            let partition = partitions.get(&(kind, shard)).unwrap_or(&none);
            let (begins, ends) = (partition.begins, partition.ends());
            let known = from
                .iter()
                .find(|known| &*known.topic == kind.name() && known.partition == shard);
            let wanted = known.map_or(begins, |known| known.next_offset);
            let there = (begins..=ends).contains(&wanted);
            if !there && !accept_gap {
                return Err(SourceError::Gap {
                    topic: kind.name().into(),
                    partition: shard,
                    wanted,
                    begins,
                    ends,
                });
            }
            next.push((kind, if there { wanted } else { begins }));
        }
        drop(partitions);
        Ok(Box::new(Reader {
            source: self.clone(),
            grown: self.grown.subscribe(),
            shard,
            next,
        }))
    }
}

struct Reader {
    source: MemorySource,
    grown: watch::Receiver<u64>,
    shard: u32,
    next: Vec<(CommandTopic, u64)>,
}

impl Reader {
    fn take(&mut self, records_max: usize, bytes_max: usize) -> Vec<SourceRecord> {
        let partitions = self.source.partitions();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for (kind, next) in &mut self.next {
            let Some(partition) = partitions.get(&(*kind, self.shard)) else {
                continue;
            };
            let skip = next.saturating_sub(partition.begins) as usize;
            for record in partition.records.iter().skip(skip) {
                if taken.len() >= records_max || (bytes > 0 && bytes >= bytes_max) {
                    break;
                }
                bytes += record.size();
                *next = record.offset + 1;
                taken.push(record.clone());
            }
        }
        taken
    }
}

#[async_trait]
impl SourceReader for Reader {
    async fn read(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SourceRecord>, SourceError> {
        loop {
            self.grown.mark_unchanged();
            let taken = self.take(records_max, bytes_max);
            if !taken.is_empty() {
                return Ok(taken);
            }
            let gone = |_| SourceError::Unavailable("the topics are gone".to_owned());
            self.grown.changed().await.map_err(gone)?;
        }
    }

    fn lag(&self) -> Vec<Lag> {
        let partitions = self.source.partitions();
        let next = self.next.iter();
        next.map(|(kind, next)| {
            let ends = partitions
                .get(&(*kind, self.shard))
                .map_or(0, Partition::ends);
            Lag {
                topic: kind.name().into(),
                partition: self.shard,
                records: ends.saturating_sub(*next),
            }
        })
        .collect()
    }
}
