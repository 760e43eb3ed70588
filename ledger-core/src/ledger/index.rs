//! Where something stands that has a key: open addressing over one word a slot, no copy of the
//! key.

/// A hash table from the hash of a key to a number that says where its owner keeps the key: a
/// record in memory, an account. A slot holds 32 bits of the hash and 32 bits of the number, so growing and removing need no key, and
/// most strangers are told apart without a look at the key.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// `EMPTY`, or the hash in the high half and the number in the low half.
    slots: Vec<u64>,
    len: usize,
}

const EMPTY: u64 = u64::MAX;
/// The number that nothing may have: with a hash of all ones it would look like `EMPTY`.
pub(crate) const NUMBER_RESERVED: u32 = u32::MAX;
const SLOTS_MIN: usize = 64;

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![EMPTY; SLOTS_MIN],
            len: 0,
        }
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// The first number under `hash` that `is_it` says yes to.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag_of(hash);
        let mut at = tag as usize & self.mask();
        while self.slots[at] != EMPTY {
            let slot = self.slots[at];
            if (slot >> 32) as u32 == tag && is_it(slot as u32) {
                return Some(slot as u32);
            }
            at = (at + 1) & self.mask();
        }
        None
    }

    /// Adds `number` under `hash`; the caller knows that its key is not in yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        debug_assert_ne!(number, NUMBER_RESERVED);
        // At most five eighths full: a miss looks at three or four slots of one cache line.
        if (self.len + 1) * 8 > self.slots.len() * 5 {
            self.grow();
        }
        self.place(u64::from(tag_of(hash)) << 32 | u64::from(number));
        self.len += 1;
    }

    fn place(&mut self, slot: u64) {
        let mask = self.mask();
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let doubled = vec![EMPTY; self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if slot != EMPTY {
                self.place(slot);
            }
        }
    }

    /// Takes `number` away, which stands under `hash`.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let mask = self.mask();
        let sought = u64::from(tag_of(hash)) << 32 | u64::from(number);
        let mut hole = tag_of(hash) as usize & mask;
        while self.slots[hole] != sought {
            assert_ne!(self.slots[hole], EMPTY, "a remembered key is in the index");
            hole = (hole + 1) & mask;
        }
        // Close the gap: whatever would no longer be reached past the hole moves into it.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == EMPTY {
                break;
            }
            let home = (slot >> 32) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
    }
}

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Hashes from a small set, so that slots collide and gaps are closed over wrap-around.
        #[test]
        fn it_finds_what_was_put_in_and_nothing_else(
            steps in prop::collection::vec((any::<bool>(), 0u64..20, 0u32..90), 1..200)
        ) {
            let mut index = Index::new();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (add, hash, number) in steps {
                // Near the end of the table, so that runs of slots wrap around.
                let hash = (hash + 44) << 32;
                if add && !model.contains_key(&number) {
                    index.insert(hash, number);
                    model.insert(number, hash);
                } else if let Some(hash) = model.remove(&number) {
                    index.remove(hash, number);
                }
                prop_assert_eq!(index.len, model.len());
            }
            for number in 0..90 {
                for hash in 44..64 {
                    let found = index.find(hash << 32, |n| n == number);
                    let there = model.get(&number) == Some(&(hash << 32));
                    prop_assert_eq!(found.is_some(), there);
                }
            }
        }
    }
}
