//! All of it, in an order that chance decides: for as long as `cargo xtask chaos` asks, or once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::killed::{self, Victim};
use crate::{length, misplaced, projectors, refilled, restored, transactions, unreachable};

/// A scenario of a few rounds, and its name.
type Scenario = (&'static str, fn(&mut StdRng));

/// What is chosen from.
const SCENARIOS: &[Scenario] = &[
    ("the command node killed", |chances| {
        killed::kill(Victim::CommandNode, 3, chances);
    }),
    ("the projector killed", |chances| {
        killed::kill(Victim::Projector, 3, chances);
    }),
    ("each killed", |chances| killed::kill_each(1, chances)),
    ("a load by the topics", |chances| {
        killed::kill_by_topics(1, chances);
    }),
    ("transactions disturbed", |chances| {
        transactions::disturbed(2, chances);
    }),
    ("batches torn", |chances| {
        transactions::torn_batches(3, chances);
    }),
    ("Kafka away", |chances| {
        unreachable::kafka_away(Duration::from_secs(30), chances);
    }),
    ("stores away", unreachable::stores_away),
    ("two projectors", |chances| {
        projectors::two_projectors(4, chances);
    }),
    ("misplaced records", |chances| {
        misplaced::misplaced(2, chances);
    }),
    ("the history lost", |chances| {
        refilled::history_lost(3, chances);
    }),
    ("an older log put back", restored::older_log),
];

#[test]
fn scenarios_at_random() {
    let mut chances = length::chances("at random");
    let until = length::long().map(|long| Instant::now() + long);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    loop {
        match until {
            // Once: each of the servers and of the nodes.
            None => killed::kill_each(length::rounds(1), &mut chances),
            Some(_) => {
                let (name, scenario) = SCENARIOS.choose(&mut chances).unwrap();
                let started = Instant::now();
                println!("{name}");
                scenario(&mut chances);
                println!("{name}: proven, {:.0?}", started.elapsed());
                *counts.entry(name).or_default() += 1;
            }
        }
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    for (what, count) in &counts {
        println!("{count:>6} times {what}");
    }
}
