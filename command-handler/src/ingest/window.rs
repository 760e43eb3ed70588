//! Which records of each partition have no durable answer yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::letters::Place;

/// The records of a shard's topics that were read and not answered for good.
#[derive(Debug, Default)]
pub(super) struct Window {
    open: BTreeMap<(Arc<str>, u32), BTreeSet<u64>>,
    records: usize,
    bytes: usize,
}

impl Window {
    /// A record was read, of this size.
    pub(super) fn add(&mut self, place: &Place, bytes: usize) {
        let of = (Arc::clone(&place.topic), place.partition);
        if self.open.entry(of).or_default().insert(place.offset) {
            self.records += 1;
            self.bytes += bytes;
        }
    }

    /// Its answer is durable.
    pub(super) fn done(&mut self, place: &Place, bytes: usize) {
        let of = (Arc::clone(&place.topic), place.partition);
        if let Some(open) = self.open.get_mut(&of)
            && open.remove(&place.offset)
        {
            self.records -= 1;
            self.bytes -= bytes;
        }
    }

    /// From where the partition would have to be read again now: never after `place`.
    pub(super) fn resume(&self, place: &Place) -> u64 {
        let of = (Arc::clone(&place.topic), place.partition);
        let first = self.open.get(&of).and_then(BTreeSet::first);
        first.map_or(place.offset, |first| place.offset.min(*first))
    }

    /// Records without a durable answer.
    pub(super) const fn records(&self) -> usize {
        self.records
    }

    /// Their bytes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Place {
        Place {
            topic: "deposits".into(),
            partition: 1,
            offset,
        }
    }

    #[test]
    fn a_partition_is_read_again_from_its_first_record_without_an_answer() {
        let mut window = Window::default();
        for offset in [3, 4, 9] {
            window.add(&at(offset), 10);
        }
        assert_eq!(window.resume(&at(9)), 3);
        window.done(&at(4), 10);
        assert_eq!(window.resume(&at(9)), 3, "3 is still open");
        window.done(&at(3), 10);
        assert_eq!(window.resume(&at(9)), 9);
        window.done(&at(3), 10);
        assert_eq!((window.records(), window.bytes()), (1, 10));
        let other = Place {
            partition: 2,
            ..at(1)
        };
        assert_eq!(window.resume(&other), 1, "partitions are apart");
    }
}
