//! All shards of a log as one stream, in the order of their records' times: what may be merged
//! into one shard without its time going back. The order follows from the records alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ledger_core::name::LedgerName;
use ports::log::Position;
use ports::routing::chain_shard;
use schemas::record::{RecordHash, SealedRecord};
use tokio::sync::mpsc;

use super::MigrateError;
use super::seal::Sealed;
use crate::divergence::{Divergence, What};
use crate::pipeline::{self, Body, End, Stretch};
use crate::recover::{PROGRESS_RECORDS, RecoverError};
use crate::source::Source;

/// How long a reader may take to hear of what was written.
const SEEN: Duration = Duration::from_secs(30);

/// A record and where it stands in the source.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) shard: u32,
    pub(super) sequence: u64,
    pub(super) record: SealedRecord,
}

/// See the module.
pub(super) struct Merge {
    shards: Vec<Shard>,
}

/// A shard being read.
struct Shard {
    number: u32,
    stretches: mpsc::Receiver<Stretch>,
    waiting: VecDeque<(u64, SealedRecord)>,
    next: u64,
    /// Sequence after the last record that counts.
    end: u64,
    last: Option<(u64, RecordHash)>,
}

impl Merge {
    /// Reads `source` up to what it holds now.
    pub(super) fn start(source: &Source) -> Self {
        let ends = (0..source.shard_count).map(|shard| *source.reader.watch(shard).borrow());
        Self::before(source, ends)
    }

    /// Reads `source` up to the records that sealed it.
    pub(super) async fn of_sealed(source: &Source, sealed: &[Sealed]) -> Self {
        for (shard, sealed) in (0..source.shard_count).zip(sealed) {
            // A reader may hear of what was just written a moment later. Where it never does,
            // the shard is found to end early.
            let mut next = source.reader.watch(shard);
            let there = next.wait_for(|next| *next > sealed.at.sequence);
            let _ = tokio::time::timeout(SEEN, there).await;
        }
        Self::before(source, sealed.iter().map(|sealed| sealed.at.sequence + 1))
    }

    fn before(source: &Source, ends: impl Iterator<Item = u64>) -> Self {
        let shards = (0..source.shard_count).zip(ends).map(|(number, end)| {
            let reader = Arc::clone(&source.reader);
            Shard {
                number,
                stretches: pipeline::start(reader, number, Position(0), End::Before(end)),
                waiting: VecDeque::new(),
                next: 1,
                end,
                last: None,
            }
        });
        Self {
            shards: shards.collect(),
        }
    }

    /// Records that are to come, about: the sum of all shards' ends.
    pub(super) fn records(&self) -> u64 {
        let ends = self.shards.iter().map(|shard| shard.end.saturating_sub(1));
        ends.sum()
    }

    /// The next record of all shards.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, MigrateError> {
        let mut first = None;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.fill().await?;
            let Some((_, record)) = shard.waiting.front() else {
                continue;
            };
            let at = record.record.moment.recorded_at;
            if first.is_none_or(|(earliest, _)| at < earliest) {
                first = Some((at, index));
            }
        }
        let Some((_, index)) = first else {
            return Ok(None);
        };
        let shard = &mut self.shards[index];
        let taken = shard.waiting.pop_front();
        Ok(taken.map(|(sequence, record)| {
            shard.last = Some((sequence, record.hash));
            Item {
                shard: shard.number,
                sequence,
                record,
            }
        }))
    }

    /// The last record that was taken of each shard.
    pub(super) fn ends(&self) -> impl Iterator<Item = Option<(u64, RecordHash)>> + '_ {
        self.shards.iter().map(|shard| shard.last)
    }
}

impl Shard {
    /// Reads on where nothing waits.
    async fn fill(&mut self) -> Result<(), MigrateError> {
        while self.waiting.is_empty() {
            let Some(stretch) = self.stretches.recv().await else {
                return Ok(());
            };
            for entry in stretch? {
                let Body::Records(records) = entry.body else {
                    continue;
                };
                let placed = (entry.first_sequence..).zip(records);
                for (sequence, record) in placed.take_while(|(sequence, _)| *sequence < self.end) {
                    let record = record.map_err(|bytes| {
                        MigrateError::Source(Box::new(RecoverError::Undecodable {
                            position: entry.position,
                            sequence,
                            source: bytes.error,
                        }))
                    })?;
                    if sequence != self.next {
                        let what = What::Sequence {
                            expected: self.next,
                        };
                        return Err(diverged(entry.position, sequence, &record, what));
                    }
                    self.next += 1;
                    self.waiting.push_back((sequence, record));
                }
            }
        }
        Ok(())
    }
}

fn diverged(position: Position, sequence: u64, record: &SealedRecord, what: What) -> MigrateError {
    let divergence = Box::new(Divergence {
        ledger: record.record.ledger.clone(),
        ledger_sequence: record.record.ledger_sequence,
        sequence,
        what,
    });
    MigrateError::Source(Box::new(RecoverError::Diverged {
        position,
        divergence,
    }))
}

/// What a shard of the target would hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlannedShard {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ledgers.
    pub ledgers: u64,
}

/// What carrying a log over would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Shards of the target, by number.
    pub shards: Vec<PlannedShard>,
}

/// Reads all of `source`, checks its chains, and counts what each of `shard_count` shards would
/// hold. Changes nothing. `progress` hears of records read and to be read.
///
/// # Errors
/// [`MigrateError`] when the source cannot be read, or a chain is broken.
pub async fn plan(
    source: &Source,
    shard_count: u32,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Plan, MigrateError> {
    let mut shards = vec![PlannedShard::default(); shard_count.max(1) as usize];
    let mut heads: HashMap<LedgerName, (u64, RecordHash)> = HashMap::new();
    let mut merge = Merge::start(source);
    let (mut done, all) = (0_u64, merge.records());
    while let Some(item) = merge.next().await? {
        let record = &item.record.record;
        let shard = &mut shards[chain_shard(&record.ledger, shard_count.max(1)) as usize];
        shard.records += 1;
        shard.bytes += item.record.bytes.len() as u64;
        let head = heads.get_mut(&record.ledger);
        let before = head.as_deref().copied();
        let expected = before.map_or(1, |(sequence, _)| sequence + 1);
        let what = if record.ledger_sequence != expected {
            Some(What::LedgerSequence { expected })
        } else if record.previous_hash != before.map(|(_, hash)| hash) {
            Some(What::PreviousHash {
                expected: before.map(|(_, hash)| hash),
                found: record.previous_hash,
            })
        } else {
            None
        };
        if let Some(what) = what {
            let position = Position::default();
            return Err(diverged(position, item.sequence, &item.record, what));
        }
        let after = (record.ledger_sequence, item.record.hash);
        match head {
            Some(head) => *head = after,
            None => {
                shard.ledgers += u64::from(!record.ledger.is_engine());
                heads.insert(record.ledger.clone(), after);
            }
        }
        done += 1;
        if done.is_multiple_of(PROGRESS_RECORDS) {
            progress(done, all);
        }
    }
    progress(done, all);
    Ok(Plan { shards })
}
