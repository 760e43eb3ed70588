//! Amounts in minor units.

use std::fmt;

use crate::invalid::Invalid;
use crate::limits::AMOUNT_MAX;

/// A number of minor units (cents of `USD/2`), at most `i128::MAX`. Not negative: which way
/// money goes is said by debit and credit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount, `i128::MAX` minor units.
    pub const MAX: Self = Self(AMOUNT_MAX);

    /// `minor_units`, or `None` above `i128::MAX`.
    pub const fn new(minor_units: u128) -> Option<Self> {
        if minor_units > AMOUNT_MAX {
            return None;
        }
        Some(Self(minor_units))
    }

    /// The number of minor units.
    pub const fn minor_units(self) -> u128 {
        self.0
    }

    /// True for zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above `i128::MAX`.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// The difference, or `None` below zero.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// `self - other`, signed.
    pub const fn signed_sub(self, other: Self) -> i128 {
        self.0 as i128 - other.0 as i128
    }

    /// Reads decimal digits, as amounts stand on the wire.
    ///
    /// # Errors
    /// [`Invalid`] when `text` is not 1 to 39 ASCII digits or is above `i128::MAX`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Invalid::new(format!(
                "{text:?} is not a whole number of minor units in decimal digits"
            )));
        }
        text.parse::<u128>()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| {
                Invalid::new(format!("{text} is above the largest amount, {AMOUNT_MAX}"))
            })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
