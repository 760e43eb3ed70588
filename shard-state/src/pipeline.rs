//! Reads a shard's log ahead of whoever works on it: one task reads, one thread decodes and
//! hashes, so that the state can be moved on a third.

use std::sync::Arc;

use ports::log::{LogEntry, LogError, LogReader, Position};
use schemas::record::{Barrier, RecordError, RecordHash, SealedRecord};
use tokio::sync::mpsc;

/// What is asked of the log at once. Decoded records take about ten times this.
const READ_BYTES: usize = 1024 * 1024;

/// Stretches that may wait between two stages.
const AHEAD: usize = 2;

/// An entry, decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Where it stands.
    pub(crate) position: Position,
    /// As the entry says.
    pub(crate) first_sequence: u64,
    /// Sequence after its last record, as the entry says.
    pub(crate) next_sequence: u64,
    /// What stands in it.
    pub(crate) body: Body,
}

/// What stands in an entry.
#[derive(Debug)]
pub(crate) enum Body {
    /// A control entry.
    Barrier(Result<Barrier, RecordError>),
    /// Records, as far as the entry's frames could be told apart.
    Records(Vec<Result<SealedRecord, Undecodable>>),
}

/// Bytes that are no record.
#[derive(Debug)]
pub(crate) struct Undecodable {
    /// BLAKE3 over them.
    pub(crate) hash: RecordHash,
    /// Why.
    pub(crate) error: RecordError,
}

/// Where reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the entry that holds the record before this sequence, or where nothing follows.
    Before(u64),
    /// Where nothing follows, or when the receiver is dropped.
    Never,
}

/// A stretch of the log, or why reading stopped.
pub(crate) type Stretch = Result<Vec<Decoded>, LogError>;

/// Starts reading `shard` from `from`. Ends by itself; or drop the receiver.
pub(crate) fn start(
    reader: Arc<dyn LogReader>,
    shard: u32,
    from: Position,
    end: End,
) -> mpsc::Receiver<Stretch> {
    let (raw_out, mut raw_in) = mpsc::channel::<Result<Vec<LogEntry>, LogError>>(AHEAD);
    let (out, decoded) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut from = from;
        loop {
            let read = reader.read(shard, from, READ_BYTES).await;
            let mut done = match &read {
                Ok(entries) => entries.is_empty(),
                Err(_) => true,
            };
            if let Ok(entries) = &read
                && let Some(last) = entries.last()
            {
                from = Position(last.position.0 + 1);
                done = matches!(end, End::Before(next) if last.next_sequence() >= next);
            }
            if raw_out.send(read).await.is_err() || done {
                return;
            }
        }
    });
    tokio::task::spawn_blocking(move || {
        while let Some(read) = raw_in.blocking_recv() {
            let stretch = read.map(|entries| entries.into_iter().map(decode).collect());
            if out.blocking_send(stretch).is_err() {
                return;
            }
        }
    });
    decoded
}

/// Decodes one entry.
pub(crate) fn decode(entry: LogEntry) -> Decoded {
    let body = if entry.record_count == 0 {
        Body::Barrier(Barrier::decode(&entry.body))
    } else {
        Body::Records(records(&entry))
    };
    Decoded {
        position: entry.position,
        first_sequence: entry.first_sequence,
        next_sequence: entry
            .first_sequence
            .saturating_add(u64::from(entry.record_count)),
        body,
    }
}

fn records(entry: &LogEntry) -> Vec<Result<SealedRecord, Undecodable>> {
    match schemas::record::frame::split(entry.body.clone()) {
        Ok(frames) => {
            let mut records: Vec<_> = frames.into_iter().map(record).collect();
            let counted = records.len() as u64;
            if counted != u64::from(entry.record_count) {
                records.push(Err(Undecodable {
                    hash: schemas::record::hash(&[]),
                    error: RecordError::Frame {
                        index: records.len(),
                        offset: entry.body.len(),
                        what: "the entry counts another number of records",
                    },
                }));
            }
            records
        }
        Err(error) => split_as_far_as_possible(entry, error),
    }
}

/// The records before the frame that is damaged, and that frame.
fn split_as_far_as_possible(
    entry: &LogEntry,
    error: RecordError,
) -> Vec<Result<SealedRecord, Undecodable>> {
    let good = match &error {
        RecordError::Frame { offset, .. } => *offset,
        _ => 0,
    };
    let before = schemas::record::frame::split(entry.body.slice(..good)).unwrap_or_default();
    let mut records: Vec<_> = before.into_iter().map(record).collect();
    records.push(Err(Undecodable {
        hash: schemas::record::hash(&entry.body[good..]),
        error,
    }));
    records
}

fn record(bytes: bytes::Bytes) -> Result<SealedRecord, Undecodable> {
    schemas::record::decode(bytes.clone()).map_err(|error| Undecodable {
        hash: schemas::record::hash(&bytes),
        error,
    })
}
