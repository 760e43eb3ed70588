//! A ledger under test: the state, a log of all that was decided, and an index as the read
//! models would keep it.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod model;
pub mod table;

use std::collections::BTreeMap;

use ledger_core::canonical::request_hash;
use ledger_core::command::Command;
use ledger_core::event::Event;
use ledger_core::facts::{Facts, FactsNeeded, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::ledger::{KeyLookup, LedgerImage, LedgerState};
use ledger_core::name::LedgerName;
use ledger_core::rejection::Rejection;
use ledger_core::time::{Day, Moment, Timestamp};
use ledger_core::transaction::Transaction;

/// What is done to the state after each command; outcomes must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Direct,
    /// A second state is replayed from the whole log and must be the same.
    Replay,
    /// The state goes on from its image.
    Image,
    /// Memory lets go of every record at once: facts come from the index.
    Forget,
}

pub const MODES: [Mode; 4] = [Mode::Direct, Mode::Replay, Mode::Image, Mode::Forget];

/// What a command came to.
#[allow(clippy::large_enum_variant, reason = "one at a time, in tests")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Decided(Result<Event, Rejection>),
    Repeated(u64),
    Reused,
}

/// One decision in the log.
#[derive(Debug, Clone)]
pub struct Logged {
    pub key: IdempotencyKey,
    pub entry: KeyEntry,
    pub moment: Moment,
    pub outcome: Result<Event, Rejection>,
}

/// Keys and transactions as read models keep them.
#[derive(Debug, Default)]
pub struct Index {
    keys: BTreeMap<IdempotencyKey, KeyEntry>,
    pub transactions: BTreeMap<TransactionId, Transaction>,
}

impl Index {
    fn load(&self, needed: &FactsNeeded, through: u64) -> Facts {
        Facts {
            through,
            keys: needed
                .key
                .iter()
                .filter_map(|key| self.keys.get_key_value(key))
                .map(|(key, entry)| (key.clone(), *entry))
                .collect(),
            transactions: needed
                .transactions
                .iter()
                .filter_map(|id| self.transactions.get_key_value(id))
                .map(|(id, transaction)| (*id, transaction.clone()))
                .collect(),
        }
    }

    fn apply(&mut self, event: &Event) {
        let mut put = |transaction: &Transaction| {
            self.transactions
                .insert(transaction.id, transaction.clone());
        };
        match event {
            Event::TransactionCreated(e) => put(&e.transaction),
            Event::TransactionCaptured(e) => {
                put(&e.capture);
                put(&e.hold);
            }
            Event::TransactionReleased(e) => put(&e.hold),
            Event::TransactionReversed(e) => {
                put(&e.reversal);
                put(&e.original);
            }
            Event::TransactionUpdated(e) => put(&e.transaction),
            Event::Atomic(events) => events.iter().for_each(|event| self.apply(event)),
            _ => {}
        }
    }
}

/// See the module.
pub struct World {
    pub mode: Mode,
    pub state: LedgerState,
    pub log: Vec<Logged>,
    pub index: Index,
    pub now: Moment,
}

pub fn moment(day: i32, seconds: i64) -> Moment {
    Moment {
        recorded_at: Timestamp::from_micros((i64::from(day) * 86_400 + seconds) * 1_000_000)
            .expect("a time within years 1 to 9999"),
        business_date: Day(day),
    }
}

pub fn ledger() -> LedgerName {
    LedgerName::new("bank").expect("a name")
}

impl World {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            state: LedgerState::new(ledger(), 11),
            log: Vec::new(),
            index: Index::default(),
            now: moment(20_000, 0),
        }
    }

    fn sequence(&self) -> u64 {
        // The ledger shares its shard: sequences have gaps.
        self.log.last().map_or(0, |logged| logged.entry.sequence)
    }

    /// What `command` would come to; nothing is changed.
    pub fn judge(&self, command: &Command) -> Outcome {
        let hash = request_hash(self.state.name(), command);
        let needed = self.state.facts_needed(&command.key, &command.operation);
        let facts = self.index.load(&needed, self.sequence());
        match self.state.lookup_key(&command.key, &hash, &facts) {
            KeyLookup::New => Outcome::Decided(self.state.decide(command, &facts, self.now)),
            KeyLookup::Repeated(sequence) => Outcome::Repeated(sequence),
            KeyLookup::Reused => Outcome::Reused,
            KeyLookup::Unknown => panic!("facts were loaded for {}", command.key),
        }
    }

    /// Decides `command` and, where it is new, records what it came to.
    pub fn submit(&mut self, command: &Command) -> Outcome {
        let outcome = self.judge(command);
        if let Outcome::Decided(decided) = &outcome {
            if let Ok(event) = decided {
                self.state.evolve(event, self.now);
                self.index.apply(event);
            }
            let entry = KeyEntry {
                request_hash: request_hash(self.state.name(), command),
                sequence: self.sequence() + 3,
            };
            self.state.remember_key(command.key.clone(), entry);
            self.index.keys.insert(command.key.clone(), entry);
            self.log.push(Logged {
                key: command.key.clone(),
                entry,
                moment: self.now,
                outcome: decided.clone(),
            });
            self.after_command();
        }
        outcome
    }

    fn after_command(&mut self) {
        match self.mode {
            Mode::Direct => {}
            Mode::Replay => {
                let replayed = self.replayed();
                assert_eq!(replayed.to_image(), self.state.to_image(), "replay");
            }
            Mode::Image => {
                let image = self.state.to_image();
                let seed = self.sequence();
                self.state = LedgerState::from_image(image.clone(), seed).expect("a sound image");
                assert_eq!(self.state.to_image(), image, "an image gives itself again");
            }
            Mode::Forget => {
                self.state.forget_through(self.sequence());
                assert_eq!(self.state.remembered(), 0);
            }
        }
    }

    /// A state made of the log alone.
    pub fn replayed(&self) -> LedgerState {
        let mut state = LedgerState::new(ledger(), 5);
        for logged in &self.log {
            if let Ok(event) = &logged.outcome {
                state.evolve(event, logged.moment);
            }
            state.remember_key(logged.key.clone(), logged.entry);
        }
        state
    }

    /// The state without what it remembers of keys and ended transactions.
    pub fn books(&self) -> LedgerImage {
        let mut image = self.state.to_image();
        image.keys.clear();
        image.transactions.clear();
        image.forgotten_through = 0;
        image.forgotten_stamp = None;
        image
    }
}

/// A UUIDv7 key, stamped `millisecond` and told apart by `number`.
pub fn uuid_key(millisecond: u64, number: u32) -> IdempotencyKey {
    let uuid = u128::from(millisecond) << 80 | 7 << 76 | 0b10 << 62 | u128::from(number);
    IdempotencyKey::from_uuid(uuid).expect("made as a UUIDv7")
}
