//! Damaged input: events that cannot follow, images that contradict themselves. Each is refused
//! with words, and none panics but `evolve`, which says so.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod harness;

use ledger_core::account::{AccountNumber, AccountStatus};
use ledger_core::amount::Amount;
use ledger_core::command::{Command, CreateLedger, Operation};
use ledger_core::event::Event;
use ledger_core::facts::Facts;
use ledger_core::ledger::{LedgerImage, LedgerState};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Progress, TransactionStatus};

use harness::table::{Table, parse, run_all};
use harness::{Mode, World, uuid_key};

const STORY: &str = "
== a story
open a=cash type=asset
open a=alice min=0 velocity=day:out:500
open a=bob
post id=t p=cash>alice:100
hold id=h p=alice>bob:50
capture of=h amounts=0:20
hold id=g p=alice>bob:5
void of=g
reverse of=t amounts=0:10
amend of=t words=x
freeze a=bob
limit a=alice min=-5
close_books through=-5
change words=y
atomic
  open a=carol
  post p=cash>carol:1
";

fn told() -> World {
    let tables: Vec<Table> = parse(STORY);
    run_all(&tables[0], Mode::Direct)
}

fn units(units: u128) -> Amount {
    Amount::new(units).unwrap()
}

/// Every way to damage an event that its balances, versions or postings show.
fn damages(event: &Event) -> Vec<Event> {
    let mut all = Vec::new();
    let mut change = |damage: &dyn Fn(&mut Event)| {
        let mut damaged = event.clone();
        damage(&mut damaged);
        if damaged != *event {
            all.push(damaged);
        }
    };
    fn balances(event: &mut Event) -> Option<&mut ledger_core::event::ResultingBalances> {
        match event {
            Event::TransactionCreated(e) => Some(&mut e.balances),
            Event::TransactionCaptured(e) => Some(&mut e.balances),
            Event::TransactionReleased(e) => Some(&mut e.balances),
            Event::TransactionReversed(e) => Some(&mut e.balances),
            Event::Atomic(events) => balances(events.last_mut()?),
            _ => None,
        }
    }
    change(&|e| {
        if let Some(balances) = balances(e) {
            balances[0].totals.debits_posted = units(7_777);
        }
    });
    change(&|e| {
        if let Some(balances) = balances(e) {
            balances[0].version += 1;
        }
    });
    change(&|e| {
        if let Some(balances) = balances(e) {
            balances.pop();
        }
    });
    change(&|e| {
        if let Some(balances) = balances(e) {
            balances.reverse();
        }
    });
    change(&|e| {
        if let Some(balances) = balances(e) {
            balances[0].account = AccountNumber(99);
        }
    });
    change(&|e| match e {
        Event::TransactionCreated(e) => e.transaction.postings[0].amount = units(1_234),
        Event::TransactionCaptured(e) => e.capture.postings[0].amount = units(1),
        Event::TransactionReleased(e) => e.hold.status = TransactionStatus::Pending,
        Event::TransactionReversed(e) => e.reversal.postings[0].amount = units(99),
        Event::TransactionUpdated(e) => e.transaction.version += 1,
        Event::AccountOpened(e) => e.number.0 += 1,
        Event::AccountUpdated(e) => e.version += 1,
        Event::AccountStatusChanged(e) => e.version += 1,
        Event::LedgerUpdated(e) => e.version += 1,
        Event::LedgerCreated(e) => e.version += 1,
        Event::BooksChanged(e) => e.version += 1,
        Event::Atomic(events) => events.swap(0, 1),
    });
    change(&|e| match e {
        Event::TransactionCreated(e) => e.transaction.postings[0].debit = AccountNumber(99),
        Event::TransactionCaptured(e) => e.capture.sources[0] = 9,
        Event::TransactionReleased(e) => e.expired = true,
        Event::TransactionReversed(e) => e.reversal.sources.clear(),
        Event::TransactionUpdated(e) => e.transaction.progress.push(Progress {
            captured: units(1),
            reversed: units(1),
        }),
        Event::AccountOpened(e) => {
            e.terms.name = ledger_core::name::AccountName::new("cash").unwrap()
        }
        Event::AccountUpdated(e) => e.number = AccountNumber(99),
        Event::AccountStatusChanged(e) => e.status = AccountStatus::Closed,
        Event::Atomic(events) => events.push(Event::Atomic(Vec::new())),
        _ => {}
    });
    change(&|e| match e {
        Event::TransactionCreated(e) => e.transaction.status = TransactionStatus::Voided,
        Event::TransactionCaptured(e) => e.hold.progress.clear(),
        Event::TransactionReversed(e) => e.original.version += 1,
        Event::TransactionReleased(e) => e.hold.version += 1,
        _ => {}
    });
    all
}

