//! What an account is held to. Unset means no bound.

use crate::amount::Amount;
use crate::invalid::Invalid;
use crate::limits::VELOCITY_LIMITS_MAX;

/// Limits of one account. They judge current balances, never past dates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Limits {
    /// Least `available`, tested when it falls; an overdraft is below zero.
    pub minimum: Option<i128>,
    /// Most `posted + pending in`, tested when it grows.
    pub maximum: Option<i128>,
    /// Most that one transaction may move on the account in either direction (gross, per
    /// direction).
    pub per_transaction: Option<Amount>,
    /// Most that may flow in a time.
    pub velocity: Vec<VelocityLimit>,
}

impl Limits {
    /// Checks that the limits can be kept at all.
    ///
    /// # Errors
    /// [`Invalid`] names the limit.
    pub fn check(&self) -> Result<(), Invalid> {
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum)
            && minimum > maximum
        {
            return Err(Invalid::new("minimum is above maximum"));
        }
        if self.velocity.len() > VELOCITY_LIMITS_MAX {
            return Err(Invalid::new(format!(
                "{} velocity limits; at most {VELOCITY_LIMITS_MAX} are allowed",
                self.velocity.len()
            )));
        }
        for limit in &self.velocity {
            limit.window.check()?;
        }
        Ok(())
    }
}

/// Most gross flow in one direction in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VelocityLimit {
    /// Which flow is counted.
    pub direction: Direction,
    /// The time that it is counted over.
    pub window: VelocityWindow,
    /// The most that may flow.
    pub amount: Amount,
}

/// A direction of flow, seen from the account's normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Lowers the balance.
    Outflow,
    /// Raises the balance.
    Inflow,
}

/// The time that a velocity limit counts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VelocityWindow {
    /// A calendar day by `business_date`.
    CalendarDay,
    /// A calendar month by `business_date`.
    CalendarMonth,
    /// The last so many seconds by `recorded_at`, counted in 60 equal buckets: what is counted
    /// is at least the window and at most one bucket more.
    Rolling {
        /// 60 seconds to 31 days.
        seconds: u32,
    },
}

impl VelocityWindow {
    /// Buckets that a rolling window is counted in.
    pub const ROLLING_BUCKETS: i64 = 60;

    fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Rolling { seconds } if !(60..=31 * 86_400).contains(seconds) => {
                Err(Invalid::new(format!(
                    "a rolling window of {seconds} s is outside of 60 s to 31 days"
                )))
            }
            _ => Ok(()),
        }
    }
}
