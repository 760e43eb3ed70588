//! Times as people write them, and as replies are shown.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use prost_types::Timestamp as Wire;

use super::failure::Failure;

/// Reads an instant: RFC 3339, `2026-11-23`, `2026-11-23T10:00`, `now`, or a span back from now
/// such as `-3d`. Without an offset it is UTC.
///
/// # Errors
/// A usage failure that shows the forms.
pub fn parse(text: &str) -> Result<Wire, Failure> {
    let text = text.trim();
    let instant = if text == "now" {
        Some(Timestamp::now())
    } else if let Some(span) = text.strip_prefix('-') {
        later(span).ok().map(|(now, then)| now - (then - now))
    } else {
        text.parse::<Timestamp>()
            .ok()
            .or_else(|| utc(text.parse::<DateTime>().ok()?))
            .or_else(|| utc(text.parse::<Date>().ok()?.to_datetime(Default::default())))
    };
    instant.map(wire).ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a time")).hint(
            "write 2026-11-23T10:00:00Z, 2026-11-23 (midnight UTC), now, or -3d (three days ago)",
        )
    })
}

fn utc(at: DateTime) -> Option<Timestamp> {
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn later(span: &str) -> Result<(Timestamp, Timestamp), jiff::Error> {
    let now = Zoned::now().with_time_zone(TimeZone::UTC);
    let then = now.checked_add(span.parse::<Span>()?)?;
    Ok((now.timestamp(), then.timestamp()))
}

/// The instant after a span such as `10m`, `36h` or `7d`.
///
/// # Errors
/// A usage failure that shows the form.
pub fn after(span: &str) -> Result<Wire, Failure> {
    later(span).map(|(_, then)| wire(then)).map_err(|_| {
        Failure::usage(format!(
            "{span:?} is not a span of time such as 10m, 36h or 7d"
        ))
    })
}

/// Reads a span such as `30s` or `2m` as a duration.
///
/// # Errors
/// Says what is wrong.
pub fn duration(span: &str) -> Result<std::time::Duration, String> {
    span.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|d| std::time::Duration::try_from(d).ok())
        .ok_or_else(|| format!("{span:?} is not a span of time such as 30s or 2m"))
}

fn wire(at: Timestamp) -> Wire {
    let micros = at.as_microsecond();
    Wire {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    }
}

/// Now, in the form of the API.
pub fn now() -> Wire {
    wire(Timestamp::now())
}

fn instant(at: &Wire) -> Option<DateTime> {
    let at = Timestamp::new(at.seconds, at.nanos).ok()?;
    Some(at.to_zoned(TimeZone::UTC).datetime())
}

/// `2026-11-23 10:27:41Z`, or only the date where it is midnight.
pub fn short(at: Option<&Wire>) -> String {
    match at.and_then(instant) {
        None => String::new(),
        Some(at) if at.time() == Default::default() => at.date().to_string(),
        Some(at) => at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    }
}

/// `2026-11-23 10:27:41.123456Z`.
pub fn exact(at: Option<&Wire>) -> String {
    at.and_then(instant)
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%S%.6fZ").to_string())
        .unwrap_or_default()
}

/// RFC 3339.
pub fn rfc3339(at: Option<&Wire>) -> String {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .map(|at| at.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_their_forms() {
        for text in [
            "2026-11-23T00:00:00Z",
            "2026-11-23",
            "2026-11-23T00:00",
            "2026-11-23 00:00:00",
            "2026-11-23T01:00:00+01:00",
        ] {
            assert_eq!(parse(text).expect(text).seconds, 1_795_392_000, "{text}");
        }
        let ago = now().seconds - parse("-1d").unwrap().seconds;
        assert!((86_398..=86_402).contains(&ago), "{ago}");
        let ahead = after("10m").unwrap().seconds - now().seconds;
        assert!((599..=601).contains(&ahead), "{ahead}");
        assert!(parse("yesterday").is_err());
        assert!(after("soon").is_err());
    }

    #[test]
    fn times_are_shown_in_utc() {
        let at = parse("2026-11-23T10:27:41.123456Z").unwrap();
        assert_eq!(short(Some(&at)), "2026-11-23 10:27:41Z");
        assert_eq!(exact(Some(&at)), "2026-11-23 10:27:41.123456Z");
        assert_eq!(short(Some(&parse("2026-11-23").unwrap())), "2026-11-23");
        assert_eq!(short(None), "");
    }
}
