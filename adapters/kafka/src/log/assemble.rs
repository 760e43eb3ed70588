//! Messages to entries.
//!
//! An entry is the longest run of messages of one batch that follow each other in offset and in
//! index. So a torn batch (any prefix, or two parts with another transaction's end between them)
//! reads as shorter entries, the same ones to every reader.

use bytes::{Bytes, BytesMut};
use ports::log::{LogEntry, Position};
use schemas::record::frame;

use super::place::{Kind, Place};

/// The position of an entry whose first message has `offset`: one more, so that 0 is before
/// everything.
pub(crate) fn position(offset: i64) -> Position {
    Position(offset.max(0) as u64 + 1)
}

/// The offset that `position` begins with.
pub(crate) fn offset(position: Position) -> i64 {
    i64::try_from(position.0.saturating_sub(1)).unwrap_or(i64::MAX)
}

/// An entry, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) entry: LogEntry,
    /// Offset after its last message.
    pub(crate) next_offset: i64,
    pub(crate) epoch: u64,
}

impl Stored {
    /// Offset of its first message.
    pub(crate) fn first_offset(&self) -> i64 {
        offset(self.entry.position)
    }
}

/// A message that cannot be part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: i64,
    pub(crate) what: String,
}

struct Open {
    first_offset: i64,
    first_sequence: u64,
    epoch: u64,
    /// What the next message of the run says.
    next: Place,
    next_offset: i64,
    records: u32,
    body: BytesMut,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Assembler {
    open: Option<Open>,
    /// The sequence that the next message must have, where that is known.
    expected: Option<u64>,
}

impl Assembler {
    /// Goes on after a place where the next sequence is `expected`.
    pub(crate) fn new(expected: Option<u64>) -> Self {
        Self {
            open: None,
            expected,
        }
    }

    /// Takes the message at `offset`; puts what is complete into `out`.
    pub(crate) fn feed(
        &mut self,
        offset: i64,
        place: Result<Place, &'static str>,
        payload: &[u8],
        mut out: impl FnMut(Stored),
    ) -> Result<(), Damage> {
        if let (Some(open), Ok(place)) = (&mut self.open, &place)
            && open.next_offset == offset
            && open.next == *place
        {
            open.push(payload);
        } else {
            self.finish(&mut out);
            let place = match place {
                Ok(place) if place.kind == Kind::Confirmation => Err("it is a confirmation"),
                other => other,
            };
            let place = place.map_err(|what| Damage {
                offset,
                what: format!("a message that is no record of this log: {what}"),
            })?;
            if let Some(expected) = self.expected
                && place.sequence != expected
            {
                return Err(Damage {
                    offset,
                    what: format!(
                        "sequence {} stands where {expected} must follow",
                        place.sequence
                    ),
                });
            }
            if place.kind == Kind::Barrier {
                self.expected = Some(place.sequence);
                out(Stored {
                    entry: LogEntry {
                        position: position(offset),
                        first_sequence: place.sequence,
                        record_count: 0,
                        body: Bytes::copy_from_slice(payload),
                    },
                    next_offset: offset + 1,
                    epoch: place.epoch,
                });
                return Ok(());
            }
            let mut open = Open {
                first_offset: offset,
                first_sequence: place.sequence,
                epoch: place.epoch,
                next: place,
                next_offset: offset,
                records: 0,
                body: BytesMut::new(),
            };
            open.push(payload);
            self.open = Some(open);
        }
        if let Some(open) = &self.open
            && open.next.index == open.next.count
        {
            self.finish(out);
        }
        Ok(())
    }

    /// Nothing more follows the run that is open: it is an entry as it is.
    pub(crate) fn finish(&mut self, mut out: impl FnMut(Stored)) {
        if let Some(open) = self.open.take() {
            self.expected = Some(open.next.sequence);
            out(open.stored());
        }
    }

    /// Offset of the first message of the run that is open.
    pub(crate) fn open_from(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.first_offset)
    }
}

