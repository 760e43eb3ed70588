//! What is known of the end of a shard: the next sequence, and the entries that were committed
//! or read last. So a record that this process wrote is not fetched again by everyone in it who
//! follows the log, and a record that another process wrote is fetched once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ports::log::{LogEntry, Position};
use tokio::sync::watch;

use super::assemble::{Stored, offset};

/// A writer that has committed nothing for so long may have been deposed without its knowing, or
/// waits for its shard to be given back: whoever reads looks for what others have committed.
const IDLE: Duration = Duration::from_secs(1);

/// How far a shard is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Offset after the last message.
    pub(crate) next_offset: i64,
    /// Sequence after the last record.
    pub(crate) next_sequence: u64,
    /// Epoch of the last message.
    pub(crate) epoch: u64,
}

/// What the tail says to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The entries from there on, as many as were asked for.
    Entries(Vec<LogEntry>),
    /// There is nothing that far, as far as is known.
    Nothing,
    /// They are not held any more; there is something before this offset.
    Before(i64),
}

struct State {
    entries: VecDeque<Stored>,
    bytes: usize,
    /// All entries at or after this offset are held.
    covers_from: i64,
    end: End,
    /// The claim whose writer commits here now, and when it was last seen to.
    writer: Option<(u64, Instant)>,
    claims: u64,
    /// True while the follower reads behind the end.
    followed: bool,
}

/// See the module.
pub(crate) struct Tail {
    state: Mutex<State>,
    next: watch::Sender<u64>,
    bytes_max: usize,
}

