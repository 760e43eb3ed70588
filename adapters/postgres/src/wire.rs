//! Values in Postgres's binary form, written and read to the last digit.

use ledger_core::time::{Day, Timestamp};

/// 2000-01-01, which Postgres counts from, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The same in days.
const EPOCH_DAYS: i32 = 10_957;

const NEGATIVE: u16 = 0x4000;

/// Writes `timestamptz`.
pub(crate) fn put_time(out: &mut Vec<u8>, at: Timestamp) {
    out.extend_from_slice(&(at.micros() - EPOCH_MICROS).to_be_bytes());
}

/// Reads `timestamptz`; `None` outside of what an instant can be.
pub(crate) fn get_time(bytes: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    Timestamp::from_micros(micros.checked_add(EPOCH_MICROS)?)
}

/// Writes `date`. Days beyond those of instants are held at the ends of what `date` can be.
pub(crate) fn put_day(out: &mut Vec<u8>, day: Day) {
    let day = day.0.clamp(
        Timestamp::MIN.utc_day().0 - 1,
        Timestamp::MAX.utc_day().0 + 1,
    );
    out.extend_from_slice(&(day - EPOCH_DAYS).to_be_bytes());
}

/// Reads `date`.
pub(crate) fn get_day(bytes: &[u8]) -> Option<Day> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    days.checked_add(EPOCH_DAYS).map(Day)
}

/// Writes a whole `numeric`: groups of four decimal digits, without trailing zero groups.
pub(crate) fn put_numeric(out: &mut Vec<u8>, negative: bool, mut magnitude: u128) {
    let mut groups = [0u16; 10];
    let mut count = 0;
    while magnitude > u128::from(u64::MAX) {
        groups[count] = (magnitude % 10_000) as u16;
        magnitude /= 10_000;
        count += 1;
    }
    let mut small = magnitude as u64;
    while small > 0 {
        groups[count] = (small % 10_000) as u16;
        small /= 10_000;
        count += 1;
    }
    let zeros = groups[..count].iter().take_while(|group| **group == 0);
    let zeros = zeros.count();
    let weight = count.saturating_sub(1) as u16;
    let sign = if negative { NEGATIVE } else { 0 };
    for part in [(count - zeros) as u16, weight, sign, 0] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    for group in groups[zeros..count].iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// Reads a `numeric` that is whole and not negative; `None` for any other.
pub(crate) fn get_numeric(bytes: &[u8]) -> Option<u128> {
    let (head, digits) = bytes.split_at_checked(8)?;
    let part = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (count, weight, sign) = (part(0), part(2), part(4));
    if count == 0 && sign == 0 {
        return Some(0);
    }
    if sign != 0 || digits.len() != usize::from(count) * 2 || count > weight.checked_add(1)? {
        return None;
    }
    let mut value = 0u128;
    for group in digits.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        value = value.checked_mul(10_000)?.checked_add(u128::from(group))?;
    }
    for _ in count..=weight {
        value = value.checked_mul(10_000)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let mut numbers = vec![0, 1, 9_999, 10_000, 10_001, u128::MAX, i128::MAX as u128];
        for zeros in 0..38 {
            let power = 10u128.pow(zeros);
            numbers.extend([power - 1, power, power + 1, power * 7]);
        }
        numbers.extend((0..128).map(|bit| 1u128 << bit));
        for number in numbers {
            let mut bytes = Vec::new();
            put_numeric(&mut bytes, false, number);
            assert_eq!(get_numeric(&bytes), Some(number));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let mut negative = Vec::new();
        put_numeric(&mut negative, true, 5);
        assert_eq!(get_numeric(&negative), None);
        // 0.5: one group of weight -1.
        let half = [0, 1, 0xff, 0xff, 0, 0, 0, 1, 0x13, 0x88];
        assert_eq!(get_numeric(&half), None);
        let not_a_number = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        assert_eq!(get_numeric(&not_a_number), None);
        assert_eq!(get_numeric(&[0, 1]), None);
    }

    #[test]
    fn instants_and_days_are_read_as_they_were_written() {
        for micros in [Timestamp::MIN.micros(), -1, 0, 1, EPOCH_MICROS] {
            let at = Timestamp::from_micros(micros).unwrap();
            let mut bytes = Vec::new();
            put_time(&mut bytes, at);
            assert_eq!(get_time(&bytes), Some(at));
        }
        for day in [-719_162, 0, EPOCH_DAYS, 2_932_896] {
            let mut bytes = Vec::new();
            put_day(&mut bytes, Day(day));
            assert_eq!(get_day(&bytes), Some(Day(day)));
        }
        let mut far = Vec::new();
        put_day(&mut far, Day(i32::MIN));
        assert_eq!(get_day(&far), Some(Day(-719_163)));
    }
}
