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
    /// direction). Captures and reversals are not judged: what they move was judged before.
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
        for (place, limit) in self.velocity.iter().enumerate() {
            limit.window.check()?;
            let again = |other: &VelocityLimit| {
                other.direction == limit.direction && other.window == limit.window
            };
            if self.velocity[..place].iter().any(again) {
                return Err(Invalid::new(
                    "two velocity limits of the same direction and window",
                ));
            }
        }
        Ok(())
    }
}

/// A change of limits, each by itself: `None` leaves a limit as it is, `Some(None)` takes the
/// bound away. So an update of one limit cannot undo another's that it did not know of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct LimitsChange {
    /// See [`Limits::minimum`].
    pub minimum: Option<Option<i128>>,
    /// See [`Limits::maximum`].
    pub maximum: Option<Option<i128>>,
    /// See [`Limits::per_transaction`].
    pub per_transaction: Option<Option<Amount>>,
    /// The whole new list; see [`Limits::velocity`].
    pub velocity: Option<Vec<VelocityLimit>>,
}

impl LimitsChange {
    /// The change that makes all limits those of `limits`.
    pub fn replace_all(limits: Limits) -> Self {
        Self {
            minimum: Some(limits.minimum),
            maximum: Some(limits.maximum),
            per_transaction: Some(limits.per_transaction),
            velocity: Some(limits.velocity),
        }
    }

    /// `current` after this change. It may contradict itself: see [`Limits::check`].
    pub fn apply_to(&self, current: &Limits) -> Limits {
        Limits {
            minimum: self.minimum.unwrap_or(current.minimum),
            maximum: self.maximum.unwrap_or(current.maximum),
            per_transaction: self.per_transaction.unwrap_or(current.per_transaction),
            velocity: self
                .velocity
                .clone()
                .unwrap_or_else(|| current.velocity.clone()),
        }
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

impl Direction {
    /// As it stands in figures: `outflow` or `inflow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outflow => "outflow",
            Self::Inflow => "inflow",
        }
    }
}

/// The time that a velocity limit counts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VelocityWindow {
    /// A calendar day by `business_date`.
    CalendarDay,
    /// A calendar month by `business_date`.
    CalendarMonth,
    /// The last so many seconds by `recorded_at`, counted in buckets of a 60th of the window:
    /// 60 whole ones and the present one, so at least the window and at most one bucket more.
    Rolling {
        /// 60 seconds to 31 days.
        seconds: u32,
    },
}

impl VelocityWindow {
    /// Whole buckets that make up a rolling window.
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
