//! Amounts as people write them, `12.50 USD`, and as the API says them, minor units.

use ledger_core::amount::Amount;
use ledger_core::asset::Asset;

use super::failure::Failure;

/// An amount as written, not yet tied to an account's asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Digits before and after the point.
    whole: String,
    fraction: String,
    negative: bool,
    /// `USD` or `USD/2`, where it was given.
    asset: Option<String>,
    text: String,
}

impl Written {
    /// Reads `12.50 USD`, `12.50`, `-300 JPY`, `0.00000001 BTC/8`.
    ///
    /// # Errors
    /// A usage failure that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let wrong = |why: &str| {
            Err(Failure::usage(format!("{text:?} is not an amount: {why}"))
                .hint("an amount is written 12.50 USD"))
        };
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return wrong("the number comes first, then the asset");
        }
        let (number, asset) = match text.split_once(char::is_whitespace) {
            Some((number, asset)) => (number, Some(asset.trim().to_owned())),
            None => match text.find(|c: char| c.is_ascii_alphabetic()) {
                Some(at) => (&text[..at], Some(text[at..].to_owned())),
                None => (text, None),
            },
        };
        if asset
            .as_ref()
            .is_some_and(|a| a.contains(char::is_whitespace))
        {
            return wrong("there is more behind the asset");
        }
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        if number.contains(',') {
            return wrong("write it without commas, with a point before the decimal places");
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
            return wrong("a number has digits and at most one decimal point");
        }
        Ok(Self {
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
            negative,
            asset,
            text: text.to_owned(),
        })
    }

    /// The asset as written.
    pub fn asset(&self) -> Option<&str> {
        self.asset.as_deref()
    }

    fn digits(&self, asset: &Asset) -> Result<String, Failure> {
        if let Some(own) = &self.asset {
            let (code, exponent) = match own.split_once('/') {
                Some((code, exponent)) => (code, Some(exponent)),
                None => (own.as_str(), None),
            };
            let other =
                code != asset.code() || exponent.is_some_and(|e| e != asset.exponent().to_string());
            if other {
                return Err(Failure::usage(format!(
                    "{:?} is in {own}, but the account holds {asset}",
                    self.text
                )));
            }
        }
        let places = usize::from(asset.exponent());
        if self.fraction.len() > places && self.fraction[places..].bytes().any(|b| b != b'0') {
            return Err(Failure::usage(format!(
                "{:?} has {} decimal places, and {asset} has {places}",
                self.text,
                self.fraction.len()
            )));
        }
        let kept = &self.fraction[..self.fraction.len().min(places)];
        let digits = format!("{}{kept:0<places$}", self.whole);
        let digits = digits.trim_start_matches('0');
        Ok(if digits.is_empty() { "0" } else { digits }.to_owned())
    }

    /// In minor units of `asset`.
    ///
    /// # Errors
    /// A usage failure: another asset, too many decimal places, negative, too large.
    pub fn minor(&self, asset: &Asset) -> Result<Amount, Failure> {
        if self.negative {
            return Err(Failure::usage(format!(
                "{:?} is negative; which way money goes is said by --from and --to",
                self.text
            )));
        }
        Amount::parse(&self.digits(asset)?).map_err(|e| Failure::usage(e.to_string()))
    }

    /// In minor units of `asset`, with a sign where it is below zero.
    ///
    /// # Errors
    /// As [`Self::minor`], but for the sign.
    pub fn signed_minor(&self, asset: &Asset) -> Result<String, Failure> {
        let digits = self.digits(asset)?;
        Amount::parse(&digits).map_err(|e| Failure::usage(e.to_string()))?;
        Ok(match self.negative && digits != "0" {
            true => format!("-{digits}"),
            false => digits,
        })
    }
}

/// Minor units with the decimal point in its place: `-1250` of `USD/2` is `-12.50`. What is no
/// number, or of no known asset, stays as it is.
pub fn decimal(minor: &str, asset: &str) -> String {
    let Ok(asset) = Asset::parse(asset) else {
        return minor.to_owned();
    };
    let (sign, digits) = match minor.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", minor),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return minor.to_owned();
    }
    let places = usize::from(asset.exponent());
    if places == 0 {
        return minor.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

/// The code of an asset: `USD` of `USD/2`.
pub fn code(asset: &str) -> &str {
    asset.split_once('/').map_or(asset, |(code, _)| code)
}

/// `12.50 USD`.
pub fn human(minor: &str, asset: &str) -> String {
    format!("{} {}", decimal(minor, asset), code(asset))
}

/// `12.50 USD (1250)`: both ways, so that nobody has to guess.
pub fn both(minor: &str, asset: &str) -> String {
    format!("{} ({minor})", human(minor, asset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Asset {
        Asset::parse("USD/2").unwrap()
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, minor) in [
            ("12.50 USD", "1250"),
            ("12.5 USD", "1250"),
            ("12 USD", "1200"),
            ("12.50", "1250"),
            ("12.50USD", "1250"),
            ("12.500 USD/2", "1250"),
            ("0.01 USD", "1"),
            ("0.00", "0"),
            ("007.00", "700"),
        ] {
            let amount = Written::parse(text).and_then(|w| w.minor(&usd()));
            assert_eq!(amount.unwrap().to_string(), minor, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused_with_a_reason() {
        for (text, why) in [
            ("12.505 USD", "decimal places"),
            ("12.50 EUR", "holds USD/2"),
            ("12.50 USD/3", "holds USD/2"),
            ("USD 12.50", "the number comes first"),
            ("1,000.00 USD", "without commas"),
            ("1.2.3", "one decimal point"),
            ("12. USD", "one decimal point"),
            (".5", "digits"),
            ("", "digits"),
            ("abc", "number comes first"),
            ("-5.00 USD", "negative"),
            ("1e5", "in e5"),
            (
                "999999999999999999999999999999999999999999",
                "largest amount",
            ),
        ] {
            let failure = Written::parse(text)
                .and_then(|w| w.minor(&usd()))
                .expect_err(text);
            assert!(failure.message.contains(why), "{text}: {}", failure.message);
        }
    }

    #[test]
    fn amounts_are_written_back_as_they_were_read() {
        assert_eq!(human("1250", "USD/2"), "12.50 USD");
        assert_eq!(human("-5", "USD/2"), "-0.05 USD");
        assert_eq!(human("0", "USD/2"), "0.00 USD");
        assert_eq!(human("7", "JPY/0"), "7 JPY");
        assert_eq!(human("1", "BTC/8"), "0.00000001 BTC");
        assert_eq!(both("1250", "USD/2"), "12.50 USD (1250)");
        assert_eq!(decimal("", "USD/2"), "");
    }

    #[test]
    fn a_minimum_may_be_below_zero() {
        let minimum = Written::parse("-300.00 USD").and_then(|w| w.signed_minor(&usd()));
        assert_eq!(minimum.unwrap(), "-30000");
    }
}
