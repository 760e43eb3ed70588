//! What memory no longer holds: facts for commands that wait, records for keys that repeat.

use std::collections::HashMap;

use ledger_core::facts::Facts;
use ledger_core::name::LedgerName;
use schemas::error::Fault;
use schemas::record::SealedRecord;

use super::batch::{FactsLoad, Repeat};
use super::machine::{Loaded, Machine, Waiting};
use super::request::{Decided, Outcome};

impl<T: Copy> Machine<T> {
    /// Asks for the facts of the commands that wait first, all in one load, and marks them: until
    /// they are through, memory lets go of nothing, so what was not needed now is not needed then.
    pub(super) fn gather(&mut self) {
        self.forget();
        self.loaded.id += 1;
        self.loaded.loading = true;
        let mut needed: HashMap<&LedgerName, Vec<_>> = HashMap::new();
        let mut most = self.bounds.facts_commands;
        for waiting in &mut self.queue {
            if most == 0 {
                break;
            }
            let Waiting::Command {
                request, loaded, ..
            } = waiting
            else {
                continue;
            };
            *loaded = self.loaded.id;
            let Some(ledger) = self.state.ledger(&request.ledger) else {
                continue;
            };
            let need = ledger.facts_needed(&request.command.key, &request.command.operation);
            if !need.is_empty() {
                most -= 1;
                needed.entry(&request.ledger).or_default().push(need);
            }
        }
        let mut needed: Vec<_> = needed
            .into_iter()
            .map(|(ledger, needed)| (ledger.clone(), needed))
            .collect();
        // In a fixed order: the machine's outputs follow from its inputs alone.
        needed.sort_by(|a, b| a.0.cmp(&b.0));
        self.out.load = Some(FactsLoad {
            id: self.loaded.id,
            needed,
        });
    }

    /// Takes loaded facts, or why they could not be loaded.
    pub fn facts_loaded(&mut self, id: u64, facts: Result<Vec<(LedgerName, Facts)>, String>) {
        if id != self.loaded.id || !self.loaded.loading {
            return;
        }
        self.loaded.loading = false;
        self.loaded.facts = facts.map(|facts| facts.into_iter().collect());
    }

    /// Takes the record of a repeated key, or why it could not be read, and answers.
    pub fn repeat_loaded(&mut self, repeat: Repeat<T>, record: Result<SealedRecord, Fault>) {
        let outcome = match record {
            Ok(sealed)
                if sealed.record.key == repeat.key && sealed.record.ledger == repeat.ledger =>
            {
                Outcome::Decided(Decided {
                    // Its place here: carried over from another log, it says another itself.
                    sequence: repeat.sequence,
                    ledger_sequence: sealed.record.ledger_sequence,
                    hash: Some(sealed.hash),
                    recorded_at: sealed.record.moment.recorded_at,
                    repeated: true,
                    result: self.result(&sealed.record, repeat.want),
                })
            }
            Ok(sealed) => Outcome::Declined(Fault::internal(format!(
                "record {} is of key {} in ledger {}, though the index says {} in {}; verify and rebuild the read models",
                repeat.sequence, sealed.record.key, sealed.record.ledger, repeat.key, repeat.ledger
            ))),
            Err(why) => Outcome::Declined(why),
        };
        self.out.replies.push((repeat.tag, outcome));
    }
}

impl Loaded {
    /// The facts that were loaded of `ledger`, whose memory reaches back to `forgotten`.
    pub(super) fn of<'a>(
        &'a self,
        ledger: &LedgerName,
        forgotten: u64,
        none: &'a Facts,
    ) -> Result<&'a Facts, Fault> {
        let found = self.facts.as_ref().map_err(|why| {
            Fault::unavailable(format!("what the command needs cannot be loaded: {why}"))
        })?;
        let facts = found.get(ledger).unwrap_or(none);
        if facts.through < forgotten {
            return Err(Fault::unavailable(format!(
                "the read models have got to record {} only and must pass record {forgotten} first",
                facts.through
            )));
        }
        Ok(facts)
    }
}
