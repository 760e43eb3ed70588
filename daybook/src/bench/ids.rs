//! UUIDv7 ids, made cheaply: a client that loads a server on the same cores should not spend
//! them on randomness.

use std::time::{SystemTime, UNIX_EPOCH};

/// Makes ids that are unique within a run: stamp, a number of this maker's own, a counter.
pub struct Ids {
    maker: u16,
    counter: u64,
    salt: u64,
}

impl Ids {
    /// Ids of maker `maker`; `salt` sets apart the runs.
    pub fn new(maker: u16, salt: u64) -> Self {
        Self {
            maker: maker & 0xfff,
            counter: 0,
            salt,
        }
    }

    /// The milliseconds that ids of one request share.
    pub fn stamp() -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64)
    }

    /// The next id.
    pub fn next(&mut self, stamp: u64) -> u128 {
        self.counter += 1;
        let tail = (self.salt.wrapping_shl(36) ^ self.counter) & 0x3fff_ffff_ffff_ffff;
        u128::from(stamp & 0xffff_ffff_ffff) << 80
            | 7 << 76
            | u128::from(self.maker) << 64
            | 0b10 << 62
            | u128::from(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_keys_and_do_not_repeat() {
        let mut ids = Ids::new(3, 99);
        let made: std::collections::BTreeSet<u128> =
            (0..10_000).map(|_| ids.next(Ids::stamp())).collect();
        assert_eq!(made.len(), 10_000);
        for id in made {
            assert!(ledger_core::key::IdempotencyKey::from_uuid(id).is_ok());
        }
    }
}
