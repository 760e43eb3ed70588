//! Reads a shard's log ahead of whoever works on it: one task reads, one thread decodes and
//! hashes, so that the state can be moved on a third.

use std::sync::Arc;

use bytes::Bytes;
use ports::log::{LogEntry, LogError, LogReader, Position};
use schemas::record::{Barrier, RecordError, RecordHash, SealedRecord, frame};
use tokio::sync::mpsc;

/// What is asked of the log at once.
const READ_BYTES: usize = 1024 * 1024;

/// Records that are decoded before they are handed on.
const PIECE: usize = 512;

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
            let sent = match read {
                Ok(entries) => in_pieces(entries, |piece| out.blocking_send(Ok(piece)).is_ok()),
                Err(error) => out.blocking_send(Err(error)).is_ok(),
            };
            if !sent {
                return;
            }
        }
    });
    decoded
}

/// Decodes entries and sends them in pieces of about [`PIECE`] records, so that they are still
/// in the processor's cache when the state is moved by them. A large entry becomes several
/// pieces of one position. False when nobody listens any more.
fn in_pieces(entries: Vec<LogEntry>, mut send: impl FnMut(Vec<Decoded>) -> bool) -> bool {
    let mut piece = Vec::new();
    let mut count = 0;
    for entry in entries {
        let mut rest = frames(&entry);
        let mut first_sequence = entry.first_sequence;
        loop {
            let more = rest.split_off(rest.len().min(PIECE));
            let decoded = decode_frames(&entry, first_sequence, rest);
            if let Body::Records(records) = &decoded.body {
                first_sequence += records.len() as u64;
                count += records.len();
            }
            piece.push(decoded);
            count += 1;
            if count >= PIECE {
                count = 0;
                if !send(std::mem::take(&mut piece)) {
                    return false;
                }
            }
            if more.is_empty() {
                break;
            }
            rest = more;
        }
    }
    piece.is_empty() || send(piece)
}

/// Decodes one entry.
pub(crate) fn decode(entry: LogEntry) -> Decoded {
    decode_frames(&entry, entry.first_sequence, frames(&entry))
}

/// Bytes of a record, or what is wrong with the frame that should hold them.
type Frame = Result<Bytes, Undecodable>;

fn decode_frames(entry: &LogEntry, first_sequence: u64, frames: Vec<Frame>) -> Decoded {
    let body = if entry.record_count == 0 {
        Body::Barrier(Barrier::decode(&entry.body))
    } else {
        Body::Records(frames.into_iter().map(|f| f.and_then(record)).collect())
    };
    Decoded {
        position: entry.position,
        first_sequence,
        next_sequence: entry
            .first_sequence
            .saturating_add(u64::from(entry.record_count)),
        body,
    }
}

/// The frames of an entry's body, as far as they can be told apart.
fn frames(entry: &LogEntry) -> Vec<Frame> {
    if entry.record_count == 0 {
        return Vec::new();
    }
    match frame::split(entry.body.clone()) {
        Ok(split) => {
            let mut frames: Vec<Frame> = split.into_iter().map(Ok).collect();
            if frames.len() as u64 != u64::from(entry.record_count) {
                frames.push(Err(Undecodable {
                    hash: schemas::record::hash(&[]),
                    error: RecordError::Frame {
                        index: frames.len(),
                        offset: entry.body.len(),
                        what: "the entry counts another number of records",
                    },
                }));
            }
            frames
        }
        Err(error) => {
            let good = match &error {
                RecordError::Frame { offset, .. } => *offset,
                _ => 0,
            };
            let before = frame::split(entry.body.slice(..good)).unwrap_or_default();
            let mut frames: Vec<Frame> = before.into_iter().map(Ok).collect();
            frames.push(Err(Undecodable {
                hash: schemas::record::hash(&entry.body[good..]),
                error,
            }));
            frames
        }
    }
}

fn record(bytes: Bytes) -> Result<SealedRecord, Undecodable> {
    schemas::record::decode(bytes.clone()).map_err(|error| Undecodable {
        hash: schemas::record::hash(&bytes),
        error,
    })
}
