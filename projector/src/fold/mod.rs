//! Folds records into the rows that they change.
//!
//! No state is needed: events carry the resulting balances and every transaction that they
//! touched. Rows are collected as they come and folded once, by sorting, when the stretch ends:
//! that is cheaper than a map for each list, and the port wants them sorted anyway.

mod event;
mod finish;

use std::collections::HashMap;

use ledger_core::account::AccountNumber;
use ledger_core::event::ResultingBalance;
use ledger_core::facts::KeyEntry;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::Position;
use ports::projection::{
    AccountRow, BalanceRow, Changes, HistoryRow, KeyRow, LedgerIndex, LedgerRow, Movement,
    PlaceRow, TransactionRow,
};
use schemas::record::{Payload, Record, RecordHash, SealedRecord};

/// Why a record cannot be folded: it does not agree with itself or with the record before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A record of the ledger is missing, doubled or out of order.
    #[error("its ledger sequence should be {expected}")]
    LedgerSequence {
        /// What should come.
        expected: u64,
    },
    /// The chain of the ledger is broken here.
    #[error("it does not carry the hash of the ledger's record before it")]
    PreviousHash,
    /// A decision stands in the engine's own chain.
    #[error("a decision does not belong into the engine's own chain")]
    Chain,
    /// An event moved an account but does not say what the account is after it.
    #[error("it moves account {} without its resulting balance", .0.0)]
    NoBalance(AccountNumber),
    /// The movements of a day are more than an amount can say.
    #[error("the movements of account {} on a day pass the largest amount", .0.0)]
    Overflow(AccountNumber),
}

/// The last record of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its ledger sequence.
    pub ledger_sequence: u64,
    /// Its hash.
    pub record_hash: RecordHash,
    /// Its time.
    pub recorded_at: Timestamp,
}

/// A chain in the stretch that is being folded.
#[derive(Debug, Clone)]
struct Chain {
    /// What its first record in the stretch says of the one before it: ledger sequence, hash,
    /// and the first record's sequence in the shard.
    before: (u64, Option<RecordHash>),
    first_sequence: u64,
    head: Head,
    /// The entry of its last record, since places are noted once per entry.
    entry: Position,
}

/// What a chain's first record in a stretch goes on from. The caller holds it against the head
/// that the projection knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The chain.
    pub ledger: LedgerName,
    /// Ledger sequence before the first record; 0 where it is the chain's first.
    pub ledger_sequence: u64,
    /// What the first record says is the hash before it.
    pub previous_hash: Option<RecordHash>,
    /// Sequence of the first record in the shard, to name the place.
    pub sequence: u64,
}

/// A stretch of a shard's log as it is being folded.
#[derive(Debug, Default)]
pub struct Fold {
    ledgers: Vec<LedgerName>,
    chains: Vec<Chain>,
    index: HashMap<LedgerName, u32>,
    /// The ledger of the last record: most records follow one of the same ledger.
    recent: usize,
    records: u64,
    ledger_rows: Vec<LedgerRow>,
    accounts: Vec<AccountRow>,
    /// Balances of accounts that a record changed without moving anything on them.
    unmoved: Vec<BalanceRow>,
    open_holds: Vec<(LedgerIndex, AccountNumber, i64)>,
    transactions: Vec<TransactionRow>,
    history: Vec<HistoryRow>,
    keys: Vec<KeyRow>,
    places: Vec<PlaceRow>,
    /// Of the record at hand; kept for their memory.
    moves: Vec<(AccountNumber, Movement)>,
    after: Vec<ResultingBalance>,
}

/// What rows say of the record that they come from.
#[derive(Debug, Clone)]
struct Source {
    ledger: LedgerIndex,
    ledger_sequence: u64,
    recorded_at: Timestamp,
    key: IdempotencyKey,
    entry: KeyEntry,
}

