//! Reads a stretch of a shard's log and folds it.

use std::sync::Arc;

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::{LogEntry, LogReader, Position};
use ports::projection::Checkpoint;
use schemas::record::{self, LogId, Payload, Record, RecordHash, SealedRecord};

use crate::failure::{Failure, Misfit};
use crate::fold::Fold;
use crate::heard::heard;

/// Bytes that are read at once: the log's bytes of a stretch need not be in memory together.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Traces that are told of one stretch, at most.
const TRACES_MAX: usize = 1_000;

/// Where a projection stands in the log.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// The log that is read.
    pub(crate) log_id: LogId,
    /// The shard.
    pub(crate) shard: u32,
    /// The last record taken and where it stands; `None` before the first.
    pub(crate) last: Option<Last>,
}

/// The last record taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) sequence: u64,
    pub(crate) hash: RecordHash,
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    /// The log that it says it belongs to: another one where a restore or a migration carried
    /// it over.
    pub(crate) log_id: LogId,
}

/// A record that carried a trace context.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) traceparent: Arc<str>,
    pub(crate) ledger: LedgerName,
    pub(crate) ledger_sequence: u64,
}

/// A stretch, folded.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) fold: Fold,
    pub(crate) first: u64,
    pub(crate) after: Cursor,
    pub(crate) traced: Vec<Traced>,
    /// True where the stretch ended because it was full.
    pub(crate) full: bool,
}

/// How much one stretch takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
    /// No record after this.
    pub(crate) through: u64,
}

impl Cursor {
    pub(crate) fn next_sequence(&self) -> u64 {
        self.last.map_or(1, |last| last.sequence + 1)
    }

    /// The checkpoint that says this.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.last.map(|last| Checkpoint {
            log_id: self.log_id,
            sequence: last.sequence,
            record_hash: last.hash,
            position: last.position,
            recorded_at: last.recorded_at,
        })
    }

    /// Goes on from `checkpoint`, after a look whether the log has that very record.
    pub(crate) async fn resume(
        log_id: LogId,
        shard: u32,
        checkpoint: Option<Checkpoint>,
        reader: &dyn LogReader,
    ) -> Result<Self, Failure> {
        let mut cursor = Self {
            log_id,
            shard,
            last: None,
        };
        let begins = reader.begins(shard).await.map_err(Failure::Log)?.sequence;
        let needed = checkpoint.map_or(1, |at| at.sequence);
        if begins > needed {
            return Err(Failure::LogTrimmed {
                shard,
                sequence: needed,
                begins,
            });
        }
        let Some(at) = checkpoint else {
            return Ok(cursor);
        };
        let diverged = |found| Failure::LogDiverged {
            shard,
            sequence: at.sequence,
            expected_log: at.log_id,
            expected: at.record_hash,
            found,
        };
        heard(reader, shard, at.sequence).await;
        let entry = reader
            .entry_of(shard, at.sequence)
            .await
            .map_err(Failure::Log)?
            .ok_or(Failure::LogBehind {
                shard,
                sequence: at.sequence,
            })?;
        let position = entry.position;
        let damaged = |what: Misfit| Failure::Record {
            shard,
            sequence: at.sequence,
            position,
            what,
        };
        let records = split(&entry).map_err(damaged)?;
        let index = usize::try_from(at.sequence.saturating_sub(entry.first_sequence)).ok();
        let bytes = index
            .and_then(|index| records.into_iter().nth(index))
            .ok_or_else(|| damaged(Misfit::Sequence(entry.first_sequence)))?;
        let hash = record::hash(&bytes);
        if hash != at.record_hash {
            // Another record, or a damaged one: either way not what was applied.
            let log = record::decode(bytes).map(|found| found.record.log_id);
            return Err(diverged(log.ok().map(|log| (log, hash))));
        }
        let found = record::decode(bytes).map_err(|error| damaged(error.into()))?;
        if at.log_id != log_id {
            return Err(diverged(Some((found.record.log_id, hash))));
        }
        cursor.last = Some(Last {
            sequence: at.sequence,
            hash,
            position,
            recorded_at: at.recorded_at,
            log_id: found.record.log_id,
        });
        Ok(cursor)
    }

    /// Takes what waits after this cursor, as far as `bounds` let. `None` where nothing does.
    pub(crate) async fn take(
        &self,
        reader: &dyn LogReader,
        bounds: Bounds,
    ) -> Result<Option<Stretch>, Failure> {
        let mut stretch = Stretch {
            fold: Fold::new(),
            first: self.next_sequence(),
            after: self.clone(),
            traced: Vec::new(),
            full: false,
        };
        let mut position = self.last.map_or(Position(0), |last| last.position);
        let mut bytes = 0;
        let trace = tracing::enabled!(tracing::Level::DEBUG);
        loop {
            let entries = reader
                .read(self.shard, position, READ_BYTES)
                .await
                .map_err(Failure::Log)?;
            let Some(last) = entries.last() else { break };
            position = Position(last.position.0 + 1);
            for entry in entries {
                if entry.record_count > 0 && entry.first_sequence > bounds.through {
                    stretch.full = true;
                    break;
                }
                bytes += entry.body.len();
                stretch.entry(&entry, bounds.through, trace)?;
                // What is left of the read is read again by the next stretch.
                if stretch.fold.records() >= bounds.records || bytes >= bounds.bytes {
                    stretch.full = true;
                    break;
                }
            }
            if stretch.full {
                break;
            }
            // The body of one read is let go of before the next is read, and others of this
            // runtime get their turn.
            tokio::task::yield_now().await;
        }
        Ok((stretch.fold.records() > 0).then_some(stretch))
    }
}

