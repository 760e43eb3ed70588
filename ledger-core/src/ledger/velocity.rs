//! Velocity counters: gross flow in windows of time.
//!
//! What counts: every posting of a created transaction or hold, when it is made, also under
//! `RECORD_ONLY`; and what a capture takes over its hold, when it takes it. Captures within the
//! hold and reversals count nothing. What a hold releases is given back to the bucket that
//! counted it, where that bucket still lives.
//!
//! Invariant: each counter of an account counts what every open hold on it still reserves, in the
//! bucket of the moment that the hold was made in. So giving back never takes what another
//! transaction counted; a limit that is set later starts with what open holds reserve.

use crate::account::{Direction, NormalSide, VelocityLimit, VelocityWindow};
use crate::amount::Amount;
use crate::time::Moment;

/// Flow of one account in one direction, by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counter {
    /// (bucket, amount), by bucket; none is zero.
    buckets: Vec<(i64, Amount)>,
}

impl Counter {
    /// The counter of these buckets, when they stand in order.
    pub(crate) fn from_buckets(buckets: Vec<(i64, Amount)>) -> Option<Self> {
        let sound = buckets.is_sorted_by(|a, b| a.0 < b.0)
            && buckets.iter().all(|(_, amount)| !amount.is_zero());
        sound.then_some(Self { buckets })
    }

    pub(crate) fn buckets(&self) -> &[(i64, Amount)] {
        &self.buckets
    }

    /// What counts in `window` at `at`.
    pub(crate) fn counted(&self, window: VelocityWindow, at: Moment) -> Amount {
        let now = bucket(window, at);
        let from = now - depth(window);
        // Sums stay below the totals of the account, which stay below the largest amount.
        self.buckets
            .iter()
            .filter(|(bucket, _)| (from..=now).contains(bucket))
            .fold(Amount::ZERO, |sum, (_, amount)| {
                sum.checked_add(*amount).unwrap_or(Amount::MAX)
            })
    }

    /// Counts `amount` in the bucket of `made`, and lets go of buckets that are dead at `now`.
    pub(crate) fn count(
        &mut self,
        window: VelocityWindow,
        made: Moment,
        now: Moment,
        amount: Amount,
    ) {
        let oldest = bucket(window, now) - kept(window);
        self.buckets.retain(|(bucket, _)| *bucket >= oldest);
        let bucket = bucket(window, made);
        if amount.is_zero() || bucket < oldest {
            return;
        }
        match self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(place) => {
                let counted = &mut self.buckets[place].1;
                *counted = counted.checked_add(amount).unwrap_or(Amount::MAX);
            }
            Err(place) => self.buckets.insert(place, (bucket, amount)),
        }
    }

    /// Gives `amount` back to the bucket of `made`, where it still lives.
    pub(crate) fn give_back(&mut self, window: VelocityWindow, made: Moment, amount: Amount) {
        let bucket = bucket(window, made);
        if let Ok(place) = self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            let left = self.buckets[place]
                .1
                .checked_sub(amount)
                .unwrap_or_default();
            if left.is_zero() {
                self.buckets.remove(place);
            } else {
                self.buckets[place].1 = left;
            }
        }
    }
}

/// The bucket of `window` that `at` lies in.
fn bucket(window: VelocityWindow, at: Moment) -> i64 {
    match window {
        VelocityWindow::CalendarDay => i64::from(at.business_date.0),
        VelocityWindow::CalendarMonth => {
            let (year, month) = at.business_date.year_month();
            i64::from(year) * 12 + i64::from(month) - 1
        }
        // Rounded up: sixty buckets are never shorter than the window.
        VelocityWindow::Rolling { seconds } => {
            const BUCKETS: i64 = VelocityWindow::ROLLING_BUCKETS;
            let width = (i64::from(seconds) * 1_000_000 + BUCKETS - 1) / BUCKETS;
            at.recorded_at.micros().div_euclid(width)
        }
    }
}

/// How many buckets before the present one count: of a rolling window sixty whole ones.
fn depth(window: VelocityWindow) -> i64 {
    match window {
        VelocityWindow::CalendarDay | VelocityWindow::CalendarMonth => 0,
        VelocityWindow::Rolling { .. } => VelocityWindow::ROLLING_BUCKETS,
    }
}

/// How many buckets before the present one live on. A calendar keeps the day or month before:
/// where clocks are set back across the ledger's cut-off, its date goes back too.
fn kept(window: VelocityWindow) -> i64 {
    depth(window).max(1)
}

