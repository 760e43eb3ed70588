//! A machine, a log in memory and read models that follow it: everything that a test needs, one
//! step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ledger_core::account::{AccountType, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::{
    AccountRef, AmountSpec, Command, CreateLedger, CreateTransaction, OpenAccount, Operation,
    PostingSpec,
};
use ledger_core::event::Event;
use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::Metadata;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode, Transaction};
use ports::log::{Attached, Batch, CommitOutcome, Position};
use ports::strong::{StrongError, StrongQuery, StrongRead};
use schemas::record::{LogId, Payload, SealedRecord, frame};
use shard_state::ShardState;

use crate::writer::batch::{Commit, FactsLoad, Repeat};
use crate::writer::machine::{Bounds, Machine};
use crate::writer::request::{Outcome, Request, Want};

pub const LOG: LogId = LogId([7; 16]);
pub const START: i64 = 1_780_000_000_000_000;

pub fn bank() -> LedgerName {
    LedgerName::new("bank").unwrap()
}

pub fn t(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros).unwrap()
}

/// A UUIDv7 key stamped `millis` after the start.
pub fn uuid_key(millis: i64, number: u64) -> IdempotencyKey {
    let stamp = ((START / 1000 + millis) as u128) << 80;
    IdempotencyKey::from_uuid(stamp | 7 << 76 | 0b10 << 62 | u128::from(number)).unwrap()
}

pub fn text_key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub fn named(name: &str) -> AccountRef {
    AccountRef::Name(AccountName::new(name).unwrap())
}

pub fn request(ledger: LedgerName, key: IdempotencyKey, operation: Operation) -> Request {
    let command = Command {
        key,
        conditions: Vec::new(),
        operation,
    };
    Request {
        request_hash: request_hash(&ledger, &command),
        ledger,
        command,
        validate_only: false,
        want: Want::default(),
        source: Arc::default(),
        ingested: None,
    }
}

pub fn create_ledger() -> Operation {
    Operation::CreateLedger(CreateLedger {
        time_zone: "UTC".into(),
        ..CreateLedger::default()
    })
}

pub fn open(name: &str, account_type: AccountType, minimum: Option<i128>) -> Operation {
    Operation::OpenAccount(OpenAccount {
        name: AccountName::new(name).unwrap(),
        asset: Asset::new("USD", 2).unwrap(),
        account_type,
        limits: Limits {
            minimum,
            ..Limits::default()
        },
        metadata: Metadata::default(),
    })
}

pub fn transfer(from: &str, to: &str, amount: u128) -> Operation {
    Operation::CreateTransaction(create_transaction(from, to, amount))
}

pub fn hold(from: &str, to: &str, amount: u128, expires_at: Option<Timestamp>) -> Operation {
    Operation::CreateTransaction(CreateTransaction {
        hold: Some(HoldTerms {
            expires_at,
            over_capture_up_to: None,
        }),
        ..create_transaction(from, to, amount)
    })
}

pub fn create_transaction(from: &str, to: &str, amount: u128) -> CreateTransaction {
    CreateTransaction {
        postings: vec![PostingSpec {
            debit: named(from),
            credit: named(to),
            amount: AmountSpec::Exact(Amount::new(amount).unwrap()),
            asset: None,
        }],
        effective_at: None,
        hold: None,
        limits: LimitsMode::Enforce,
        description: None,
        metadata: Metadata::default(),
    }
}

/// The transactions that an event carries, as they are after it.
pub fn transactions(event: &Event) -> Vec<&Transaction> {
    match event {
        Event::TransactionCreated(e) => vec![&e.transaction],
        Event::TransactionCaptured(e) => vec![&e.capture, &e.hold],
        Event::TransactionReleased(e) => vec![&e.hold],
        Event::TransactionReversed(e) => vec![&e.reversal, &e.original],
        Event::TransactionUpdated(e) => vec![&e.transaction],
        Event::Atomic(events) => events.iter().flat_map(transactions).collect(),
        _ => Vec::new(),
    }
}

