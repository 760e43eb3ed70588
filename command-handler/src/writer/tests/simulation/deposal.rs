//! Another writer takes the shard, while the one under test knows nothing of it.

use ports::log::{CommitOutcome, Position};
use rand::Rng;
use schemas::record::frame;

use super::super::naive::Wish;
use super::super::world::*;
use super::{Simulation, Wished, operation};
use crate::writer::batch::Commit;
use crate::writer::machine::Machine;
use crate::writer::request::Outcome;

impl Simulation {
    /// Another writer claims the shard, and this one does not know. What was in flight got
    /// through just before, or not at all.
    pub(super) fn depose(&mut self) {
        if self.deposed.is_some() {
            return;
        }
        self.deposals += 1;
        let through = self.world.in_flight.is_some() && self.rng.random_bool(0.5);
        if through {
            self.world.write(usize::MAX);
        }
        let confirmed = self.world.confirming.is_some() && self.rng.random_bool(0.5);
        self.deposed = Some(through || confirmed);
        let state = self.world.replayed();
        // Its clock is right, whatever this one's says.
        let now = self.world.now.max(state.last_recorded_at().unwrap());
        let mut other = Machine::new(state, self.world.bounds, now, true).unwrap();
        other.set_deposable(true);
        other.claim([0xdd; 16], "the other");
        let number = self.wishes.len();
        let wish = Wish::Transfer {
            from: "cash",
            to: "a",
            amount: 1_000,
        };
        let key = text_key(&format!("wish-{number}"));
        self.wishes.push(Wished {
            wish: wish.clone(),
            key: key.clone(),
            told: None,
        });
        other.submit(0, request(bank(), key, operation(&self.wishes, &wish)));
        let mut told = None;
        for _ in 0..20 {
            let projected = self.world.log.len() as u64;
            let _ = other.tick(now, projected);
            other.step(usize::MAX);
            let outputs = other.outputs();
            if let Some(load) = outputs.load {
                let facts = self.world.facts_of(&load, projected);
                other.facts_loaded(load.id, Ok(facts));
            }
            if let Some(Commit::Batch(batch)) = outputs.commit {
                for bytes in frame::split(batch.body).unwrap() {
                    self.world.log.push(schemas::record::decode(bytes).unwrap());
                }
                let committed = CommitOutcome::Committed(Position(0));
                other.committed(committed).unwrap();
            }
            for (_, outcome) in other.outputs().replies.into_iter().chain(outputs.replies) {
                told = Some(outcome);
            }
        }
        let Some(Outcome::Decided(decided)) = told else {
            panic!("seed {}: the other writer decided nothing", self.seed);
        };
        self.acknowledged = self.acknowledged.max(decided.sequence);
        let hash = decided.hash.unwrap();
        self.wishes[number].told = Some((decided.sequence, hash, "OK"));
    }

    /// A commit of a writer that was deposed: the one that was in flight then may have got
    /// through before; none that begins later does.
    pub(super) fn commit_deposed(&mut self, through: bool) {
        if through {
            self.deposed = Some(false);
            self.world.tell_committed();
        } else {
            self.lose(CommitOutcome::Fenced("another has claimed it".to_owned()));
        }
    }
}
