//! Business dates: which day of a ledger's own calendar an instant counts for.

use jiff::civil;
use jiff::tz::TimeZone;
use ledger_core::time::{Day, Timestamp};

/// The time zone of a ledger is not known to this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the time zone {0:?} is not known here")]
pub struct UnknownTimeZone(pub String);

/// The calendar of one ledger. Remembers the stretch of time in which the date does not change,
/// so that the hot path does no time zone arithmetic.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    cut_off_seconds: u32,
    from: Timestamp,
    until: Timestamp,
    day: Day,
}

impl Calendar {
    /// The calendar of the IANA zone `time_zone` (UTC when empty), whose business days begin
    /// `cut_off_seconds` after local midnight; 0 is midnight.
    ///
    /// # Errors
    /// [`UnknownTimeZone`].
    pub fn new(time_zone: &str, cut_off_seconds: u32) -> Result<Self, UnknownTimeZone> {
        let zone = match time_zone {
            "" | "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| UnknownTimeZone(name.to_owned()))?,
        };
        Ok(Self {
            zone,
            cut_off_seconds,
            from: Timestamp::MAX,
            until: Timestamp::MIN,
            day: Day(0),
        })
    }

    /// The business date of `at`: the last day that has begun. Never goes back as time goes on,
    /// not even where local clocks do.
    pub fn business_date(&mut self, at: Timestamp) -> Day {
        if self.from <= at && at < self.until {
            return self.day;
        }
        // Instants that the calendar cannot place (the last hours of year 9999) count by UTC.
        match self.place(at) {
            Some((from, until, day)) => {
                (self.from, self.until, self.day) = (from, until, day);
                day
            }
            None => at.utc_day(),
        }
    }

    fn place(&self, at: Timestamp) -> Option<(Timestamp, Timestamp, Day)> {
        let local = jiff::Timestamp::from_microsecond(at.micros())
            .ok()?
            .to_zoned(self.zone.clone());
        let mut date = local.date();
        while self.begin(date)? > at {
            date = date.yesterday().ok()?;
        }
        while self.begin(date.tomorrow().ok()?)? <= at {
            date = date.tomorrow().ok()?;
        }
        let day = Day((date - EPOCH).get_days());
        Some((self.begin(date)?, self.begin(date.tomorrow().ok()?)?, day))
    }

    /// When business day `date` begins: at local midnight, or at the cut-off of the day before.
    /// Where local clocks skip that time it begins with the skip, where they repeat it at the
    /// first of the two.
    fn begin(&self, date: civil::Date) -> Option<Timestamp> {
        let local = if self.cut_off_seconds == 0 {
            date.at(0, 0, 0, 0)
        } else {
            let seconds = i64::from(self.cut_off_seconds);
            date.yesterday()
                .ok()?
                .at(0, 0, 0, 0)
                .checked_add(jiff::SignedDuration::from_secs(seconds))
                .ok()?
        };
        let instant = self.zone.to_ambiguous_timestamp(local).compatible().ok()?;
        Timestamp::from_micros(instant.as_microsecond())
    }
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(instant.as_microsecond()).unwrap()
    }

    fn date_of(zone: &str, cut_off: u32, instant: &str) -> String {
        let mut calendar = Calendar::new(zone, cut_off).unwrap();
        let day = calendar.business_date(at(instant));
        // The second answer comes from what is remembered.
        assert_eq!(calendar.business_date(at(instant)), day);
        (EPOCH + jiff::Span::new().days(day.0)).to_string()
    }

    #[test]
    fn dates_by_zone_and_cut_off() {
        let noon_cut = 17 * 3600;
        for (zone, cut_off, instant, date) in [
            ("UTC", 0, "2026-03-01T23:59:59.999999Z", "2026-03-01"),
            ("UTC", 0, "2026-03-02T00:00:00Z", "2026-03-02"),
            ("", 0, "1969-12-31T23:59:59Z", "1969-12-31"),
            ("Europe/Prague", 0, "2026-01-01T22:59:59Z", "2026-01-01"),
            ("Europe/Prague", 0, "2026-01-01T23:00:00Z", "2026-01-02"),
            ("Europe/Prague", 0, "2026-07-01T22:00:00Z", "2026-07-02"),
            (
                "America/New_York",
                noon_cut,
                "2026-01-05T21:59:59Z",
                "2026-01-05",
            ),
            (
                "America/New_York",
                noon_cut,
                "2026-01-05T22:00:00Z",
                "2026-01-06",
            ),
            // Local 02:30 is skipped on 2026-03-29: the day begins with the skip.
            ("Europe/Prague", 9000, "2026-03-29T01:29:59Z", "2026-03-29"),
            ("Europe/Prague", 9000, "2026-03-29T01:30:00Z", "2026-03-30"),
            // Local 02:30 comes twice on 2026-10-25: the first one counts, and stays.
            ("Europe/Prague", 9000, "2026-10-25T00:29:59Z", "2026-10-25"),
            ("Europe/Prague", 9000, "2026-10-25T00:30:00Z", "2026-10-26"),
            ("Europe/Prague", 9000, "2026-10-25T01:15:00Z", "2026-10-26"),
            // Samoa had no 2011-12-30.
            ("Pacific/Apia", 0, "2011-12-30T09:59:59Z", "2011-12-29"),
            ("Pacific/Apia", 0, "2011-12-30T10:00:00Z", "2011-12-31"),
        ] {
            assert_eq!(
                date_of(zone, cut_off, instant),
                date,
                "{zone} {cut_off} {instant}"
            );
        }
    }

    #[test]
    fn the_date_never_goes_back() {
        for (zone, cut_off) in [
            ("Europe/Prague", 9000),
            ("Pacific/Apia", 100),
            ("Asia/Kolkata", 0),
        ] {
            let mut calendar = Calendar::new(zone, cut_off).unwrap();
            let mut last = Day(i32::MIN);
            let mut instant = at("2011-10-01T00:00:00Z");
            while instant < at("2012-04-01T00:00:00Z") {
                let day = calendar.business_date(instant);
                assert!(day >= last, "{zone}");
                last = day;
                instant = instant.saturating_add(613 * 1_000_000);
            }
        }
    }

    #[test]
    fn an_unknown_zone_is_an_error() {
        assert!(Calendar::new("Middle/Earth", 0).is_err());
    }
}
