//! The clock, as an argument: the writer's machine never asks one itself.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger_core::time::Timestamp;

/// Says what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, by wall time. May jump both ways; the writer guards itself.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
        };
        Timestamp::MIN.saturating_add(micros.saturating_sub(Timestamp::MIN.micros()))
    }
}
