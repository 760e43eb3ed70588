//! How long a caller waits.

use std::time::Duration;

use schemas::error::Fault;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// For callers that do not say.
const DEFAULT: Duration = Duration::from_secs(5);
/// No call works longer than this, whatever the caller says.
const LONGEST: Duration = Duration::from_secs(120);
/// So much earlier than the caller gives up we do, so that it reads why.
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// When a call must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

impl Deadline {
    /// As the header `grpc-timeout` says.
    pub(crate) fn of(metadata: &MetadataMap) -> Self {
        let said = metadata
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok())
            .and_then(parse);
        let timeout = said.unwrap_or(DEFAULT).min(LONGEST);
        Self(Instant::now() + timeout - (timeout / 10).min(MARGIN_MAX))
    }

    /// Long work asks this now and then.
    pub(crate) fn check(self) -> Result<(), Fault> {
        if Instant::now() < self.0 {
            Ok(())
        } else {
            Err(Fault::DeadlineExceeded)
        }
    }
}

/// Up to 8 digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        for wrong in ["", "S", "2", "2s", "123456789S", "-1S", "2 S", "é"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
