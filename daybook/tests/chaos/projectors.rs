//! Two projectors on the same read models: the slower one is rolled back, and nothing is there
//! twice.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::killed::Running;
use crate::length::{chances, rounds};
use crate::operations::eventually;
use crate::traffic::Plan;

pub fn two_projectors(rounds: usize, chances: &mut StdRng) {
    let mut running = Running::start(Plan::of(2), chances);
    let mut second = running.cluster.node("second", &["--role", "projector"]);
    second.spawn();
    // Mostly it is not ready: it stands by for a projector that is faster.
    eventually(Duration::from_secs(90), "the second one runs", || {
        let page = second.page("/metrics");
        page.contains("daybook_projection_lag_records")
    });
    for round in 1..=rounds {
        // Each is ahead for a while, and then finds that the other one has been there.
        let slow = match round % 2 {
            1 => &mut running.views,
            _ => &mut second,
        };
        slow.pause();
        running
            .traffic
            .wait_progress(Duration::from_secs(60), "commands go on");
        std::thread::sleep(Duration::from_millis(chances.random_range(0..500)));
        slow.resume();
        running
            .traffic
            .wait_progress(Duration::from_secs(60), "commands go on");
    }
    running.prove();
    drop(second);
}

#[test]
fn two_projectors_on_the_same_read_models_project_once() {
    let mut chances = chances("two projectors");
    two_projectors(rounds(4), &mut chances);
}
