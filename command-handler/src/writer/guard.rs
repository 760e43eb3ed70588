//! Guards against a clock that cannot be right.

use ledger_core::time::Timestamp;

/// The clock may be this far behind the log's last record, in microseconds.
pub const BEHIND_MICROS_MAX: i64 = 5 * 60 * 1_000_000;
/// The clock may be this far ahead of what was last seen, in microseconds.
pub const AHEAD_MICROS_MAX: i64 = 24 * 3_600 * 1_000_000;

/// A clock that the writer does not serve by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// `CLOCK_BEHIND_LOG`: records made now would carry times long past.
    #[error("CLOCK_BEHIND_LOG: the clock is {seconds} s behind the log's last record")]
    Behind {
        /// By how much.
        seconds: i64,
    },
    /// `CLOCK_AHEAD_OF_LOG`: either nothing was recorded for long, or the clock is wrong; once
    /// recorded, a time cannot be taken back.
    #[error(
        "CLOCK_AHEAD_OF_LOG: the clock is {seconds} s ahead of the log's last record; if it is right, start with --accept-clock"
    )]
    Ahead {
        /// By how much.
        seconds: i64,
    },
}

impl ClockFault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "CLOCK_BEHIND_LOG",
            Self::Ahead { .. } => "CLOCK_AHEAD_OF_LOG",
        }
    }
}

/// Watches the clock against the log and against itself.
#[derive(Debug, Clone)]
pub struct ClockGuard {
    accept: bool,
    /// The latest time that was believed: of the log's last record, then of ticks, so that a
    /// log that is idle for days while it is served is no fault.
    seen: Option<Timestamp>,
    now: Timestamp,
    fault: Option<ClockFault>,
}

impl ClockGuard {
    /// A guard of a log whose last record is of `last`. `accept` says that a clock far ahead
    /// is right.
    pub const fn new(last: Option<Timestamp>, accept: bool) -> Self {
        Self {
            accept,
            seen: last,
            now: Timestamp::MIN,
            fault: None,
        }
    }

    /// Takes the clock's word, where it can be right. `last` is the time of the last record.
    ///
    /// # Errors
    /// [`ClockFault`]; the time of before goes on to be [`Self::now`].
    pub fn observe(&mut self, now: Timestamp, last: Option<Timestamp>) -> Result<(), ClockFault> {
        self.fault = self.judge(now, last);
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.now = now;
        self.seen = self.seen.max(Some(now)).max(last);
        Ok(())
    }

    fn judge(&self, now: Timestamp, last: Option<Timestamp>) -> Option<ClockFault> {
        if let Some(last) = last
            && last.micros() - now.micros() > BEHIND_MICROS_MAX
        {
            let seconds = (last.micros() - now.micros()) / 1_000_000;
            return Some(ClockFault::Behind { seconds });
        }
        if let Some(seen) = self.seen.max(last)
            && !self.accept
            && now.micros() - seen.micros() > AHEAD_MICROS_MAX
        {
            let seconds = (now.micros() - seen.micros()) / 1_000_000;
            return Some(ClockFault::Ahead { seconds });
        }
        None
    }

    /// The clock's last word that was believed.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Why the clock is not believed at present.
    pub const fn fault(&self) -> Option<ClockFault> {
        self.fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * 1_000_000;

    fn t(hours: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + hours * HOUR).unwrap()
    }

    #[test]
    fn a_clock_behind_the_log_is_refused_until_it_is_right_again() {
        let mut guard = ClockGuard::new(Some(t(10)), false);
        assert!(
            guard
                .observe(t(10).saturating_add(-BEHIND_MICROS_MAX), Some(t(10)))
                .is_ok()
        );
        let fault = guard
            .observe(t(10).saturating_add(-BEHIND_MICROS_MAX - 1), Some(t(10)))
            .unwrap_err();
        assert!(matches!(fault, ClockFault::Behind { seconds: 300 }));
        assert!(guard.fault().is_some());
        assert!(guard.observe(t(11), Some(t(10))).is_ok());
        assert!(guard.fault().is_none());
    }

    #[test]
    fn a_clock_far_ahead_must_be_accepted() {
        assert!(matches!(
            ClockGuard::new(Some(t(0)), false).observe(t(25), Some(t(0))),
            Err(ClockFault::Ahead { seconds: 90_000 })
        ));
        assert!(
            ClockGuard::new(Some(t(0)), true)
                .observe(t(25), Some(t(0)))
                .is_ok()
        );
        assert!(ClockGuard::new(None, false).observe(t(25), None).is_ok());
    }

    #[test]
    fn a_log_that_is_idle_while_it_is_served_is_no_fault_but_a_jump_is() {
        let mut guard = ClockGuard::new(Some(t(0)), false);
        for hour in 1..100 {
            assert!(guard.observe(t(hour), Some(t(0))).is_ok());
        }
        assert!(guard.observe(t(124), Some(t(0))).is_err());
        assert!(guard.observe(t(100), Some(t(0))).is_ok());
        assert_eq!(guard.now(), t(100));
    }
}