impl Stretch {
    /// Where the chains of its ledgers stand after it.
    pub(crate) fn heads(&self) -> Vec<(LedgerName, (u64, RecordHash))> {
        let heads = self.fold.heads();
        heads
            .map(|(ledger, head)| (ledger.clone(), (head.ledger_sequence, head.record_hash)))
            .collect()
    }

    fn entry(&mut self, entry: &LogEntry, through: u64, trace: bool) -> Result<(), Failure> {
        if entry.record_count == 0 || entry.next_sequence() <= self.after.next_sequence() {
            return Ok(());
        }
        let shard = self.after.shard;
        let damaged = |sequence, what: Misfit| Failure::Record {
            shard,
            sequence,
            position: entry.position,
            what,
        };
        let next = self.after.next_sequence();
        if entry.first_sequence > next {
            return Err(damaged(next, Misfit::Gap(entry.first_sequence)));
        }
        let records = split(entry).map_err(|what| damaged(next, what))?;
        // What an earlier stretch took of this entry is not taken again.
        let taken = (next - entry.first_sequence) as usize;
        for (sequence, bytes) in (next..=through).zip(records.into_iter().skip(taken)) {
            let sealed = record::decode(bytes).map_err(|error| damaged(sequence, error.into()))?;
            let last = self
                .after
                .check(entry.position, &sealed)
                .map_err(|what| damaged(sequence, what))?;
            if trace
                && self.traced.len() < TRACES_MAX
                && let Some(traceparent) = &sealed.record.traceparent
            {
                self.traced.push(Traced {
                    traceparent: traceparent.clone(),
                    ledger: sealed.record.ledger.clone(),
                    ledger_sequence: sealed.record.ledger_sequence,
                });
            }
            self.fold
                .add(entry.position, sequence, sealed)
                .map_err(|error| damaged(sequence, error.into()))?;
            self.after.last = Some(last);
        }
        Ok(())
    }
}

impl Cursor {
    /// Everything that a record's place in the shard must be. The chain of its ledger is
    /// checked by the fold.
    fn check(&self, position: Position, sealed: &SealedRecord) -> Result<Last, Misfit> {
        let record = &sealed.record;
        if self
            .last
            .is_some_and(|last| record.moment.recorded_at < last.recorded_at)
        {
            return Err(Misfit::RecordedAt);
        }
        let began = self.last.is_some_and(|last| last.log_id == self.log_id);
        if record.log_id != self.log_id {
            // Carried over from another log, which it has its own place in: what holds it is
            // the chain of its ledger. Nothing is carried over behind this log's own beginning.
            if began {
                return Err(Misfit::LogId(record.log_id));
            }
        } else {
            if record.shard != self.shard {
                return Err(Misfit::Shard(record.shard));
            }
            if record.sequence != self.next_sequence() {
                return Err(Misfit::Sequence(record.sequence));
            }
            if !began && !begins_behind(record, self.last.as_ref()) {
                return Err(Misfit::LogId(record.log_id));
            }
        }
        Ok(Last {
            sequence: self.next_sequence(),
            hash: sealed.hash,
            position,
            recorded_at: record.moment.recorded_at,
            log_id: record.log_id,
        })
    }
}

/// Whether `record` begins a log behind `last`, the last record that was carried over.
fn begins_behind(record: &Record, last: Option<&Last>) -> bool {
    match &record.payload {
        Payload::LogStarted(started) => match (&started.parent, last) {
            (Some(parent), Some(last)) => {
                parent.log_id == last.log_id
                    && parent.sequence == last.sequence
                    && parent.hash == last.hash
            }
            (parent, last) => parent.is_none() && last.is_none(),
        },
        Payload::LogMigrated(migrated) => migrated.last_hash == last.map(|last| last.hash),
        _ => false,
    }
}

fn split(entry: &LogEntry) -> Result<Vec<bytes::Bytes>, Misfit> {
    let records = record::frame::split(entry.body.clone())?;
    if records.len() != entry.record_count as usize {
        return Err(Misfit::Count {
            said: entry.record_count,
            found: records.len(),
        });
    }
    Ok(records)
}
