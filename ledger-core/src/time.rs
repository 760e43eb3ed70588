//! Instants and days. Core never asks a clock; the driver says what time it is.

use std::fmt;

/// A UTC instant in microseconds since 1970-01-01. Finer input is truncated before it gets here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest instant that RFC 3339 and protobuf can both say.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the latest.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// `micros` since the epoch; `None` outside [`Self::MIN`]..=[`Self::MAX`].
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return None;
        }
        Some(Self(micros))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant moved by `micros`, held inside the range of years 1 to 9999.
    pub const fn saturating_add(self, micros: i64) -> Self {
        let moved = self.0.saturating_add(micros);
        if moved < Self::MIN.0 {
            Self::MIN
        } else if moved > Self::MAX.0 {
            Self::MAX
        } else {
            Self(moved)
        }
    }

    /// The UTC day that this instant lies in.
    pub const fn utc_day(self) -> Day {
        Day(self.0.div_euclid(86_400_000_000) as i32)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with microseconds where they are not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.utc_day();
        let micros = self.0 - day.start().0;
        let seconds = micros / 1_000_000;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}")?;
        match micros % 1_000_000 {
            0 => f.write_str("Z"),
            fraction => write!(f, ".{fraction:06}Z"),
        }
    }
}

/// A calendar day as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub i32);

impl Day {
    /// Midnight UTC at the start of this day.
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as i64 * 86_400_000_000)
    }

    /// Year and month (1 to 12) in the proleptic Gregorian calendar.
    pub const fn year_month(self) -> (i32, u8) {
        let (year, month, _) = self.year_month_day();
        (year, month)
    }

    /// Year, month and day of month (1 to 31) in the proleptic Gregorian calendar (Hinnant's
    /// `civil_from_days`).
    pub const fn year_month_day(self) -> (i32, u8, u8) {
        let z = self.0 as i64 + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
        (year as i32, month as u8, day as u8)
    }
}

impl fmt::Display for Day {
    /// RFC 3339, `2026-03-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.year_month_day();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// When a command is decided: the engine's instant, and the day that it counts for in the
/// ledger's own calendar. The driver computes `business_date` from the ledger's time zone and
/// cut-off, so that replay needs no time zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Moment {
    /// The engine's time; never goes back within a log.
    pub recorded_at: Timestamp,
    /// The ledger's calendar day at `recorded_at`.
    pub business_date: Day,
}
