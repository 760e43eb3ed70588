//! When the next hold of each ledger expires, so that an idle writer wakes up in time.

use std::collections::{BTreeSet, HashMap};

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;

/// The next expiry of every ledger that has one.
#[derive(Debug, Default)]
pub struct Expiries {
    by_ledger: HashMap<LedgerName, Timestamp>,
    by_time: BTreeSet<(Timestamp, LedgerName)>,
}

impl Expiries {
    /// Says when the next hold of `ledger` expires.
    pub fn set(&mut self, ledger: &LedgerName, next: Option<Timestamp>) {
        if next.is_none() && self.by_ledger.is_empty() {
            return;
        }
        let known = self.by_ledger.get(ledger).copied();
        if known == next {
            return;
        }
        if let Some(known) = known {
            self.by_time.remove(&(known, ledger.clone()));
            self.by_ledger.remove(ledger);
        }
        if let Some(next) = next {
            self.by_time.insert((next, ledger.clone()));
            self.by_ledger.insert(ledger.clone(), next);
        }
    }

    /// The next expiry of all.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// A ledger with a hold whose time has come.
    pub fn due(&self, at: Timestamp) -> Option<LedgerName> {
        let (expiry, ledger) = self.by_time.first()?;
        (*expiry <= at).then(|| ledger.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn the_earliest_comes_first_and_changes_are_followed() {
        let (a, b) = (LedgerName::new("a").unwrap(), LedgerName::new("b").unwrap());
        let mut expiries = Expiries::default();
        expiries.set(&a, None);
        assert_eq!(expiries.next(), None);
        expiries.set(&a, Some(t(20)));
        expiries.set(&b, Some(t(10)));
        assert_eq!(expiries.due(t(9)), None);
        assert_eq!(expiries.due(t(10)), Some(b.clone()));
        expiries.set(&b, Some(t(30)));
        assert_eq!(expiries.next(), Some(t(20)));
        expiries.set(&a, None);
        expiries.set(&b, None);
        assert_eq!(expiries.next(), None);
    }
}
