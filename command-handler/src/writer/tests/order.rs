//! Order, durability and what answers may tell.

use std::sync::Arc;

use ledger_core::account::AccountType;
use ledger_core::command::Operation;
use ledger_core::text::{Metadata, Text};
use ports::log::CommitOutcome;
use ports::strong::{StrongAnswer, StrongQuery};
use schemas::error::Fault;
use schemas::record::{Origin, Payload};
use shard_state::MemoryBounds;

use super::world::*;
use crate::writer::machine::Bounds;
use crate::writer::request::{Ingested, Outcome, Request, Source, Want};

fn small() -> Bounds {
    Bounds {
        batch_records: 4,
        ..Bounds::default()
    }
}

/// Small memory: keys and transactions leave it at once when the read models have passed them.
fn forgetful() -> Bounds {
    Bounds {
        memory: MemoryBounds {
            records_least: 0,
            step: 1,
            ..MemoryBounds::default()
        },
        ..Bounds::default()
    }
}

fn posted(answer: &StrongAnswer) -> Vec<i128> {
    match answer {
        StrongAnswer::Accounts(accounts) => accounts
            .iter()
            .map(|account| {
                let account = account.as_ref().unwrap();
                account.totals.posted(account.normal_side())
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_log_begins_with_its_start_and_the_claim() {
    let mut world = World::new(Bounds::default());
    world.settle();
    let kinds: Vec<_> = world.log.iter().map(|r| &r.record.payload).collect();
    assert!(
        matches!(kinds[..], [Payload::LogStarted(s), Payload::WriterClaimed(c)]
            if s.shard_count == 1 && c.epoch == 1)
    );
    world.recover().unwrap();
    world.settle();
    assert!(
        matches!(&world.log[2].record.payload, Payload::WriterClaimed(claim) if claim.epoch == 2)
    );
}

#[test]
fn commands_are_decided_in_order_and_answered_when_durable() {
    let mut world = World::with_bank(Bounds::default());
    let first = world.submit(request(bank(), uuid_key(0, 1), transfer("cash", "a", 100)));
    let second = world.submit(request(bank(), uuid_key(0, 2), transfer("a", "b", 60)));
    let third = world.submit(request(bank(), uuid_key(0, 3), transfer("a", "c", 60)));
    world.step(usize::MAX);
    assert!(world.outcomes.is_empty(), "nothing is durable yet");
    assert_eq!(world.in_flight.as_ref().unwrap().record_count, 3);
    world.commit();
    let codes: Vec<_> = [first, second, third]
        .iter()
        .map(|tag| code(&world.outcomes[tag]))
        .collect();
    assert_eq!(codes, ["OK", "OK", "INSUFFICIENT_FUNDS"]);
}

#[test]
fn the_next_batch_is_decided_while_one_is_in_flight_and_is_cut_when_full() {
    let mut world = World::with_bank(small());
    let begin = world.log.len();
    for number in 0..10 {
        world.submit(request(
            bank(),
            uuid_key(0, number),
            transfer("cash", "a", 1),
        ));
    }
    assert!(world.step(1), "more waits");
    assert!(world.in_flight.is_none(), "more waits to go with it");
    world.step(usize::MAX);
    assert_eq!(world.in_flight.as_ref().unwrap().record_count, 4);
    world.step(usize::MAX);
    world.step(usize::MAX);
    assert_eq!(
        world.machine.state().next_sequence() - 1,
        begin as u64 + 8,
        "decided ahead, but only as far as the next batch has room"
    );
    world.commit();
    assert_eq!(world.outcomes.len(), 4);
    world.step(usize::MAX);
    assert_eq!(world.in_flight.as_ref().unwrap().record_count, 4);
    world.settle();
    assert_eq!(world.outcomes.len(), 10);
    assert_eq!(world.log.len(), begin + 10);
}

#[test]
fn a_batch_is_cut_by_bytes_too() {
    let mut world = World::with_bank(Bounds {
        batch_bytes: 1_000,
        ..Bounds::default()
    });
    for number in 0..50 {
        world.submit(request(
            bank(),
            uuid_key(0, number),
            transfer("cash", "a", 1),
        ));
    }
    world.step(usize::MAX);
    let batch = world.in_flight.as_ref().unwrap();
    assert!(batch.record_count < 50 && batch.body.len() >= 1_000 && batch.body.len() < 2_000);
    world.settle();
    assert_eq!(world.outcomes.len(), 50);
}

#[test]
fn strong_reads_are_neither_dirty_nor_stale() {
    let mut world = World::with_bank(Bounds::default());
    let query = || StrongQuery::Accounts(vec![named("a")]);
    // Nothing in flight: at once.
    let idle = world.read(query());
    world.step(usize::MAX);
    assert_eq!(posted(&world.reads[&idle].as_ref().unwrap().answer), [0]);
    // Ordered behind a transfer: it sees it, and only when it is durable.
    world.submit(request(bank(), uuid_key(0, 1), transfer("cash", "a", 5)));
    let behind = world.read(query());
    world.submit(request(bank(), uuid_key(0, 2), transfer("cash", "a", 7)));
    world.step(usize::MAX);
    assert!(!world.reads.contains_key(&behind));
    // Ordered when a batch is in flight and nothing is open: with that batch.
    let in_flight = world.read(query());
    world.step(usize::MAX);
    assert!(!world.reads.contains_key(&in_flight));
    world.commit();
    assert_eq!(posted(&world.reads[&behind].as_ref().unwrap().answer), [5]);
    let read = world.reads[&in_flight].as_ref().unwrap();
    assert_eq!(posted(&read.answer), [12]);
    assert_eq!(read.sequence, world.log.len() as u64);
    assert_eq!(read.record_hash, world.log.last().unwrap().hash);
}

#[test]
fn a_read_of_what_was_lost_is_never_answered() {
    let mut world = World::with_bank(Bounds::default());
    world.submit(request(bank(), uuid_key(0, 1), transfer("cash", "a", 5)));
    let read = world.read(StrongQuery::Accounts(vec![named("a")]));
    world.step(usize::MAX);
    let lost = CommitOutcome::Indeterminate("gone".to_owned());
    assert_eq!(world.machine.committed(lost.clone()), Err(lost));
    world.recover().unwrap();
    world.settle();
    assert!(!world.reads.contains_key(&read));
}

#[test]
fn a_repeat_gives_the_first_outcome_and_is_not_recorded() {
    for bounds in [Bounds::default(), forgetful()] {
        let mut world = World::with_bank(bounds);
        let first = world.run(request(bank(), uuid_key(0, 1), transfer("cash", "a", 5)));
        let refused = world.run(request(bank(), text_key("t-2"), transfer("b", "a", 5)));
        assert_eq!(code(&refused), "INSUFFICIENT_FUNDS");
        world.run(request(bank(), uuid_key(0, 9), transfer("cash", "b", 50)));
        world.projected = world.log.len() as u64;
        let length = world.log.len();
        for (key, amount, from, outcome) in [
            (uuid_key(0, 1), 5, "cash", &first),
            (text_key("t-2"), 5, "b", &refused),
        ] {
            let again = world.run(request(bank(), key, transfer(from, "a", amount)));
            let (Outcome::Decided(again), Outcome::Decided(outcome)) = (again, outcome) else {
                panic!("both are decided");
            };
            assert!(again.repeated);
            assert_eq!(again.result, outcome.result);
            assert_eq!(again.hash, outcome.hash);
            assert_eq!(again.ledger_sequence, outcome.ledger_sequence);
        }
        let reused = world.run(request(bank(), text_key("t-2"), transfer("b", "a", 6)));
        assert_eq!(code(&reused), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(world.log.len(), length);
    }
}

#[test]
fn a_repeat_within_a_batch_waits_for_the_first_to_be_durable() {
    let mut world = World::with_bank(Bounds::default());
    let one = || request(bank(), uuid_key(0, 1), transfer("cash", "a", 5));
    let (first, again) = (world.submit(one()), world.submit(one()));
    world.step(usize::MAX);
    assert!(world.repeats.is_empty());
    world.commit();
    assert!(world.outcomes.contains_key(&first));
    assert_eq!(world.repeats.len(), 1);
    world.answer_repeats();
    assert!(matches!(&world.outcomes[&again], Outcome::Decided(d) if d.repeated));
}

#[test]
fn what_left_memory_is_loaded_and_order_is_kept_meanwhile() {
    let mut world = World::with_bank(forgetful());
    let made = world.run(request(bank(), text_key("one"), transfer("cash", "a", 100)));
    world.projected = world.log.len() as u64;
    world.step(usize::MAX);
    // A reversal needs its original, the transfer behind it needs nothing.
    let reversal = world.submit(request(
        bank(),
        text_key("two"),
        Operation::ReverseTransaction(ledger_core::command::ReverseTransaction {
            original: transaction_of(&made),
            amounts: Vec::new(),
            effective_at: None,
            limits: Default::default(),
            description: None,
            metadata: Metadata::default(),
        }),
    ));
    let transfer = world.submit(request(bank(), uuid_key(1, 3), transfer("a", "b", 100)));
    world.step(usize::MAX);
    assert!(world.load.is_some() && world.in_flight.is_none());
    world.load();
    world.step(usize::MAX);
    world.commit();
    assert_eq!(code(&world.outcomes[&reversal]), "OK");
    assert_eq!(code(&world.outcomes[&transfer]), "INSUFFICIENT_FUNDS");
}

#[test]
fn facts_that_cannot_be_loaded_decline_only_what_needs_them() {
    let mut world = World::with_bank(forgetful());
    world.projected = world.log.len() as u64;
    world.step(usize::MAX);
    let cold = world.submit(request(bank(), text_key("cold"), transfer("cash", "a", 1)));
    world.step(usize::MAX);
    let load = world.load.take().unwrap();
    world
        .machine
        .facts_loaded(load.id, Err("no disk".to_owned()));
    world.settle();
    assert_eq!(code(&world.outcomes[&cold]), "UNAVAILABLE");
    // Read models that are behind what memory let go of cannot tell either.
    let behind = world.submit(request(bank(), text_key("cold"), transfer("cash", "a", 1)));
    world.step(usize::MAX);
    world.projected = 1;
    world.load();
    world.step(usize::MAX);
    assert_eq!(code(&world.outcomes[&behind]), "UNAVAILABLE");
    let well = world.run(request(bank(), text_key("cold"), transfer("cash", "a", 1)));
    assert_eq!(code(&well), "OK");
}

#[test]
fn due_holds_expire_before_the_next_command_and_by_themselves() {
    let mut world = World::with_bank(Bounds::default());
    world.run(request(bank(), uuid_key(0, 1), transfer("cash", "a", 100)));
    let due = t(10_000_000);
    let held = world.run(request(
        bank(),
        uuid_key(0, 2),
        hold("a", "b", 80, Some(due)),
    ));
    assert_eq!(world.machine.next_expiry(), Some(due));
    let early = world.run(request(bank(), uuid_key(0, 3), transfer("a", "c", 50)));
    assert_eq!(code(&early), "INSUFFICIENT_FUNDS");
    world.now = due;
    let late = world.run(request(bank(), uuid_key(0, 4), transfer("a", "c", 50)));
    assert_eq!(code(&late), "OK");
    let expiry = &world.log[world.log.len() - 2].record;
    assert_eq!(expiry.origin, Origin::Timer);
    assert_eq!(expiry.request_hash, None);
    assert_eq!(
        expiry.key.to_string(),
        format!("daybook:expire:{:032x}", transaction_of(&held).0)
    );
    assert_eq!(world.machine.next_expiry(), None);
    // An idle ledger: a tick is enough.
    world.run(request(
        bank(),
        uuid_key(0, 5),
        hold("a", "b", 10, Some(t(20_000_000))),
    ));
    let length = world.log.len();
    world.now = t(20_000_000);
    world.settle();
    assert_eq!(world.log.len(), length + 1);
    assert_eq!(world.log[length].record.origin, Origin::Timer);
}

#[test]
fn many_expiries_go_in_batches_and_all_before_the_command() {
    let mut world = World::with_bank(small());
    world.run(request(bank(), uuid_key(0, 1), transfer("cash", "a", 100)));
    for number in 0..10 {
        world.run(request(
            bank(),
            uuid_key(0, 10 + number),
            hold("a", "b", 10, Some(t(1_000_000))),
        ));
    }
    world.now = t(1_000_000);
    let all = world.run(request(bank(), uuid_key(0, 2), transfer("a", "c", 100)));
    assert_eq!(code(&all), "OK");
}

#[test]
fn a_read_sees_no_hold_whose_time_has_come() {
    let mut world = World::with_bank(Bounds::default());
    world.run(request(bank(), uuid_key(0, 1), transfer("cash", "a", 100)));
    let held = world.run(request(
        bank(),
        uuid_key(0, 2),
        hold("a", "b", 80, Some(t(1_000_000))),
    ));
    world.now = t(1_000_000);
    let read = world.read(StrongQuery::OpenHolds(vec![transaction_of(&held)]));
    world.settle();
    let answer = &world.reads[&read].as_ref().unwrap().answer;
    assert_eq!(*answer, StrongAnswer::OpenHolds(vec![None]));
}

#[test]
fn unknown_ledgers_and_dry_runs_are_not_recorded() {
    let mut world = World::with_bank(Bounds::default());
    let length = world.log.len();
    let elsewhere = ledger_core::name::LedgerName::new("elsewhere").unwrap();
    let unknown = world.run(request(
        elsewhere.clone(),
        uuid_key(0, 1),
        transfer("a", "b", 1),
    ));
    assert_eq!(code(&unknown), "LEDGER_NOT_FOUND");
    let mut dry = request(bank(), uuid_key(0, 2), transfer("cash", "a", 30));
    dry.validate_only = true;
    dry.want.balances = true;
    let Outcome::Decided(tried) = world.run(dry) else {
        panic!("it is decided");
    };
    let lines = tried.result.unwrap().more.unwrap().balances;
    let after: Vec<_> = lines
        .iter()
        .map(|line| (line.name.as_str(), line.totals.posted(line.side)))
        .collect();
    assert_eq!(after, [("cash", 30), ("a", 30)]);
    assert_eq!((tried.sequence, tried.hash), (0, None));
    let mut create = request(elsewhere.clone(), uuid_key(0, 3), create_ledger());
    create.validate_only = true;
    create.want.subject = true;
    assert_eq!(code(&world.run(create)), "OK");
    assert!(world.machine.state().ledger(&elsewhere).is_none());
    assert_eq!(world.log.len(), length);
}

#[test]
fn a_decision_that_fits_no_record_is_refused_and_changes_nothing() {
    let mut world = World::with_bank(Bounds {
        record_bytes: 500,
        ..Bounds::default()
    });
    let mut big = transfer("cash", "a", 100);
    if let Operation::CreateTransaction(create) = &mut big {
        create.description = Some(Text::plain("x".repeat(600)));
    }
    let refused = world.run(request(bank(), uuid_key(0, 1), big));
    assert_eq!(code(&refused), "RECORD_TOO_LARGE");
    assert!(matches!(
        &world.log.last().unwrap().record.payload,
        Payload::Rejection(_)
    ));
    let after = world.run(request(bank(), uuid_key(0, 2), transfer("a", "b", 1)));
    assert_eq!(code(&after), "INSUFFICIENT_FUNDS");
}

#[test]
fn keys_from_the_future_are_declined() {
    let mut world = World::with_bank(Bounds::default());
    let edge = world.run(request(
        bank(),
        uuid_key(300_000, 1),
        transfer("cash", "a", 1),
    ));
    assert_eq!(code(&edge), "OK");
    let beyond = world.run(request(
        bank(),
        uuid_key(300_001, 2),
        transfer("cash", "a", 1),
    ));
    assert_eq!(code(&beyond), "KEY_STAMP_IN_FUTURE");
    // The ledger that it would have made takes no memory.
    let other = ledger_core::name::LedgerName::new("other").unwrap();
    world.run(request(
        other.clone(),
        uuid_key(400_000, 3),
        create_ledger(),
    ));
    assert!(world.machine.state().ledger(&other).is_none());
}

#[test]
fn time_never_goes_back_and_a_wrong_clock_declines() {
    let mut world = World::with_bank(Bounds::default());
    world.now = t(60_000_000);
    world.run(request(bank(), uuid_key(0, 1), transfer("cash", "a", 1)));
    world.now = t(0);
    let back = world.run(request(bank(), uuid_key(0, 2), transfer("cash", "a", 1)));
    let Outcome::Decided(back) = back else {
        panic!("a minute back is no fault");
    };
    assert_eq!(back.recorded_at, t(60_000_000));
    world.now = t(-240_000_001);
    let behind = world.run(request(bank(), uuid_key(0, 3), transfer("cash", "a", 1)));
    assert_eq!(code(&behind), "UNAVAILABLE");
    world.now = t(25 * 3_600_000_000);
    let ahead = world.run(request(bank(), uuid_key(0, 3), transfer("cash", "a", 1)));
    assert_eq!(code(&ahead), "UNAVAILABLE");
    world.now = t(61_000_000);
    let right = world.run(request(bank(), uuid_key(0, 3), transfer("cash", "a", 1)));
    assert_eq!(code(&right), "OK");
}

#[test]
fn replies_show_what_was_asked_for() {
    let mut world = World::with_bank(Bounds::default());
    let want = Want {
        balances: true,
        subject: true,
    };
    let mut one = request(bank(), uuid_key(0, 1), transfer("cash", "a", 5));
    one.want = want;
    let Outcome::Decided(decided) = world.run(one.clone()) else {
        panic!("it is decided");
    };
    let accepted = decided.result.unwrap();
    let more = accepted.more.unwrap();
    let names: Vec<_> = more.balances.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["cash", "a"]);
    let Some(crate::writer::request::Subject::Transaction(subject)) = more.subject else {
        panic!("it is a transaction");
    };
    assert_eq!(Some(subject.transaction.id), accepted.transaction);
    assert!(subject.made);
    let mut account = request(
        bank(),
        uuid_key(0, 2),
        open("e", AccountType::Liability, Some(-50)),
    );
    account.want = want;
    account.validate_only = true;
    let Outcome::Decided(tried) = world.run(account) else {
        panic!("it is decided");
    };
    let accepted = tried.result.unwrap();
    assert_eq!(accepted.account.unwrap().0, 6);
    let more = accepted.more.unwrap();
    assert_eq!(more.balances[0].minimum, Some(-50));
}

#[test]
fn with_too_much_in_memory_commands_are_declined_until_the_read_models_follow() {
    let mut world = World::with_bank(Bounds {
        memory: MemoryBounds {
            records_least: 0,
            records_most: 20,
            step: 1,
            ..MemoryBounds::default()
        },
        ..Bounds::default()
    });
    let mut codes = Vec::new();
    for number in 0..30 {
        let one = request(bank(), uuid_key(0, number), transfer("cash", "a", 1));
        codes.push(code(&world.run(one)));
    }
    assert!(
        codes.starts_with(&["OK"; 10]) && codes.ends_with(&["RESOURCE_EXHAUSTED"; 10]),
        "{codes:?}"
    );
    world.projected = world.log.len() as u64;
    let one = request(bank(), uuid_key(0, 100), transfer("cash", "a", 1));
    assert_eq!(code(&world.run(one)), "OK");
}

#[test]
fn with_too_many_bytes_in_memory_commands_are_declined_until_the_read_models_follow() {
    let mut world = World::with_bank(Bounds {
        memory: MemoryBounds {
            bytes_least: 5_000,
            bytes_most: 20_000,
            ..MemoryBounds::default()
        },
        ..Bounds::default()
    });
    let large = || {
        let mut large = create_transaction("cash", "a", 1);
        large.postings = vec![large.postings[0].clone(); 50];
        Operation::CreateTransaction(large)
    };
    let mut codes = Vec::new();
    for number in 0..40 {
        let one = request(bank(), uuid_key(0, number), large());
        codes.push(code(&world.run(one)));
    }
    assert!(
        codes.starts_with(&["OK"; 3]) && codes.ends_with(&["RESOURCE_EXHAUSTED"; 10]),
        "{codes:?}"
    );
    let held = world.machine.state.remembered_bytes();
    assert!(held > 20_000, "{held}");
    // Far fewer records than are kept in any case, but too many bytes.
    world.projected = world.log.len() as u64;
    let one = request(bank(), uuid_key(0, 100), large());
    assert_eq!(code(&world.run(one)), "OK");
    let held = world.machine.state.remembered_bytes();
    assert!(held < 5_000, "{held}");
}

/// A shard that is taken away and given back at once goes on with the same machine, and what a
/// topic brought later may be on its way to it by then.
#[test]
fn what_was_turned_away_is_not_overtaken_by_what_came_behind_it() {
    let mut world = World::with_bank(Bounds::default());
    let by_topic = |offset, round| Request {
        source: Arc::new(Source {
            origin: Origin::Kafka {
                topic: "deposits".into(),
                partition: 0,
                offset,
                resume: 1,
            },
            ..Source::default()
        }),
        ingested: Some(Box::new(Ingested {
            round,
            settle: None,
        })),
        ..request(bank(), uuid_key(0, offset), transfer("cash", "a", 1))
    };
    let first = world.submit(by_topic(1, 1));
    let away = Fault::unavailable("the shard is taken away");
    world.machine.decline_waiting(&away, || unreachable!());
    let second = world.submit(by_topic(2, 1));
    world.settle();
    let codes = [first, second].map(|tag| code(&world.outcomes[&tag]));
    assert_eq!(codes, ["UNAVAILABLE", "UNAVAILABLE"]);
    let again = [by_topic(1, 2), by_topic(2, 2)].map(|request| world.submit(request));
    world.settle();
    assert_eq!(again.map(|tag| code(&world.outcomes[&tag])), ["OK", "OK"]);
}