impl Tail {
    /// A shard that ends at `end`; holds about `bytes_max` at most.
    pub(crate) fn new(end: End, bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                entries: VecDeque::new(),
                bytes: 0,
                covers_from: end.next_offset,
                end,
                writer: None,
                claims: 0,
                followed: false,
            }),
            next: watch::Sender::new(end.next_sequence),
            bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.next.receiver_count() > 0
    }

    pub(crate) fn end(&self) -> End {
        self.state().end
    }

    /// True where the end moves by itself, since a writer or the follower moves it.
    pub(crate) fn is_live(&self) -> bool {
        let state = self.state();
        state.is_written() || state.followed
    }

    /// True where a writer of this process moves the end.
    pub(crate) fn is_written(&self) -> bool {
        self.state().is_written()
    }

    /// The follower begins or ceases to move the end.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.state().followed = followed;
    }

    /// The end is there: it was looked up. Nothing happens where more is known already.
    pub(crate) fn found(&self, end: End) {
        let mut state = self.state();
        if end.next_offset > state.end.next_offset && !state.is_written() {
            state.forget(end);
            drop(state);
            self.tell(end.next_sequence);
        }
    }

    /// A claim's barrier was committed, and `end` was what stood before it. Gives the number that
    /// the claim's writer commits with.
    pub(crate) fn claimed(&self, end: End, barrier: Stored) -> u64 {
        let mut state = self.state();
        state.claims += 1;
        let claim = state.claims;
        state.writer = Some((claim, Instant::now()));
        state.forget(End {
            next_offset: barrier.first_offset(),
            ..end
        });
        state.push(barrier, self.bytes_max);
        let next = state.end.next_sequence;
        drop(state);
        self.tell(next);
        claim
    }

    /// The writer of `claim` committed an entry. `alone` where nothing can stand between it and
    /// the end but the marker of the transaction before.
    pub(crate) fn committed(&self, claim: u64, stored: Stored, alone: bool) {
        let mut state = self.state();
        match &mut state.writer {
            Some((writer, seen)) if *writer == claim => *seen = Instant::now(),
            _ => return,
        }
        // The follower was first.
        if stored.first_offset() < state.end.next_offset {
            return;
        }
        if !alone || stored.first_offset() != state.end.next_offset + 1 {
            // Something of another's stands there: whoever reads it is to see it.
            let end = End {
                next_offset: stored.first_offset(),
                ..state.end
            };
            state.forget(end);
        }
        state.push(stored, self.bytes_max);
        if !alone {
            let end = state.end;
            state.forget(end);
        }
        let next = state.end.next_sequence;
        drop(state);
        self.tell(next);
    }

    /// The writer of `claim` is gone.
    pub(crate) fn released(&self, claim: u64) {
        let mut state = self.state();
        if state.writer.is_some_and(|(writer, _)| writer == claim) {
            state.writer = None;
        }
    }

    /// The follower read an entry. Refused where a writer moves the end, or it is known already.
    pub(crate) fn followed(&self, stored: Stored) {
        let mut state = self.state();
        if state.is_written() || stored.first_offset() < state.end.next_offset {
            return;
        }
        state.push(stored, self.bytes_max);
        let next = state.end.next_sequence;
        drop(state);
        self.tell(next);
    }

    /// The follower met a message at `offset` that is no part of the log: what stands there is
    /// left to those who read it.
    pub(crate) fn damaged(&self, offset: i64) {
        let mut state = self.state();
        if !state.is_written() && offset >= state.end.next_offset {
            let end = End {
                next_offset: offset + 1,
                ..state.end
            };
            state.forget(end);
        }
    }

    /// What stands before `offset` was deleted.
    pub(crate) fn trim(&self, offset: i64) {
        let state = &mut *self.state();
        while let Some(oldest) = state.entries.front()
            && oldest.first_offset() < offset
        {
            state.bytes -= cost(oldest);
            state.covers_from = oldest.next_offset;
            state.entries.pop_front();
        }
    }

    fn tell(&self, next_sequence: u64) {
        self.next.send_if_modified(|told| {
            let more = next_sequence > *told;
            *told = (*told).max(next_sequence);
            more
        });
    }

    /// Entries from `from`, about `bytes_max` at most.
    pub(crate) fn read(&self, from: Position, bytes_max: usize) -> Held {
        let from = offset(from);
        let state = self.state();
        if from >= state.end.next_offset {
            return Held::Nothing;
        }
        if from < state.covers_from {
            return Held::Before(state.end.next_offset);
        }
        let first = state
            .entries
            .partition_point(|stored| stored.first_offset() < from);
        let mut bytes = 0;
        let held = state.entries.iter().skip(first).take_while(|stored| {
            let one = bytes == 0;
            bytes += stored.entry.body.len().max(1);
            one || bytes <= bytes_max
        });
        let entries: Vec<_> = held.map(|stored| stored.entry.clone()).collect();
        match entries.is_empty() {
            true => Held::Nothing,
            false => Held::Entries(entries),
        }
    }

    /// The entry that holds `sequence`: itself, that there is none, or that the log has to be
    /// asked.
    pub(crate) fn entry_of(&self, sequence: u64) -> Held {
        let state = self.state();
        if sequence == 0 || sequence >= state.end.next_sequence {
            return Held::Nothing;
        }
        let after = state
            .entries
            .partition_point(|stored| stored.entry.first_sequence <= sequence);
        let mut before = state.entries.range(..after).rev();
        let last = before.find(|stored| stored.entry.record_count > 0);
        match last.filter(|stored| sequence < stored.entry.next_sequence()) {
            Some(stored) => Held::Entries(vec![stored.entry.clone()]),
            None => Held::Before(state.end.next_offset),
        }
    }
}

impl State {
    /// True where a writer of this process moves the end, and was seen to lately.
    fn is_written(&self) -> bool {
        self.writer.is_some_and(|(_, seen)| seen.elapsed() < IDLE)
    }

    fn forget(&mut self, end: End) {
        self.entries.clear();
        self.bytes = 0;
        self.covers_from = end.next_offset;
        self.end = end;
    }

    fn push(&mut self, stored: Stored, bytes_max: usize) {
        self.end = End {
            next_offset: stored.next_offset,
            next_sequence: stored.entry.next_sequence(),
            epoch: stored.epoch,
        };
        self.bytes += cost(&stored);
        self.entries.push_back(stored);
        while self.bytes > bytes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= cost(&oldest);
            self.covers_from = oldest.next_offset;
        }
    }
}

