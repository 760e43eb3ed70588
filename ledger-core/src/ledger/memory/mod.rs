//! What a ledger remembers of its latest records: their keys and the transactions that they
//! touched, until the on-disk index has safely passed them.
//!
//! Invariants: records stand in order of sequence; a key stands for one record; a transaction
//! stands in one place, with the last record that touched it; open holds are not here.

mod kept;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use self::kept::{Kept, Transfer};
use crate::facts::{Facts, KeyEntry, RequestHash};
use crate::invalid::Invalid;
use crate::key::{IdempotencyKey, TransactionId};
use crate::ledger::KeyLookup;
use crate::ledger::index::{Index, NUMBER_RESERVED};
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Records in one piece of memory: nothing is copied when memory grows, and what is forgotten
/// is given back piece by piece.
const CHUNK: usize = 4_096;

/// A key in 24 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PackedKey {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl PackedKey {
    fn is(&self, key: &IdempotencyKey) -> bool {
        match (self, key) {
            (Self::Uuid(mine), IdempotencyKey::Uuid(other)) => *mine == other.to_be_bytes(),
            (Self::Text(mine), IdempotencyKey::Text(other)) => mine == other,
            _ => false,
        }
    }

    fn pack(key: IdempotencyKey) -> Self {
        match key {
            IdempotencyKey::Uuid(uuid) => Self::Uuid(uuid.to_be_bytes()),
            IdempotencyKey::Text(text) => Self::Text(text),
        }
    }

    fn unpack(&self) -> IdempotencyKey {
        match self {
            Self::Uuid(bytes) => IdempotencyKey::Uuid(u128::from_be_bytes(*bytes)),
            Self::Text(text) => IdempotencyKey::Text(text.clone()),
        }
    }
}

/// One remembered record, in 80 bytes. The transaction that most records make, one plain posting
/// whose id is the key, stands in it.
#[derive(Debug, Clone)]
struct Remembered {
    key: PackedKey,
    request_hash: RequestHash,
    sequence: u64,
    transfer: Transfer,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    hasher: FixedState,
    chunks: VecDeque<Vec<Remembered>>,
    /// A chunk that was let go of, for the next need.
    spare: Vec<Remembered>,
    /// The number of the first record of the first chunk; numbers wrap around.
    first: u32,
    /// How many records of the first chunk are forgotten.
    gone: usize,
    len: usize,
    index: Index,
    /// Transactions that do not stand in their key's record, with the last sequence.
    kept: HashMap<TransactionId, (Kept, u64), FixedState>,
    /// What those take, about.
    kept_bytes: u64,
    /// Which sequences touched those, oldest first. One that was touched again stands here again.
    queue: VecDeque<(u64, TransactionId)>,
    /// Touched by the event whose key was not remembered yet.
    unassigned: Vec<Kept>,
    last_sequence: u64,
    forgotten_through: u64,
    forgotten_stamp: Option<Timestamp>,
}

impl Memory {
    pub(crate) fn new(hash_seed: u64) -> Self {
        let hasher = FixedState::with_seed(hash_seed);
        Self {
            chunks: VecDeque::new(),
            spare: Vec::new(),
            first: 0,
            gone: 0,
            len: 0,
            index: Index::new(),
            kept: HashMap::with_hasher(hasher.clone()),
            kept_bytes: 0,
            hasher,
            queue: VecDeque::new(),
            unassigned: Vec::new(),
            last_sequence: 0,
            forgotten_through: 0,
            forgotten_stamp: None,
        }
    }

