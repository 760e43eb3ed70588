//! Where the end of a shard is, and where a sequence is.

use ports::log::LogError;

use super::assemble::{Stored, position};
use super::index::{Index, Point};
use super::place::Place;
use super::stream::{Seen, Stream};
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
    loop {
        let (offsets, sequences) = (high.offset - low.offset, high.sequence - low.sequence);
        // Records are about evenly spread; where that is wrong, halving helps.
        let share = (sequence - low.sequence) as f64 / sequences.max(1) as f64;
        let ahead = match halve {
            true => offsets / 2,
            false => (offsets as f64 * share) as i64 - NEAR / 2,
        };
        let last = offsets <= NEAR || sequences <= 1;
        if last || ahead <= NEAR {
            let limit = match last {
                true => i64::MAX,
                false => low.offset.saturating_add(NEAR * 2),
            };
            match walk(stream, index, shard, sequence, low.offset, limit, end)? {
                Walk::Over(found) => return Ok(found),
                Walk::At(point) => low = point,
            }
            halve = true;
            continue;
        }
        halve = !halve;
        let middle = low.offset + ahead.clamp(1, offsets - 1);
        let Some(seen) = stream.first_at(shard, middle, end.next_offset)? else {
            high.offset = middle;
            continue;
        };
        let place = good(shard, &seen)?;
        if seen.offset >= high.offset {
            high.offset = middle;
        } else if place.sequence > sequence {
            high = Point {
                sequence: place.sequence,
                offset: seen.offset,
            };
        } else {
            let index_in_batch = u64::from(place.index);
            let front = seen.offset - i64::from(place.index);
            let first = place.sequence.saturating_sub(index_in_batch);
            if sequence < first + u64::from(place.count) {
                // In this very batch, unless it is torn; then it follows soon after.
                let over = walk(stream, index, shard, sequence, front, i64::MAX, end)?;
                return Ok(match over {
                    Walk::Over(found) => found,
                    Walk::At(_) => None,
                });
            }
            low = Point {
                sequence: place.sequence,
                offset: seen.offset,
            };
        }
    }
}

/// What came of reading one entry after another.
enum Walk {
    /// The entry was found, or it was passed by and is not there.
    Over(Option<Stored>),
    /// It stands after this.
    At(Point),
}

/// Reads entries from offset `from` on, until one holds `sequence` or stands beyond `limit`.
fn walk(
    stream: &mut Stream,
    index: &Index,
    shard: u32,
    sequence: u64,
    from: i64,
    limit: i64,
    end: End,
) -> Result<Walk, LogError> {
    let mut from = from;
    let over = loop {
        let entries = stream.read(shard, from, from, end.next_offset, 1)?;
        let Some(stored) = entries.into_iter().next() else {
            break Walk::Over(None);
        };
        index.note(&stored);
        let entry = &stored.entry;
        if (entry.first_sequence..entry.next_sequence()).contains(&sequence) {
            break Walk::Over(Some(stored));
        }
        if entry.first_sequence > sequence {
            break Walk::Over(None);
        }
        from = stored.next_offset;
        if from > limit {
            break Walk::At(Point {
                sequence: entry.next_sequence(),
                offset: stored.next_offset,
            });
        }
    };
    if let Walk::Over(_) = over {
        stream.rest();
    }
    Ok(over)
}

fn good(shard: u32, seen: &Seen) -> Result<Place, LogError> {
    seen.place.map_err(|what| LogError::Damaged {
        shard,
        position: position(seen.offset),
        what: format!("a message that is no record of this log: {what}"),
    })
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
    let place = good(shard, &seen)?;
    Ok(Some(Point {
        sequence: place.sequence,
        offset: seen.offset,
    }))
}