/// A machine and what is around it. Nothing happens but by its methods.
pub struct World {
    pub machine: Machine<u32>,
    pub bounds: Bounds,
    pub now: Timestamp,
    /// What stands in the log, decoded.
    pub log: Vec<SealedRecord>,
    /// How far the read models have got.
    pub projected: u64,
    pub in_flight: Option<Batch>,
    /// A commit without records is in flight, with what is attached to it.
    pub confirming: Option<Attached>,
    /// What was attached to batches and confirmations that are durable.
    pub attached: Vec<Attached>,
    /// Tags of what was attached and is durable.
    pub told: Vec<u32>,
    /// Another writer may depose this one.
    pub deposable: bool,
    pub load: Option<FactsLoad>,
    pub repeats: Vec<Repeat<u32>>,
    pub outcomes: BTreeMap<u32, Outcome>,
    pub reads: BTreeMap<u32, Result<StrongRead, StrongError>>,
    next_tag: u32,
    claims: u8,
}

impl World {
    /// An empty log, claimed.
    pub fn new(bounds: Bounds) -> Self {
        let state = ShardState::new(LOG, 0, 1, 1);
        let mut world = Self {
            machine: Machine::new(state, bounds, t(0), false).unwrap(),
            bounds,
            now: t(0),
            log: Vec::new(),
            projected: 0,
            in_flight: None,
            confirming: None,
            attached: Vec::new(),
            told: Vec::new(),
            deposable: false,
            load: None,
            repeats: Vec::new(),
            outcomes: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_tag: 0,
            claims: 0,
        };
        world.claim();
        world
    }

    /// One with the ledger `bank`, and accounts `cash` (no limit) and `a` to `d` (never below
    /// zero).
    pub fn with_bank(bounds: Bounds) -> Self {
        let mut world = Self::new(bounds);
        let mut operations = vec![create_ledger(), open("cash", AccountType::Asset, None)];
        for name in ["a", "b", "c", "d"] {
            operations.push(open(name, AccountType::Liability, Some(0)));
        }
        for (number, operation) in operations.into_iter().enumerate() {
            let key = text_key(&format!("setup-{number}"));
            let outcome = world.run(request(bank(), key, operation));
            assert!(is_accepted(&outcome), "{outcome:?}");
        }
        world
    }

    /// From now on another writer may depose this one.
    pub fn set_deposable(&mut self) {
        self.deposable = true;
        self.machine.set_deposable(true);
    }

    fn claim(&mut self) {
        self.machine.set_deposable(self.deposable);
        self.claims = self.claims.wrapping_add(1);
        self.machine.claim([self.claims; 16], "test");
        self.collect();
    }

    /// A new machine on what stands in the log.
    pub fn recover(&mut self) -> Result<(), crate::writer::guard::ClockFault> {
        let state = self.replayed();
        let machine = Machine::new(state, self.bounds, self.now, false)?;
        self.machine = machine;
        self.in_flight = None;
        self.confirming = None;
        self.load = None;
        self.repeats.clear();
        self.claim();
        Ok(())
    }

    /// The state that replay of the log gives.
    pub fn replayed(&self) -> ShardState {
        let mut state = ShardState::new(LOG, 0, 1, 1);
        for record in &self.log {
            state.apply(record.record.sequence, record).unwrap();
        }
        state
    }

    pub fn submit(&mut self, request: Request) -> u32 {
        self.next_tag += 1;
        self.machine.submit(self.next_tag, request);
        self.next_tag
    }

    pub fn read(&mut self, query: StrongQuery) -> u32 {
        self.next_tag += 1;
        self.machine.read(self.next_tag, bank(), query);
        self.next_tag
    }

    /// One step of the machine.
    pub fn step(&mut self, most: usize) -> bool {
        let _ = self.machine.tick(self.now, self.projected);
        let more = self.machine.step(most);
        self.collect();
        more
    }

    fn collect(&mut self) {
        let outputs = self.machine.outputs();
        if let Some(commit) = outputs.commit {
            assert!(!self.is_committing(), "one commit at a time");
            match commit {
                Commit::Batch(batch) => self.in_flight = Some(batch),
                Commit::Confirm(attached) => self.confirming = Some(attached),
            }
        }
        self.told.extend(outputs.attached);
        if let Some(load) = outputs.load {
            assert!(self.load.is_none(), "one load at a time");
            self.load = Some(load);
        }
        self.repeats.extend(outputs.repeats);
        for (tag, outcome) in outputs.replies {
            assert!(
                self.outcomes.insert(tag, outcome).is_none(),
                "answered once"
            );
        }
        for (tag, read) in outputs.reads {
            assert!(self.reads.insert(tag, read).is_none(), "answered once");
        }
    }