#[test]
fn damaged_events_are_refused() {
    let world = told();
    let mut refused = 0;
    for cut in 0..world.log.len() {
        let mut before = LedgerState::new(harness::ledger(), 1);
        for logged in &world.log[..cut] {
            if let Ok(event) = &logged.outcome {
                before.evolve(event, logged.moment);
            }
            before.remember_key(logged.key.clone(), logged.entry);
        }
        let logged = &world.log[cut];
        let event = logged.outcome.as_ref().expect("the story has no refusals");
        for damaged in damages(event) {
            // An account called cash does not contradict the first opening of cash.
            let said = before.clone().try_evolve(&damaged, logged.moment);
            assert!(said.is_err(), "{damaged:?} follows");
            refused += 1;
        }
        // And an event does not follow itself.
        let mut after = before.clone();
        after.evolve(event, logged.moment);
        after.remember_key(logged.key.clone(), logged.entry);
        assert!(
            after.try_evolve(event, logged.moment).is_err(),
            "{event:?} twice"
        );
    }
    assert!(refused > 40, "{refused}");
}

#[test]
#[should_panic(expected = "the event cannot follow: the event says Totals")]
fn evolve_stops_with_clear_words() {
    let world = told();
    let mut state = LedgerState::new(harness::ledger(), 1);
    for logged in &world.log {
        let event = logged.outcome.as_ref().expect("the story has no refusals");
        let damaged = match event {
            Event::TransactionCreated(_) => damages(event).remove(0),
            _ => event.clone(),
        };
        state.evolve(&damaged, logged.moment);
        state.remember_key(logged.key.clone(), logged.entry);
    }
}

#[test]
fn damaged_images_are_refused() {
    let image = told().state.to_image();
    assert!(LedgerState::from_image(image.clone(), 1).is_ok());
    let refused = |what: &str, damage: &dyn Fn(&mut LedgerImage)| {
        let mut damaged = image.clone();
        damage(&mut damaged);
        assert_ne!(damaged, image, "{what}");
        assert!(LedgerState::from_image(damaged, 1).is_err(), "{what}");
    };
    refused("no terms", &|i| i.terms = None);
    refused("no time of creation", &|i| i.created_at = None);
    refused("a number twice", &|i| i.accounts[1].account.number.0 = 1);
    refused("an account gone", &|i| drop(i.accounts.remove(0)));
    refused("a name twice", &|i| {
        let name = i.accounts[0].account.terms.name.clone();
        i.accounts[1].account.terms.name = name;
    });
    refused("another exponent", &|i| {
        i.accounts[1].account.terms.asset = ledger_core::asset::Asset::parse("USD/3").unwrap();
    });
    refused("more posted", &|i| {
        i.accounts[0].account.totals.debits_posted = units(9_999);
    });
    refused("less pending", &|i| {
        i.accounts[1].account.totals.debits_pending = Amount::ZERO;
    });
    refused("other count of holds", &|i| {
        i.accounts[1].account.open_holds += 1
    });
    refused("closed with a balance", &|i| {
        i.accounts[0].account.status = AccountStatus::Closed;
    });
    refused("counters gone", &|i| i.accounts[1].velocity.clear());
    refused("a counter of nothing", &|i| {
        i.accounts[1].velocity[0].push((i64::MAX, Amount::ZERO));
    });
    refused("a hold gone", &|i| i.holds.clear());
    refused("a hold twice", &|i| i.holds.push(i.holds[0].clone()));
    refused("a hold that ended", &|i| {
        i.holds[0].hold.status = TransactionStatus::Voided
    });
    refused("a hold of an unknown account", &|i| {
        i.holds[0].hold.postings[0].debit = AccountNumber(99);
    });
    refused("a key twice", &|i| {
        let key = i.keys[0].0.clone();
        i.keys[1].0 = key;
    });
    refused("keys out of order", &|i| i.keys.swap(0, 1));
    refused("a key that was forgotten", &|i| {
        i.forgotten_through = u64::MAX
    });
    refused("a transaction without its record", &|i| {
        i.transactions[0].1 += 1
    });
    refused("a transaction that is pending", &|i| {
        i.transactions[0].0.status = TransactionStatus::Pending;
    });
    refused("a transaction of an unknown account", &|i| {
        i.transactions[0].0.postings[0].credit = AccountNumber(0);
    });
    refused("a transaction that is an open hold", &|i| {
        i.transactions[0].0.id = i.holds[0].hold.id;
    });
}

#[test]
fn a_decision_is_made_at_any_time_without_a_panic() {
    let create = Command {
        key: uuid_key(1, 1),
        conditions: Vec::new(),
        operation: Operation::CreateLedger(CreateLedger::default()),
    };
    for at in [Timestamp::MIN, Timestamp::MAX] {
        let mut state = LedgerState::new(harness::ledger(), 1);
        let moment = ledger_core::time::Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        };
        let event = state.decide(&create, &Facts::default(), moment).unwrap();
        state.evolve(&event, moment);
        assert_eq!(state.created_at(), Some(at));
    }
}
