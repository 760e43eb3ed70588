//! Keys and ended transactions: what memory alone decides, what it asks facts for, and that it
//! lets go.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod harness;

use ledger_core::command::*;
use ledger_core::facts::{Facts, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::ledger::{KeyLookup, LedgerState};

use harness::table::amount;
use harness::{Mode, World, ledger, moment, uuid_key};
use ledger_core::account::{AccountType, Limits};
use ledger_core::asset::Asset;
use ledger_core::name::AccountName;
use ledger_core::transaction::LimitsMode;

const HASH: [u8; 16] = [7; 16];

fn text_key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn entry(sequence: u64) -> KeyEntry {
    KeyEntry {
        request_hash: HASH,
        sequence,
    }
}

fn facts(through: u64, keys: &[(IdempotencyKey, KeyEntry)]) -> Facts {
    Facts {
        through,
        keys: keys.iter().cloned().collect(),
        ..Facts::default()
    }
}

/// A state that remembers `count` refusals, stamped 1,000 on, at sequences 10, 20, ….
fn remembering(count: u32) -> LedgerState {
    let mut state = LedgerState::new(ledger(), 3);
    for i in 1..=count {
        state.remember_key(uuid_key(1_000 + u64::from(i), i), entry(u64::from(i) * 10));
    }
    state
}

const ASKED: Operation = Operation::ExpireHold(TransactionId(5));

#[test]
fn while_nothing_was_forgotten_memory_decides_alone() {
    let state = remembering(5);
    for key in [uuid_key(1, 99), text_key("never")] {
        assert!(state.facts_needed(&key, &ASKED).is_empty());
        let found = state.lookup_key(&key, &HASH, &Facts::default());
        assert_eq!(found, KeyLookup::New);
    }
    let known = uuid_key(1_003, 3);
    let none = Facts::default();
    assert_eq!(
        state.lookup_key(&known, &HASH, &none),
        KeyLookup::Repeated(30)
    );
    assert_eq!(state.lookup_key(&known, &[8; 16], &none), KeyLookup::Reused);
}

#[test]
fn letting_go_ends_at_the_sequence_that_was_said() {
    let mut state = remembering(5);
    state.forget_through(35);
    assert_eq!(state.remembered(), 2);
    // The last of this ledger's records that left, not the sequence that was said.
    assert_eq!(state.forgotten_through(), 30);
    state.forget_through(20);
    assert_eq!((state.remembered(), state.forgotten_through()), (2, 30));
    state.forget_through(1_000);
    assert_eq!((state.remembered(), state.forgotten_through()), (0, 50));
}

#[test]
fn a_later_stamp_than_all_that_was_forgotten_needs_no_facts() {
    let mut state = remembering(5);
    state.forget_through(30);
    let none = Facts::default();
    // Stamped after the newest that left: it cannot be among them.
    let later = uuid_key(1_004, 77);
    assert_eq!(state.facts_needed(&later, &ASKED).key, None);
    assert_eq!(state.lookup_key(&later, &HASH, &none), KeyLookup::New);
    // In memory still.
    let known = uuid_key(1_004, 4);
    assert_eq!(state.facts_needed(&known, &ASKED).key, None);
    assert_eq!(
        state.lookup_key(&known, &HASH, &none),
        KeyLookup::Repeated(40)
    );
    // Stamped as the newest that left, or before, or no stamp at all: only the index can tell.
    for key in [
        uuid_key(1_003, 3),
        uuid_key(1_003, 77),
        uuid_key(5, 5),
        text_key("t"),
    ] {
        assert_eq!(state.facts_needed(&key, &ASKED).key.as_ref(), Some(&key));
        assert_eq!(state.lookup_key(&key, &HASH, &none), KeyLookup::Unknown);
        let too_old = facts(29, &[]);
        assert_eq!(state.lookup_key(&key, &HASH, &too_old), KeyLookup::Unknown);
        let loaded = facts(30, &[]);
        assert_eq!(state.lookup_key(&key, &HASH, &loaded), KeyLookup::New);
        let found = facts(30, &[(key.clone(), entry(30))]);
        assert_eq!(
            state.lookup_key(&key, &HASH, &found),
            KeyLookup::Repeated(30)
        );
        assert_eq!(state.lookup_key(&key, &[1; 16], &found), KeyLookup::Reused);
    }
}

#[test]
fn one_stamp_from_the_future_sends_earlier_ones_to_the_index() {
    let mut state = LedgerState::new(ledger(), 3);
    state.remember_key(uuid_key(9_000, 1), entry(1));
    state.remember_key(uuid_key(1_000, 2), entry(2));
    state.forget_through(2);
    let key = uuid_key(8_999, 3);
    assert_eq!(
        state.lookup_key(&key, &HASH, &Facts::default()),
        KeyLookup::Unknown
    );
}

#[test]
fn memory_wins_over_facts() {
    let mut state = remembering(5);
    state.forget_through(10);
    let key = uuid_key(1_002, 2);
    let contradicting = facts(10, &[(key.clone(), entry(10))]);
    assert_eq!(
        state.lookup_key(&key, &HASH, &contradicting),
        KeyLookup::Repeated(20)
    );
}

#[test]
fn many_records_are_found_and_forgotten_over_many_chunks() {
    let count = 30_000;
    let mut state = LedgerState::new(ledger(), 3);
    for i in 1..=count {
        let key = match i % 3 {
            0 => text_key(&format!("row {i}")),
            _ => uuid_key(1_000 + u64::from(i), i),
        };
        state.remember_key(key, entry(u64::from(i)));
        if i % 1_000 == 0 {
            state.forget_through(u64::from(i).saturating_sub(9_500));
        }
    }
    assert_eq!(state.remembered(), 9_500);
    let none = Facts::default();
    for i in [1, 20_000, 20_500, 20_501, 25_000, count] {
        let key = match i % 3 {
            0 => text_key(&format!("row {i}")),
            _ => uuid_key(1_000 + u64::from(i), i),
        };
        let expected = match i > 20_500 {
            true => KeyLookup::Repeated(u64::from(i)),
            false => KeyLookup::Unknown,
        };
        assert_eq!(state.lookup_key(&key, &HASH, &none), expected, "{i}");
    }
    let restored = LedgerState::from_image(state.to_image(), 99).unwrap();
    assert_eq!(restored.to_image(), state.to_image());
    assert_eq!(restored.forgotten_through(), 20_500);
}

#[test]
#[should_panic(expected = "was remembered after record")]
fn sequences_rise() {
    let mut state = remembering(2);
    state.remember_key(uuid_key(1, 9), entry(20));
}

#[test]
#[should_panic(expected = "is remembered for another record already")]
fn a_key_is_remembered_once() {
    let mut state = remembering(2);
    state.remember_key(uuid_key(1_001, 1), entry(21));
}

fn name(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

fn post(units: &str) -> Operation {
    Operation::CreateTransaction(CreateTransaction {
        postings: vec![PostingSpec {
            debit: AccountRef::Name(name("a")),
            credit: AccountRef::Name(name("b")),
            amount: AmountSpec::Exact(amount(units)),
            asset: None,
        }],
        effective_at: None,
        hold: None,
        limits: LimitsMode::Enforce,
        description: None,
        metadata: Default::default(),
    })
}

fn reverse(original: TransactionId) -> Operation {
    Operation::ReverseTransaction(ReverseTransaction {
        original,
        amounts: vec![(0, amount("1"))],
        effective_at: None,
        limits: LimitsMode::Enforce,
        description: None,
        metadata: Default::default(),
    })
}

fn world() -> World {
    let mut world = World::new(Mode::Direct);
    let mut operations = vec![Operation::CreateLedger(CreateLedger::default())];
    for account in ["a", "b"] {
        operations.push(Operation::OpenAccount(OpenAccount {
            name: name(account),
            asset: Asset::parse("USD/2").unwrap(),
            account_type: AccountType::Liability,
            limits: Limits::default(),
            metadata: Default::default(),
        }));
    }
    for (i, operation) in (1..).zip(operations) {
        world.submit(&command(uuid_key(i, 0), operation));
    }
    world
}

fn command(key: IdempotencyKey, operation: Operation) -> Command {
    Command {
        key,
        conditions: Vec::new(),
        operation,
    }
}

#[test]
fn transactions_are_remembered_by_the_last_record_that_touched_them() {
    for key in [uuid_key(50, 1), text_key("row 1")] {
        let mut world = world();
        let id = key.transaction_id(&ledger());
        world.submit(&command(key, post("9")));
        let made = world.log.last().unwrap().entry.sequence;
        world.submit(&command(uuid_key(51, 1), reverse(id)));
        let touched = world.log.last().unwrap().entry.sequence;
        world.state.forget_through(made);
        let known = world.state.remembered_transaction(id).unwrap();
        assert_eq!(known, world.index.transactions[&id]);
        assert_eq!(known.version, 2);
        let operation = reverse(id);
        let needed = world.state.facts_needed(&uuid_key(99, 1), &operation);
        assert!(needed.is_empty());
        world.state.forget_through(touched);
        assert_eq!(world.state.remembered_transaction(id), None);
        let needed = world.state.facts_needed(&uuid_key(99, 1), &operation);
        assert_eq!(needed.transactions, [id]);
        // A batch asks for what its members name, once each.
        let member = AtomicMember {
            conditions: Vec::new(),
            operation,
        };
        let batch = Operation::Atomic(vec![member.clone(), member]);
        let needed = world.state.facts_needed(&uuid_key(99, 1), &batch);
        assert_eq!(needed.transactions, [id]);
        // The index fills the gap.
        world.submit(&command(uuid_key(99, 1), batch));
        assert_eq!(world.index.transactions[&id].version, 4);
    }
}

#[test]
#[should_panic(expected = "load facts_needed again")]
fn deciding_on_facts_that_are_too_old_stops_the_shard() {
    let mut world = world();
    let key = uuid_key(50, 1);
    let id = key.transaction_id(&ledger());
    world.submit(&command(key, post("9")));
    let made = world.log.last().unwrap().entry.sequence;
    world.state.forget_through(made);
    let stale = Facts {
        through: made - 1,
        ..Facts::default()
    };
    let _ = world
        .state
        .decide(&command(uuid_key(60, 1), reverse(id)), &stale, world.now);
}

#[test]
fn an_event_whose_key_was_not_remembered_cannot_be_followed() {
    let mut world = world();
    let moment = moment(20_000, 1);
    let first = command(uuid_key(50, 1), post("9"));
    let event = world
        .state
        .decide(&first, &Facts::default(), moment)
        .unwrap();
    world.state.evolve(&event, moment);
    let second = command(uuid_key(51, 1), post("9"));
    let event = world
        .state
        .decide(&second, &Facts::default(), moment)
        .unwrap();
    assert!(world.state.try_evolve(&event, moment).is_err());
}