    fn record(&self, number: u32) -> &Remembered {
        let at = number.wrapping_sub(self.first) as usize;
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    fn record_mut(&mut self, number: u32) -> &mut Remembered {
        let at = number.wrapping_sub(self.first) as usize;
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    fn find(&self, key: &IdempotencyKey) -> Option<u32> {
        self.index.find(self.hasher.hash_one(key), |number| {
            self.record(number).key.is(key)
        })
    }

    /// What `key` stands for, from memory and facts.
    pub(crate) fn lookup_key(
        &self,
        key: &IdempotencyKey,
        request_hash: &RequestHash,
        facts: &Facts,
    ) -> KeyLookup {
        if let Some(number) = self.find(key) {
            let record = self.record(number);
            return judge(&record.request_hash, record.sequence, request_hash);
        }
        if self.cannot_have_forgotten(key) {
            return KeyLookup::New;
        }
        // Older facts could lack a record that memory has let go of since.
        if facts.through < self.forgotten_through {
            return KeyLookup::Unknown;
        }
        match facts.keys.get(key) {
            Some(entry) => judge(&entry.request_hash, entry.sequence, request_hash),
            None => KeyLookup::New,
        }
    }

    /// True when memory alone tells that a key which is not in it was never used: nothing was
    /// forgotten yet, or every UUIDv7 that was is stamped earlier.
    fn cannot_have_forgotten(&self, key: &IdempotencyKey) -> bool {
        if self.forgotten_through == 0 {
            return true;
        }
        match key.stamp() {
            Some(stamp) => self.forgotten_stamp.is_none_or(|newest| stamp > newest),
            None => false,
        }
    }

    /// True when only the index can tell what `key` stands for.
    pub(crate) fn needs_key(&self, key: &IdempotencyKey) -> bool {
        !self.cannot_have_forgotten(key) && self.find(key).is_none()
    }

    /// The transaction of this id that is no open hold, if memory holds it.
    pub(crate) fn transaction(&self, id: TransactionId) -> Option<Transaction> {
        if let Some(kept) = self.unassigned.iter().rev().find(|kept| kept.id() == id) {
            return Some(kept.unpack());
        }
        if let Some((kept, _)) = self.kept.get(&id) {
            return Some(kept.unpack());
        }
        let record = self.record(self.find(&IdempotencyKey::Uuid(id.0))?);
        record.transfer.unpack(id)
    }

    /// True where [`Self::transaction`] has an answer.
    pub(crate) fn holds(&self, id: TransactionId) -> bool {
        self.kept.contains_key(&id)
            || self
                .find(&IdempotencyKey::Uuid(id.0))
                .is_some_and(|number| self.record(number).transfer.unpack(id).is_some())
    }

    /// Notes that the event being applied left `transaction` so, ended or posted.
    pub(crate) fn touch(&mut self, transaction: &Transaction) {
        self.unassigned.push(Kept::pack(transaction));
    }

    /// True between an event and the call that remembers its key.
    pub(crate) fn awaits_key(&self) -> bool {
        !self.unassigned.is_empty()
    }

    /// Remembers the record of `entry`, and that it touched what [`Self::touch`] was told since
    /// the record before.
    pub(crate) fn remember(&mut self, key: IdempotencyKey, entry: KeyEntry) {
        assert!(
            entry.sequence > self.last_sequence,
            "record {} of key {key} was remembered after record {}",
            entry.sequence,
            self.last_sequence
        );
        assert!(
            self.find(&key).is_none(),
            "key {key} of record {} is remembered for another record already",
            entry.sequence
        );
        self.last_sequence = entry.sequence;
        let mut transfer = Transfer::NONE;
        let mut unassigned = std::mem::take(&mut self.unassigned);
        for kept in unassigned.drain(..) {
            match (&kept, &key) {
                (Kept::Transfer(id, plain), IdempotencyKey::Uuid(uuid)) if id.0 == *uuid => {
                    transfer = *plain;
                }
                _ => self.keep(kept, entry.sequence),
            }
        }
        self.unassigned = unassigned;
        self.push(key, entry, transfer);
    }

    fn keep(&mut self, kept: Kept, sequence: u64) {
        let id = kept.id();
        if let Some(number) = self.find(&IdempotencyKey::Uuid(id.0)) {
            self.record_mut(number).transfer = Transfer::NONE;
        }
        self.kept_bytes += kept.bytes();
        if let Some((before, _)) = self.kept.insert(id, (kept, sequence)) {
            self.kept_bytes -= before.bytes();
        }
        self.queue.push_back((sequence, id));
    }

    fn push(&mut self, key: IdempotencyKey, entry: KeyEntry, transfer: Transfer) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            let mut chunk = std::mem::take(&mut self.spare);
            chunk.reserve_exact(CHUNK);
            self.chunks.push_back(chunk);
        }
        let mut number = self.first.wrapping_add((self.gone + self.len) as u32);
        if number == NUMBER_RESERVED {
            self.renumber();
            number = self.first.wrapping_add((self.gone + self.len) as u32);
        }
        self.index.insert(self.hasher.hash_one(&key), number);
        self.chunks
            .back_mut()
            .expect("pushed above")
            .push(Remembered {
                key: PackedKey::pack(key),
                request_hash: entry.request_hash,
                sequence: entry.sequence,
                transfer,
            });
        self.len += 1;
    }

    /// Starts numbers from zero again, once in 4 thousand million records.
    fn renumber(&mut self) {
        self.first = 0;
        self.index = Index::new();
        for (number, record) in (0..).zip(self.chunks.iter().flatten()) {
            if number as usize >= self.gone {
                self.index
                    .insert(self.hasher.hash_one(record.key.unpack()), number);
            }
        }
    }

