//! All of it, in an order that chance decides: for as long as `cargo xtask chaos` asks, or once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::killed::{self, Victim};
use crate::{length, projectors, restored, transactions, unreachable};

/// A scenario of a few rounds, and its name.
type Scenario = (&'static str, fn(&mut StdRng));

/// Those that `cargo xtask test` runs by themselves too.
const SCENARIOS: &[Scenario] = &[
    ("the command node killed", |chances| {
        killed::kill(Victim::CommandNode, 3, chances)
    }),
    ("the projector killed", |chances| {
        killed::kill(Victim::Projector, 3, chances)
    }),
    ("everything killed in turn", |chances| {
        killed::in_turn(6, chances)
    }),
    ("a commit's answer lost", |chances| {
        transactions::lost_answers(3, chances)
    }),
    ("the end of a transaction late", |chances| {
        transactions::late_ends(3, chances)
    }),
    ("a batch torn", |chances| {
        transactions::torn_batches(2, chances)
    }),
    ("the broker killed over a transaction", |chances| {
        transactions::open_transactions(2, chances)
    }),
    ("Kafka away", |chances| {
        unreachable::kafka_away(Duration::from_secs(30), chances)
    }),
    ("Postgres away", unreachable::postgres_away),
    ("the projector away", unreachable::projector_away),
    ("MinIO away", unreachable::object_store_away),
    ("two projectors", |chances| {
        projectors::two_projectors(4, chances)
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
            // Once: a little of everything.
            None => killed::in_turn(3, &mut chances),
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
