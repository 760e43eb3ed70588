//! How long the tests go on, and what decides their chances.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Minutes of the long form.
pub const MINUTES: &str = "DAYBOOK_CHAOS_MINUTES";
/// The seed of the chances.
pub const SEED: &str = "DAYBOOK_CHAOS_SEED";
/// How often each server is hurt.
pub const ROUNDS: &str = "DAYBOOK_CHAOS_ROUNDS";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// How long the long form goes on; `None` in the short one.
pub fn long() -> Option<Duration> {
    number(MINUTES).map(|minutes| Duration::from_secs(60 * minutes))
}

/// How often a scenario hurts its server: `short` times where nothing else is asked for.
pub fn rounds(short: usize) -> usize {
    number(ROUNDS).map_or(short, |rounds| rounds.try_into().unwrap())
}

/// The seed that was asked for, or one by chance.
pub fn seed() -> u64 {
    number(SEED).unwrap_or_else(|| rand::random::<u64>() >> 32)
}

/// The chances of a scenario; says by which seed it can be had again.
pub fn chances(scenario: &str) -> StdRng {
    let seed = seed();
    println!("{scenario}: {SEED}={seed}");
    StdRng::seed_from_u64(seed)
}