/// Memory that an entry takes, about.
fn cost(stored: &Stored) -> usize {
    stored.entry.body.len() + 128
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::assemble::position;
    use super::*;

    fn stored(first_offset: i64, first_sequence: u64, record_count: u32) -> Stored {
        Stored {
            entry: LogEntry {
                position: position(first_offset),
                first_sequence,
                record_count,
                body: Bytes::from(vec![0; 100]),
            },
            next_offset: first_offset + i64::from(record_count.max(1)),
            epoch: 1,
        }
    }

    fn end(next_offset: i64, next_sequence: u64) -> End {
        End {
            next_offset,
            next_sequence,
            epoch: 0,
        }
    }

    fn positions(held: Held) -> Vec<u64> {
        match held {
            Held::Entries(entries) => entries.iter().map(|entry| entry.position.0).collect(),
            other => panic!("not held: {other:?}"),
        }
    }

    #[test]
    fn what_was_committed_is_held() {
        let tail = Tail::new(end(0, 1), 10_000);
        let claim = tail.claimed(end(0, 1), stored(0, 1, 0));
        tail.committed(claim, stored(2, 1, 3), true);
        tail.committed(claim, stored(6, 4, 1), true);
        assert_eq!(positions(tail.read(Position(0), 10_000)), [1, 3, 7]);
        assert_eq!(positions(tail.read(Position(2), 10_000)), [3, 7]);
        assert_eq!(positions(tail.read(Position(2), 1)), [3]);
        assert_eq!(tail.read(Position(8), 10_000), Held::Nothing);
        assert_eq!(positions(tail.entry_of(3)), [3]);
        assert_eq!(positions(tail.entry_of(4)), [7]);
        assert_eq!(tail.entry_of(5), Held::Nothing);
        assert_eq!(*tail.watch().borrow(), 5);
    }

    #[test]
    fn what_may_hide_something_of_anothers_is_not_held() {
        let tail = Tail::new(end(0, 1), 10_000);
        let claim = tail.claimed(end(0, 1), stored(0, 1, 0));
        // Offset 2 is someone else's.
        tail.committed(claim, stored(3, 1, 1), true);
        assert_eq!(tail.read(Position(0), 10_000), Held::Before(4));
        assert_eq!(tail.read(Position(3), 10_000), Held::Before(4));
        assert_eq!(positions(tail.read(Position(4), 10_000)), [4]);
        // Something stands between its messages.
        tail.committed(claim, stored(5, 2, 2), false);
        assert_eq!(tail.read(Position(4), 10_000), Held::Before(7));
        assert_eq!(tail.end().next_sequence, 4);
    }

    #[test]
    fn memory_is_bounded() {
        let tail = Tail::new(end(0, 1), 1_000);
        for n in 0..100 {
            tail.followed(stored(n * 2, n as u64 + 1, 1));
        }
        assert_eq!(tail.read(Position(0), 10_000), Held::Before(199));
        assert_eq!(positions(tail.read(Position(197), 10_000)), [197, 199]);
        assert_eq!(positions(tail.entry_of(100)), [199]);
        assert_eq!(tail.entry_of(2), Held::Before(199));
    }

    #[test]
    fn an_idle_writer_hides_nothing_that_another_commits() {
        let tail = Tail::new(end(0, 1), 10_000);
        let claim = tail.claimed(end(0, 1), stored(0, 1, 0));
        tail.committed(claim, stored(2, 1, 1), true);
        assert!(tail.is_live());
        tail.state().writer = Instant::now().checked_sub(IDLE).map(|seen| (claim, seen));
        assert!(!tail.is_live(), "the end is looked up");
        tail.followed(stored(4, 2, 0));
        tail.followed(stored(6, 2, 1));
        assert_eq!(tail.end().next_sequence, 3);
        // Its own commit, which the follower has read already.
        tail.followed(stored(8, 3, 1));
        tail.committed(claim, stored(8, 3, 1), true);
        assert_eq!(positions(tail.read(Position(7), 10_000)), [7, 9]);
        tail.committed(claim, stored(10, 4, 1), true);
        assert_eq!(positions(tail.read(Position(7), 10_000)), [7, 9, 11]);
        assert!(tail.is_live());
    }

    #[test]
    fn only_one_moves_the_end() {
        let tail = Tail::new(end(0, 1), 10_000);
        tail.followed(stored(0, 1, 1));
        let old = tail.claimed(end(1, 2), stored(2, 2, 0));
        tail.followed(stored(4, 2, 1));
        assert_eq!(
            tail.end(),
            End {
                epoch: 1,
                ..end(3, 2)
            }
        );
        let new = tail.claimed(end(3, 2), stored(4, 2, 0));
        tail.committed(old, stored(6, 2, 1), true);
        assert_eq!(tail.end().next_sequence, 2);
        tail.released(old);
        assert!(tail.is_written());
        tail.released(new);
        assert!(!tail.is_live());
        tail.followed(stored(6, 2, 1));
        assert_eq!(tail.end().next_sequence, 3);
    }
}