    /// Writes the first `records` of the batch in flight, without telling the machine.
    pub fn write(&mut self, records: usize) {
        let batch = self.in_flight.as_ref().expect("a batch is in flight");
        assert_eq!(batch.first_sequence, self.log.len() as u64 + 1);
        let bodies: Vec<Bytes> = frame::split(batch.body.clone()).unwrap();
        assert_eq!(bodies.len(), batch.record_count as usize);
        for bytes in bodies.into_iter().take(records) {
            self.log.push(schemas::record::decode(bytes).unwrap());
        }
    }

    /// True while something is being made durable.
    pub fn is_committing(&self) -> bool {
        self.in_flight.is_some() || self.confirming.is_some()
    }

    /// What is in flight is durable.
    pub fn commit(&mut self) {
        if self.in_flight.is_some() {
            self.write(usize::MAX);
        }
        self.tell_committed();
    }

    /// The machine hears that what is in flight is durable.
    pub fn tell_committed(&mut self) {
        let batch = self.in_flight.take().map(|batch| batch.attached);
        self.attached.extend(batch.or(self.confirming.take()));
        let position = Position(self.log.len() as u64);
        self.machine
            .committed(CommitOutcome::Committed(position))
            .unwrap();
        self.collect();
    }

    /// The facts that were asked for arrive, as of what the read models have passed.
    pub fn load(&mut self) {
        let load = self.load.take().expect("a load is under way");
        let facts = self.facts_of(&load, self.projected);
        self.machine.facts_loaded(load.id, Ok(facts));
    }

    /// What another machine asked for, as of read models that have passed `through`.
    pub fn facts_of(&self, load: &FactsLoad, through: u64) -> Vec<(LedgerName, Facts)> {
        let needed = load.needed.iter();
        needed
            .map(|(ledger, needed)| (ledger.clone(), self.facts(ledger, needed, through)))
            .collect()
    }

    fn facts(&self, ledger: &LedgerName, needed: &[FactsNeeded], through: u64) -> Facts {
        let mut facts = Facts {
            through,
            ..Facts::default()
        };
        for need in needed {
            for sealed in &self.log[..through as usize] {
                let record = &sealed.record;
                if record.ledger != *ledger {
                    continue;
                }
                if need.key.as_ref() == Some(&record.key) {
                    let entry = shard_state::key_entry(record);
                    facts.keys.insert(record.key.clone(), entry);
                }
                if let Payload::Event(event) = &record.payload {
                    for transaction in transactions(event) {
                        if need.transactions.contains(&transaction.id) {
                            facts
                                .transactions
                                .insert(transaction.id, transaction.clone());
                        }
                    }
                }
            }
        }
        facts
    }

    /// The records of repeated keys arrive.
    pub fn answer_repeats(&mut self) {
        for repeat in std::mem::take(&mut self.repeats) {
            let record = self.log[repeat.sequence as usize - 1].clone();
            self.machine.repeat_loaded(repeat, Ok(record));
        }
        self.collect();
    }

    /// Everything that can happen happens, until nothing is left to do.
    pub fn settle(&mut self) {
        loop {
            let more = self.step(usize::MAX);
            if self.load.is_some() {
                self.projected = self.log.len() as u64;
                self.load();
            } else if self.is_committing() {
                self.commit();
            } else if !self.repeats.is_empty() {
                self.answer_repeats();
            } else if !more && self.machine.is_idle() {
                return;
            }
        }
    }

    /// The outcome of one command, all the way.
    pub fn run(&mut self, request: Request) -> Outcome {
        let tag = self.submit(request);
        self.settle();
        self.outcomes.remove(&tag).expect("it was answered")
    }
}

pub fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Decided(decided) if decided.result.is_ok())
}

/// The code of a refusal or fault; `OK` for none.
pub fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Declined(fault) => fault.code(),
        Outcome::Decided(decided) => match &decided.result {
            Ok(_) => "OK",
            Err(rejection) => rejection.code.as_str(),
        },
    }
}

pub fn transaction_of(outcome: &Outcome) -> TransactionId {
    match outcome {
        Outcome::Decided(decided) => decided.result.as_ref().unwrap().transaction.unwrap(),
        Outcome::Declined(fault) => panic!("{fault}"),
    }
}
