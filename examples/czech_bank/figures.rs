//! How many days agree with the bank's printed balances, and what is known of that.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;

/// How the engine's balances compare with the printed ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Accounts with transactions on a day, over all days.
    pub account_days: usize,
    /// Of them, how many agree within 0.10.
    pub within_10: usize,
    /// Within 0.50.
    pub within_50: usize,
    /// Within 1.00.
    pub within_100: usize,
    /// All others, by day.
    pub further: BTreeMap<Date, usize>,
}

impl Figures {
    /// What a computation outside Daybook finds in the known files, told by their number of rows.
    pub fn expected(rows: usize) -> Option<Self> {
        (rows == 49_102).then(|| Self {
            account_days: 39_960,
            within_10: 37_313,
            within_50: 39_911,
            within_100: 39_932,
            // The files are cut in the middle of their last day.
            further: BTreeMap::from([(Date::constant(1994, 3, 31), 28)]),
        })
    }

    /// Counts one account's day. The order within a day is free, and so each row's printed
    /// balance may be the one at its end.
    pub fn count(&mut self, day: Date, balance: i64, printed: &[i64]) {
        self.account_days += 1;
        let off = printed
            .iter()
            .map(|printed| balance.abs_diff(*printed))
            .min();
        let off = off.unwrap_or(u64::MAX);
        self.within_10 += usize::from(off <= 10);
        self.within_50 += usize::from(off <= 50);
        self.within_100 += usize::from(off <= 100);
        if off > 100 {
            *self.further.entry(day).or_default() += 1;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  account-days            {:>7}",
            grouped(self.account_days)
        )?;
        writeln!(
            f,
            "  agree within 0.10       {:>7}",
            grouped(self.within_10)
        )?;
        writeln!(
            f,
            "  agree within 0.50       {:>7}",
            grouped(self.within_50)
        )?;
        writeln!(
            f,
            "  agree within 1.00       {:>7}",
            grouped(self.within_100)
        )?;
        write!(
            f,
            "  further off             {:>7}",
            grouped(self.further.values().sum())
        )?;
        for (day, count) in self.further.iter().take(5) {
            write!(f, "\n    on {day}         {:>7}", grouped(*count))?;
        }
        if self.further.len() > 5 {
            write!(f, "\n    and on {} other days", self.further.len() - 5)?;
        }
        Ok(())
    }
}

/// 49102 as `49,102`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Hundredths as `-1,234.50`.
pub fn crowns(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let whole = usize::try_from(hundredths.unsigned_abs() / 100).unwrap_or(usize::MAX);
    format!(
        "{sign}{}.{:02}",
        grouped(whole),
        hundredths.unsigned_abs() % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_agrees_when_any_of_its_rows_does() {
        let day = Date::constant(1993, 1, 1);
        let mut figures = Figures::default();
        figures.count(day, 1_000, &[5_000, 1_010]);
        figures.count(day, 1_000, &[949]);
        figures.count(day, -1_000, &[-900]);
        figures.count(day, 0, &[101, -101]);
        let expected = Figures {
            account_days: 4,
            within_10: 1,
            within_50: 1,
            within_100: 3,
            further: BTreeMap::from([(day, 1)]),
        };
        assert_eq!(figures, expected);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([-5, 123_450].map(crowns), ["-0.05", "1,234.50"]);
    }
}
