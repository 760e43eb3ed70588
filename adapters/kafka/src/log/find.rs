//! Where the end of a shard is, and where a sequence is.

use ports::log::LogError;

use super::assemble::{Stored, position};
use super::index::{Index, Point};
use super::stream::Stream;
use super::tail::End;

/// Between two places that are no further apart than this, messages are read one after another.
const NEAR: i64 = 512;

/// The end of `shard`, looked up from the last message backwards.
///
/// # Errors
/// [`LogError::Unusable`] where the messages that would tell are gone.
pub(crate) fn end(stream: &mut Stream, shard: u32) -> Result<End, LogError> {
    let (low, committed) = stream.bounds(shard)?;
    let mut back = 2;
    loop {
        let start = (committed - back).max(low);
        let mut end = None;
        let mut last = None;
        if start < committed {
            stream.scan(shard, start, None, |seen| {
                last = Some(seen.offset);
                if let Ok(place) = seen.place {
                    end = Some((place.next_sequence(), place.epoch));
                }
                true
            })?;
        }
        if let (Some((next_sequence, epoch)), Some(last)) = (end, last) {
            return Ok(End {
                next_offset: last + 1,
                next_sequence,
                epoch,
            });
        }
        if start > low {
            back *= 64;
            continue;
        }
        // Nothing was ever committed, unless what was is gone.
        return match low {
            0 => Ok(End {
                next_offset: last.map_or(low, |last| last + 1),
                next_sequence: 1,
                epoch: 0,
            }),
            _ => Err(LogError::Unusable(format!(
                "all records of shard {shard} were deleted, the last one too: the events topic \
                 must keep it (retention.ms and retention.bytes are -1)"
            ))),
        };
    }
}

/// The entry of `shard` that holds the record of `sequence`, which is below that of `end`.
pub(crate) fn entry_of(
    stream: &mut Stream,
    index: &Index,
    shard: u32,
    sequence: u64,
    end: End,
) -> Result<Option<Stored>, LogError> {
    let (low, high) = index.around(sequence);
    let mut high = high.unwrap_or(Point {
        sequence: end.next_sequence,
        offset: end.next_offset,
    });
    let mut low = match low {
        Some(low) => low,
        None => {
            let (low, _) = stream.bounds(shard)?;
            index.trim(low);
            let Some(first) = probe(stream, shard, low, end)? else {
                return Ok(None);
            };
            if first.sequence > sequence {
                return Ok(None);
            }
            first
        }
    };
    let mut halve = false;
    while high.offset - low.offset > NEAR && high.sequence - low.sequence > 1 {
        let (offsets, sequences) = (high.offset - low.offset, high.sequence - low.sequence);
        // Records are about evenly spread; where that is wrong, halving helps.
        let ahead = match halve {
            true => offsets / 2,
            false => {
                let share = (sequence - low.sequence) as f64 / sequences as f64;
                (offsets as f64 * share) as i64 - NEAR / 4
            }
        };
        halve = !halve;
        let middle = low.offset + ahead.clamp(1, offsets - 1);
        let Some(seen) = stream.first_at(shard, middle, end.next_offset)? else {
            high.offset = middle;
            continue;
        };
        let place = seen.place.map_err(|what| LogError::Damaged {
            shard,
            position: position(seen.offset),
            what: format!("a message that is no record of this log: {what}"),
        })?;
        if seen.offset >= high.offset {
            high.offset = middle;
        } else if place.sequence > sequence {
            high = Point {
                sequence: place.sequence,
                offset: seen.offset,
            };
        } else {
            let front = Point {
                sequence: place.sequence.saturating_sub(place.index.into()),
                offset: seen.offset - i64::from(place.index),
            };
            if sequence < front.sequence + u64::from(place.count) {
                // In this very batch, unless it is torn; then it follows soon after.
                low = front;
                break;
            }
            // Goes on from what was seen, not from the front, so that every step counts.
            low = Point {
                sequence: place.sequence,
                offset: seen.offset,
            };
        }
    }
    let mut from = low.offset;
    let found = loop {
        let entries = stream.read(shard, from, from, end.next_offset, 1)?;
        let Some(stored) = entries.into_iter().next() else {
            break None;
        };
        index.note(&stored);
        let entry = &stored.entry;
        if (entry.first_sequence..entry.next_sequence()).contains(&sequence) {
            break Some(stored);
        }
        if entry.first_sequence > sequence {
            break None;
        }
        from = stored.next_offset;
    };
    stream.rest();
    Ok(found)
}

/// The first message at or after `offset`.
fn probe(
    stream: &mut Stream,
    shard: u32,
    offset: i64,
    end: End,
) -> Result<Option<Point>, LogError> {
    let Some(seen) = stream.first_at(shard, offset, end.next_offset)? else {
        return Ok(None);
    };
    let place = seen.place.map_err(|what| LogError::Damaged {
        shard,
        position: position(seen.offset),
        what: format!("a message that is no record of this log: {what}"),
    })?;
    Ok(Some(Point {
        sequence: place.sequence,
        offset: seen.offset,
    }))
}
