//! Parts of row keys: numbers as hex digits of one width, so that the order of keys is the order
//! of numbers.

use ledger_core::time::Timestamp;
use schemas::record::LogId;

/// Parts a key's parts. It stands in no name.
pub(crate) const SEPARATOR: u8 = b'#';

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A key in the making.
#[derive(Debug, Clone)]
pub(crate) struct Key(pub(crate) Vec<u8>);

impl Key {
    /// Begins with the log's id, as all keys do: what another log left is never met.
    pub(crate) fn new(log_id: LogId) -> Self {
        let mut key = Self(Vec::with_capacity(128));
        for byte in log_id.0 {
            key.byte(byte);
        }
        key
    }

    fn byte(&mut self, byte: u8) {
        self.0.push(DIGITS[usize::from(byte >> 4)]);
        self.0.push(DIGITS[usize::from(byte & 0xf)]);
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.push(SEPARATOR);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.push(SEPARATOR);
        for byte in number.to_be_bytes() {
            self.byte(byte);
        }
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.push(SEPARATOR);
        for byte in number.to_be_bytes() {
            self.byte(byte);
        }
        self
    }

    pub(crate) fn time(self, at: Timestamp) -> Self {
        self.u64(biased(at))
    }

    /// The smallest key after this one.
    pub(crate) fn next(mut self) -> Vec<u8> {
        self.0.push(0);
        self.0
    }

    /// Before all keys that go on from this one.
    pub(crate) fn first_of(mut self) -> Vec<u8> {
        self.0.push(SEPARATOR);
        self.0
    }

    /// After all keys that go on from this one.
    pub(crate) fn after_all_of(mut self) -> Vec<u8> {
        self.0.push(SEPARATOR + 1);
        self.0
    }
}

/// Times before 1970 are negative; this keeps their order.
pub(crate) fn biased(at: Timestamp) -> u64 {
    at.micros().cast_unsigned() ^ (1 << 63)
}

pub(crate) fn unbiased(biased: u64) -> Option<Timestamp> {
    Timestamp::from_micros((biased ^ (1 << 63)).cast_signed())
}

/// The last `N` parts of `key`, which are all numbers of 16 digits.
pub(crate) fn numbers<const N: usize>(key: &[u8]) -> Option<[u64; N]> {
    let mut parts = key.rsplit(|byte| *byte == SEPARATOR);
    let mut numbers = [0; N];
    for number in numbers.iter_mut().rev() {
        let text = std::str::from_utf8(parts.next()?).ok()?;
        if text.len() != 16 {
            return None;
        }
        *number = u64::from_str_radix(text, 16).ok()?;
    }
    Some(numbers)
}

/// The last part of `key`, which is a number of 8 digits.
pub(crate) fn last_u32(key: &[u8]) -> Option<u32> {
    let part = key.rsplit(|byte| *byte == SEPARATOR).next()?;
    let text = std::str::from_utf8(part).ok()?;
    (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId([0xa7; 16]);

    #[test]
    fn the_order_of_keys_is_the_order_of_numbers() {
        let times = [
            Timestamp::MIN,
            Timestamp::from_micros(-1).unwrap(),
            Timestamp::from_micros(0).unwrap(),
            Timestamp::from_micros(1_750_000_000_000_000).unwrap(),
            Timestamp::MAX,
        ];
        let sequences = [0, 1, 9, 10, 255, 256, u64::from(u32::MAX) + 1, u64::MAX];
        let mut keys = Vec::new();
        for at in times {
            for sequence in sequences {
                let key = Key::new(LOG).text("bank").u32(7).time(at).u64(sequence).0;
                let [time, found] = numbers(&key).unwrap();
                assert_eq!((unbiased(time), found), (Some(at), sequence));
                keys.push(key);
            }
        }
        assert!(keys.is_sorted());
        let of_account = Key::new(LOG).text("bank").u32(7);
        assert!(of_account.clone().first_of() < keys[0]);
        assert!(of_account.after_all_of() > keys[keys.len() - 1]);
        assert!(
            keys.iter()
                .all(|key| *key < Key::new(LOG).text("bank").u32(8).0)
        );
        assert!(
            keys.iter()
                .all(|key| !key.starts_with(&Key::new(LOG).text("ban").first_of()))
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(numbers::<1>(b"bank#00000007"), None);
        assert_eq!(numbers::<1>(b"bank#000000000000000g"), None);
        assert_eq!(numbers::<3>(b"a#0000000000000001#0000000000000002"), None);
    }
}