impl Open {
    fn push(&mut self, payload: &[u8]) {
        if self.records == 0 {
            // The records of a batch are of about one size.
            let records = self.next.count as usize;
            let about = records.saturating_mul(payload.len() + 2);
            self.body.reserve(about.min(1 << 20));
        }
        frame::push(&mut self.body, payload);
        self.records += 1;
        self.next.index += 1;
        self.next.sequence = self.next.sequence.saturating_add(1);
        self.next_offset += 1;
    }

    fn stored(self) -> Stored {
        Stored {
            entry: LogEntry {
                position: position(self.first_offset),
                first_sequence: self.first_sequence,
                record_count: self.records,
                body: self.body.freeze(),
            },
            next_offset: self.next_offset,
            epoch: self.epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, index: u32, count: u32) -> Result<Place, &'static str> {
        Ok(Place {
            kind: Kind::Record,
            log: [0; 4],
            epoch: 1,
            sequence,
            index,
            count,
        })
    }

    fn barrier(sequence: u64) -> Result<Place, &'static str> {
        Ok(Place {
            kind: Kind::Barrier,
            log: [0; 4],
            epoch: 1,
            sequence,
            index: 0,
            count: 0,
        })
    }

    /// (position, first sequence, records) of what the messages make.
    fn entries(
        messages: &[(i64, Result<Place, &'static str>)],
    ) -> Result<Vec<(u64, u64, u32)>, Damage> {
        let mut found = Vec::new();
        let mut assembler = Assembler::default();
        let mut out = |stored: Stored| {
            let entry = stored.entry;
            found.push((entry.position.0, entry.first_sequence, entry.record_count));
        };
        for (offset, place) in messages {
            assembler.feed(*offset, *place, b"x", &mut out)?;
        }
        assembler.finish(&mut out);
        Ok(found)
    }

    #[test]
    fn whole_batches_are_entries() {
        let found = entries(&[
            (0, barrier(1)),
            (2, record(1, 0, 2)),
            (3, record(2, 1, 2)),
            (5, record(3, 0, 1)),
        ]);
        assert_eq!(found, Ok(vec![(1, 1, 0), (3, 1, 2), (6, 3, 1)]));
    }

    #[test]
    fn a_torn_batch_is_a_shorter_entry() {
        let found = entries(&[
            (0, record(1, 0, 5)),
            (1, record(2, 1, 5)),
            (3, barrier(3)),
            (5, record(3, 0, 1)),
            (7, record(4, 0, 9)),
        ]);
        assert_eq!(found, Ok(vec![(1, 1, 2), (4, 3, 0), (6, 3, 1), (8, 4, 1)]));
    }

    #[test]
    fn a_batch_in_two_parts_is_two_entries() {
        let found = entries(&[
            (0, record(1, 0, 3)),
            (1, record(2, 1, 3)),
            (4, record(3, 2, 3)),
        ]);
        assert_eq!(found, Ok(vec![(1, 1, 2), (5, 3, 1)]));
    }

    #[test]
    fn what_does_not_belong_is_named() {
        let foreign = entries(&[(0, record(1, 0, 1)), (2, Err("it has no value"))]);
        assert_eq!(foreign.map_err(|damage| damage.offset), Err(2));
        let gap = entries(&[(0, record(1, 0, 1)), (2, record(3, 0, 1))]);
        assert_eq!(gap.map_err(|damage| damage.offset), Err(2));
        let missing = entries(&[(0, record(1, 0, 3)), (1, record(3, 2, 3))]);
        assert_eq!(missing.map_err(|damage| damage.offset), Err(1));
        let again = entries(&[(0, record(1, 0, 1)), (2, record(1, 0, 1))]);
        assert_eq!(again.map_err(|damage| damage.offset), Err(2));
    }

    #[test]
    fn positions_begin_after_zero() {
        assert_eq!(position(0), Position(1));
        assert_eq!(offset(Position(0)), 0);
        assert_eq!(offset(Position(1)), 0);
        assert_eq!(offset(position(41)), 41);
    }
}