/// What of debits and credits flows in `direction` on an account of `side`.
pub(crate) fn flow(
    side: NormalSide,
    direction: Direction,
    debited: Amount,
    credited: Amount,
) -> Amount {
    match (side, direction) {
        (NormalSide::Debit, Direction::Inflow) | (NormalSide::Credit, Direction::Outflow) => {
            debited
        }
        (NormalSide::Debit, Direction::Outflow) | (NormalSide::Credit, Direction::Inflow) => {
            credited
        }
    }
}

/// What an open hold still reserves on one account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) made: Moment,
    pub(crate) debits: Amount,
    pub(crate) credits: Amount,
}

/// The counters after a change of limits: a limit of the same direction and window counts on,
/// whatever its amount; a new one starts with what open holds reserve.
pub(crate) fn recount(
    before: (&[VelocityLimit], &[Counter]),
    after: &[VelocityLimit],
    side: NormalSide,
    now: Moment,
    reserved: impl Fn() -> Vec<Reserved>,
) -> Vec<Counter> {
    let kept_on = |limit: &VelocityLimit| {
        before.0.iter().zip(before.1).find_map(|(old, counter)| {
            (old.direction == limit.direction && old.window == limit.window)
                .then(|| counter.clone())
        })
    };
    after
        .iter()
        .map(|limit| {
            kept_on(limit).unwrap_or_else(|| {
                let mut counter = Counter::default();
                for hold in reserved() {
                    let amount = flow(side, limit.direction, hold.debits, hold.credits);
                    counter.count(limit.window, hold.made, now, amount);
                }
                counter
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Day, Timestamp};

    fn at(seconds: i64, day: i32) -> Moment {
        Moment {
            recorded_at: Timestamp::from_micros(seconds * 1_000_000).unwrap(),
            business_date: Day(day),
        }
    }

    fn amount(units: u128) -> Amount {
        Amount::new(units).unwrap()
    }

    #[test]
    fn a_rolling_window_counts_at_least_its_time_and_at_most_a_bucket_more() {
        let window = VelocityWindow::Rolling { seconds: 600 };
        for second in 0..20 {
            let mut counter = Counter::default();
            let made = at(6_000 + second, 0);
            counter.count(window, made, made, amount(5));
            assert_eq!(
                counter.counted(window, at(6_000 + second + 600, 0)),
                amount(5)
            );
            assert_eq!(
                counter.counted(window, at(6_000 + second + 611, 0)),
                Amount::ZERO
            );
        }
    }

    #[test]
    fn a_window_that_sixty_does_not_divide_is_never_too_short() {
        let window = VelocityWindow::Rolling { seconds: 61 };
        for second in 0..200 {
            let mut counter = Counter::default();
            counter.count(window, at(second, 0), at(second, 0), amount(1));
            assert_eq!(counter.counted(window, at(second + 61, 0)), amount(1));
        }
    }

    #[test]
    fn a_rolling_counter_stays_small() {
        let window = VelocityWindow::Rolling { seconds: 60 };
        let mut counter = Counter::default();
        for second in 0..10_000 {
            counter.count(window, at(second, 0), at(second, 0), amount(1));
        }
        assert_eq!(counter.buckets().len(), 61);
    }

    #[test]
    fn days_and_months_begin_anew() {
        for (window, same, next) in [
            (VelocityWindow::CalendarDay, 30, 31),
            (VelocityWindow::CalendarMonth, 30, 31),
        ] {
            let mut counter = Counter::default();
            counter.count(window, at(0, 30), at(0, 30), amount(7));
            assert_eq!(counter.counted(window, at(0, same)), amount(7));
            assert_eq!(counter.counted(window, at(0, next)), Amount::ZERO);
        }
    }

    #[test]
    fn a_date_that_goes_back_finds_its_count_again() {
        let window = VelocityWindow::CalendarDay;
        let mut counter = Counter::default();
        counter.count(window, at(0, 10), at(0, 10), amount(7));
        counter.count(window, at(0, 11), at(0, 11), amount(1));
        assert_eq!(counter.counted(window, at(0, 10)), amount(7));
    }

    #[test]
    fn giving_back_to_a_dead_bucket_takes_nothing_from_others() {
        let window = VelocityWindow::CalendarDay;
        let mut counter = Counter::default();
        counter.count(window, at(0, 10), at(0, 10), amount(7));
        counter.count(window, at(0, 20), at(0, 20), amount(5));
        counter.give_back(window, at(0, 10), amount(7));
        assert_eq!(counter.buckets(), [(20, amount(5))]);
    }
}
