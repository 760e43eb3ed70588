//! Sums of many amounts, exact.

use std::fmt;

/// A whole number of 256 bits with a sign. Amounts have 128 bits and a ledger has fewer than
/// 2^32 accounts, so no sum over accounts comes near to its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wide {
    /// Two's complement, the sign among it.
    high: i128,
    low: u128,
}

impl Wide {
    /// Adds an amount.
    pub(crate) fn add(&mut self, amount: u128) {
        self.add_wide(Self {
            high: 0,
            low: amount,
        });
    }

    /// Adds a balance, which may be below zero.
    pub(crate) fn add_signed(&mut self, balance: i128) {
        self.add_wide(Self {
            high: if balance < 0 { -1 } else { 0 },
            low: balance as u128,
        });
    }

    fn add_wide(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        let carry = i128::from(carry);
        let high = self.high.checked_add(other.high);
        let high = high.and_then(|high| high.checked_add(carry));
        self.high = high.expect("2^127 amounts of 128 bits do not exist");
    }

    /// How far from zero, as four 64-bit digits, the highest first.
    fn magnitude(self) -> [u64; 4] {
        let Self { mut high, mut low } = self;
        if high < 0 {
            let (negated, carry) = (!low).overflowing_add(1);
            low = negated;
            high = (!high).wrapping_add(i128::from(carry));
        }
        let high = high as u128;
        [
            (high >> 64) as u64,
            high as u64,
            (low >> 64) as u64,
            low as u64,
        ]
    }
}

/// 10^19, the largest power of ten within 64 bits.
const PART: u128 = 10_000_000_000_000_000_000;

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = self.magnitude();
        // Parts of 19 decimal digits, the lowest first.
        let mut parts = Vec::with_capacity(5);
        while digits != [0; 4] {
            let mut rest = 0;
            for digit in &mut digits {
                let value = rest << 64 | u128::from(*digit);
                // The rest is below 10^19, so the quotient is below 2^64.
                *digit = (value / PART) as u64;
                rest = value % PART;
            }
            parts.push(rest);
        }
        let mut text = parts.pop().unwrap_or_default().to_string();
        for part in parts.iter().rev() {
            text.push_str(&format!("{part:019}"));
        }
        f.pad_integral(self.high >= 0, "", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(balances: &[i128]) -> Wide {
        let mut sum = Wide::default();
        for balance in balances {
            sum.add_signed(*balance);
        }
        sum
    }

    #[test]
    fn within_128_bits_it_is_the_sum_of_128_bits() {
        for numbers in [
            &[0][..],
            &[1],
            &[-1],
            &[i128::MAX],
            &[i128::MIN],
            &[i128::MAX, -1, i128::MIN],
            &[-5, 5],
            &[i128::MIN, i128::MAX, 1],
            &[10_000_000_000_000_000_000],
            &[-10_000_000_000_000_000_000_000_000_000_000_000_000],
            &[u64::MAX as i128, 1],
        ] {
            let narrow: i128 = numbers.iter().sum();
            assert_eq!(sum(numbers).to_string(), narrow.to_string(), "{numbers:?}");
        }
    }

    #[test]
    fn beyond_128_bits_no_digit_is_lost() {
        let mut most = Wide::default();
        most.add(u128::MAX);
        assert_eq!(most.to_string(), u128::MAX.to_string());
        most.add(1);
        assert_eq!(most.to_string(), "340282366920938463463374607431768211456");
        // 1,000 times 2^127 - 1.
        let many = sum(&[i128::MAX; 1_000]);
        assert_eq!(
            many.to_string(),
            "170141183460469231731687303715884105727000"
        );
        let few = sum(&[i128::MIN; 1_000]);
        assert_eq!(
            few.to_string(),
            "-170141183460469231731687303715884105728000"
        );
        // And back to where it began.
        let mut back = many;
        for _ in 0..1_000 {
            back.add_signed(-i128::MAX);
        }
        assert_eq!(back, Wide::default());
        assert_eq!(back.to_string(), "0");
    }

    #[test]
    fn each_power_of_two_has_its_digits() {
        // Doubling by addition, against decimal doubling digit by digit.
        let mut wide = Wide { high: 0, low: 1 };
        let mut decimal = vec![1u8];
        for _ in 0..250 {
            wide.add_wide(wide);
            let mut carry = 0;
            for digit in decimal.iter_mut() {
                let doubled = *digit * 2 + carry;
                *digit = doubled % 10;
                carry = doubled / 10;
            }
            if carry > 0 {
                decimal.push(carry);
            }
            let digits: String = decimal.iter().rev().map(|d| char::from(b'0' + d)).collect();
            assert_eq!(wide.to_string(), digits);
        }
    }
}