    /// Lets go of all records up to shard sequence `through`.
    pub(crate) fn forget_through(&mut self, through: u64) {
        while let Some(chunk) = self.chunks.front() {
            let Some(record) = chunk.get(self.gone) else {
                // The front chunk is used up; a chunk that is not full yet is filled first.
                if self.gone < CHUNK {
                    break;
                }
                self.spare = self.chunks.pop_front().unwrap_or_default();
                self.spare.clear();
                self.first = self.first.wrapping_add(CHUNK as u32);
                self.gone = 0;
                continue;
            };
            if record.sequence > through {
                break;
            }
            let key = record.key.unpack();
            self.forgotten_through = record.sequence;
            self.forgotten_stamp = self.forgotten_stamp.max(key.stamp());
            let number = self.first.wrapping_add(self.gone as u32);
            self.index.remove(self.hasher.hash_one(&key), number);
            self.gone += 1;
            self.len -= 1;
        }
        while let Some((sequence, id)) = self.queue.front().copied() {
            if sequence > through {
                break;
            }
            self.queue.pop_front();
            if self
                .kept
                .get(&id)
                .is_some_and(|(_, last)| *last == sequence)
                && let Some((gone, _)) = self.kept.remove(&id)
            {
                self.kept_bytes -= gone.bytes();
            }
        }
    }

    pub(crate) fn forgotten_through(&self) -> u64 {
        self.forgotten_through
    }

    pub(crate) fn forgotten_stamp(&self) -> Option<Timestamp> {
        self.forgotten_stamp
    }

    /// Bytes of transactions that do not stand in their key's record, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// How many records are in memory.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn records(&self) -> impl Iterator<Item = &Remembered> {
        self.chunks.iter().flatten().skip(self.gone)
    }

    /// Keys by sequence.
    pub(crate) fn keys(&self) -> Vec<(IdempotencyKey, KeyEntry)> {
        self.records()
            .map(|record| {
                let entry = KeyEntry {
                    request_hash: record.request_hash,
                    sequence: record.sequence,
                };
                (record.key.unpack(), entry)
            })
            .collect()
    }

    /// Transactions by sequence, then id.
    pub(crate) fn transactions(&self) -> Vec<(Transaction, u64)> {
        let mut all: Vec<(Transaction, u64)> = self
            .kept
            .values()
            .map(|(kept, sequence)| (kept.unpack(), *sequence))
            .collect();
        for record in self.records() {
            if let PackedKey::Uuid(uuid) = &record.key {
                let id = TransactionId(u128::from_be_bytes(*uuid));
                all.extend(record.transfer.unpack(id).map(|t| (t, record.sequence)));
            }
        }
        all.sort_by_key(|(transaction, sequence)| (*sequence, transaction.id));
        all
    }

    /// The memory that [`Self::keys`] and [`Self::transactions`] were made of.
    pub(crate) fn restore(
        hash_seed: u64,
        keys: Vec<(IdempotencyKey, KeyEntry)>,
        transactions: Vec<(Transaction, u64)>,
        forgotten_through: u64,
        forgotten_stamp: Option<Timestamp>,
    ) -> Result<Self, Invalid> {
        let mut memory = Self::new(hash_seed);
        memory.forgotten_through = forgotten_through;
        memory.forgotten_stamp = forgotten_stamp;
        memory.last_sequence = forgotten_through;
        let mut touched = transactions.into_iter().peekable();
        for (key, entry) in keys {
            if entry.sequence <= memory.last_sequence {
                return Err(Invalid::new(format!(
                    "key {key} of record {} does not come after record {}",
                    entry.sequence, memory.last_sequence
                )));
            }
            if memory.find(&key).is_some() {
                return Err(Invalid::new(format!("key {key} stands there twice")));
            }
            while let Some((transaction, _)) = touched.next_if(|(_, s)| *s == entry.sequence) {
                memory.touch(&transaction);
            }
            memory.remember(key, entry);
        }
        match touched.next() {
            Some((transaction, sequence)) => Err(Invalid::new(format!(
                "transaction {} was touched by record {sequence}, whose key is not there",
                transaction.id
            ))),
            None => Ok(memory),
        }
    }
}

fn judge(decided: &RequestHash, sequence: u64, asked: &RequestHash) -> KeyLookup {
    if decided == asked {
        KeyLookup::Repeated(sequence)
    } else {
        KeyLookup::Reused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> IdempotencyKey {
        IdempotencyKey::Uuid(u128::from(number) << 80 | 7 << 76 | 0b10 << 62)
    }

    /// Numbers of records wrap around after four thousand million; every key is found all the
    /// same, before and after.
    #[test]
    fn numbers_start_again_when_they_are_used_up() {
        let mut memory = Memory::new(1);
        memory.first = u32::MAX - 100;
        let entry = |number: u32| KeyEntry {
            request_hash: [0; 16],
            sequence: u64::from(number),
        };
        for number in 1..=300 {
            memory.remember(key(number), entry(number));
            if number == 50 {
                memory.forget_through(20);
            }
        }
        for number in 21..=300 {
            let found = memory.lookup_key(&key(number), &[0; 16], &Facts::default());
            assert_eq!(found, KeyLookup::Repeated(u64::from(number)));
        }
        memory.forget_through(150);
        assert_eq!(memory.len(), 150);
        assert!(memory.needs_key(&key(150)));
        assert!(!memory.needs_key(&key(151)));
    }
}