impl Fold {
    /// An empty stretch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records folded so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next record of the shard, the one of `sequence`, which stands in the entry at
    /// `position`. (What was carried over from another log says another sequence itself.)
    ///
    /// # Errors
    /// [`Unfit`]; the stretch is not to be used then.
    pub fn add(
        &mut self,
        position: Position,
        sequence: u64,
        sealed: SealedRecord,
    ) -> Result<(), Unfit> {
        let SealedRecord { record, hash, .. } = sealed;
        let ledger = self.link(position, sequence, &record, hash)?;
        self.records += 1;
        let source = Source {
            ledger,
            ledger_sequence: record.ledger_sequence,
            recorded_at: record.moment.recorded_at,
            entry: KeyEntry {
                request_hash: record.request_hash.unwrap_or_default(),
                sequence,
            },
            key: record.key,
        };
        if record.payload.is_engine() {
            return Ok(());
        }
        if record.ledger.is_engine() {
            return Err(Unfit::Chain);
        }
        let keyed = match record.payload {
            Payload::Event(event) => {
                let keyed = self.event(&source, event, false);
                self.settle(&source)?;
                keyed
            }
            _ => false,
        };
        if !keyed {
            self.keys.push(KeyRow {
                ledger,
                key: source.key,
                entry: source.entry,
            });
        }
        Ok(())
    }

    /// What each chain of the stretch goes on from.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        self.ledgers
            .iter()
            .zip(&self.chains)
            .map(|(ledger, chain)| Link {
                ledger: ledger.clone(),
                ledger_sequence: chain.before.0,
                previous_hash: chain.before.1,
                sequence: chain.first_sequence,
            })
    }

    /// Where each chain of the stretch stands after it.
    pub fn heads(&self) -> impl Iterator<Item = (&LedgerName, Head)> {
        self.ledgers
            .iter()
            .zip(self.chains.iter().map(|chain| chain.head))
    }

    /// The rows, each the final one of the stretch, sorted as the port says.
    ///
    /// # Errors
    /// [`Unfit::Overflow`].
    pub fn finish(self) -> Result<Changes, Unfit> {
        finish::finish(self)
    }

    /// Checks that `record` follows the one before it in its chain, and moves the chain.
    fn link(
        &mut self,
        position: Position,
        sequence: u64,
        record: &Record,
        hash: RecordHash,
    ) -> Result<LedgerIndex, Unfit> {
        let head = Head {
            ledger_sequence: record.ledger_sequence,
            record_hash: hash,
            recorded_at: record.moment.recorded_at,
        };
        let found = match self.ledgers.get(self.recent) {
            Some(recent) if *recent == record.ledger => Some(self.recent),
            _ => self.index.get(&record.ledger).map(|index| *index as usize),
        };
        let (index, new_place) = match found {
            Some(index) => {
                let chain = &mut self.chains[index];
                if record.ledger_sequence != chain.head.ledger_sequence + 1 {
                    return Err(Unfit::LedgerSequence {
                        expected: chain.head.ledger_sequence + 1,
                    });
                }
                if record.previous_hash != Some(chain.head.record_hash) {
                    return Err(Unfit::PreviousHash);
                }
                chain.head = head;
                let moved = chain.entry != position;
                chain.entry = position;
                (index, moved)
            }
            None => {
                let before = record
                    .ledger_sequence
                    .checked_sub(1)
                    .ok_or(Unfit::LedgerSequence { expected: 1 })?;
                let index = self.ledgers.len();
                self.index.insert(record.ledger.clone(), index as u32);
                self.ledgers.push(record.ledger.clone());
                self.chains.push(Chain {
                    before: (before, record.previous_hash),
                    first_sequence: sequence,
                    head,
                    entry: position,
                });
                (index, true)
            }
        };
        self.recent = index;
        let ledger = LedgerIndex(index as u32);
        if new_place {
            self.places.push(PlaceRow {
                ledger,
                ledger_sequence: record.ledger_sequence,
                sequence,
                position,
                recorded_at: record.moment.recorded_at,
            });
        }
        Ok(ledger)
    }
}
