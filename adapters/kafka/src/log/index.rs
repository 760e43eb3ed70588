//! Where entries begin, as far as this process has seen: a look-up by sequence begins between
//! two known places instead of at the ends of the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::assemble::Stored;

/// Known places of a shard, at most.
const POINTS_MAX: usize = 4_096;

/// A message at `offset` has `sequence`, and begins an entry, or what may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) sequence: u64,
    pub(crate) offset: i64,
}

#[derive(Default)]
struct Points {
    /// Sequence to offset.
    known: BTreeMap<u64, i64>,
    /// Entries are noted that begin so many records after the last one that was.
    apart: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    points: Mutex<Points>,
}

impl Index {
    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where an entry begins.
    pub(crate) fn note(&self, stored: &Stored) {
        if stored.entry.record_count > 0 {
            self.note_point(Point {
                sequence: stored.entry.first_sequence,
                offset: stored.first_offset(),
            });
        }
    }

    fn note_point(&self, point: Point) {
        let mut points = self.points();
        let below = points.known.range(..=point.sequence).next_back();
        if below.is_some_and(|(known, _)| point.sequence - known < points.apart) {
            return;
        }
        points.known.insert(point.sequence, point.offset);
        if points.known.len() > POINTS_MAX {
            // Every other one goes; what is left is as good as evenly spread.
            let mut keep = false;
            points.known.retain(|_, _| {
                keep = !keep;
                keep
            });
            let span = match (
                points.known.first_key_value(),
                points.known.last_key_value(),
            ) {
                (Some((first, _)), Some((last, _))) => last - first,
                _ => 0,
            };
            points.apart = span / POINTS_MAX as u64 * 2;
        }
    }

    /// The known places around `sequence`: the last one at or before it, the first one after.
    pub(crate) fn around(&self, sequence: u64) -> (Option<Point>, Option<Point>) {
        let points = self.points();
        let point = |(sequence, offset): (&u64, &i64)| Point {
            sequence: *sequence,
            offset: *offset,
        };
        (
            points.known.range(..=sequence).next_back().map(point),
            points
                .known
                .range(sequence.saturating_add(1)..)
                .next()
                .map(point),
        )
    }

    /// Forgets places before `offset`: they were trimmed.
    pub(crate) fn trim(&self, offset: i64) {
        self.points().known.retain(|_, known| *known >= offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_around_a_sequence_are_known() {
        let index = Index::default();
        assert_eq!(index.around(5), (None, None));
        for (sequence, offset) in [(1, 1), (10, 20), (30, 50)] {
            index.note_point(Point { sequence, offset });
        }
        let at = |sequence, offset| Some(Point { sequence, offset });
        assert_eq!(index.around(0), (None, at(1, 1)));
        assert_eq!(index.around(10), (at(10, 20), at(30, 50)));
        assert_eq!(index.around(29), (at(10, 20), at(30, 50)));
        assert_eq!(index.around(u64::MAX), (at(30, 50), None));
        index.trim(20);
        assert_eq!(index.around(5), (None, at(10, 20)));
    }

    #[test]
    fn memory_is_bounded() {
        let index = Index::default();
        for n in 1..100_000 {
            index.note_point(Point {
                sequence: n,
                offset: n as i64 * 2,
            });
        }
        assert!(index.points().known.len() <= POINTS_MAX + 1);
        let (below, above) = index.around(50_000);
        let (below, above) = (below.expect("below"), above.expect("above"));
        assert!(above.sequence - below.sequence < 1_000);
    }
}
