//! The log: every outcome is on record exactly once, in a chain of hashes without a gap, and
//! nothing else is.

use schemas::proto::record::v1::record as wire;
use schemas::proto::v1 as api;

use super::{Bits, Head, Item, PAGE, Proof};
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::load::calls::Retry;
use crate::load::manifest::{State, code_of, hash_of};
use crate::load::plan::Purpose;
use crate::load::setup;

impl Proof<'_> {
    pub(super) async fn chains(&mut self, heads: &[Head]) -> Result<(), Failure> {
        let mut run = Run {
            links: Item::new(
                "the chain of each ledger has no gap, and every hash is that of the bytes",
            ),
            once: Item::new(
                "every accepted command is in the log exactly once, every refused one is on record exactly once, as answered",
            ),
            nothing: Item::new("the log has nothing else than what was set up and sent"),
            seen: Bits::new(self.manifest.len()),
        };
        for (ledger, head) in (0..).zip(heads) {
            self.chain(ledger, head, &mut run).await?;
            let book = &self.expected.books[ledger as usize];
            run.nothing
                .check(head.ledger_sequence == book.decisions(), || {
                    format!(
                        "{} has {} decisions, and {} were sent and set up",
                        self.shape().ledger_name(ledger),
                        head.ledger_sequence,
                        book.decisions()
                    )
                });
        }
        self.missing(&mut run)?;
        self.items.extend([run.once, run.nothing, run.links]);
        Ok(())
    }

    async fn chain(&self, ledger: u32, head: &Head, run: &mut Run) -> Result<(), Failure> {
        let name = self.shape().ledger_name(ledger);
        let mut next = 1;
        let mut last_hash = String::new();
        let mut retry = Retry::new(self.calls.patience());
        self.bar.set_length(head.ledger_sequence);
        while next <= head.ledger_sequence {
            self.bar.set_message(format!("log of {name}"));
            self.bar.set_position(next);
            let request = api::ListRecordsRequest {
                ledger: name.clone(),
                from_ledger_sequence: next,
                page_size: PAGE,
                ..Default::default()
            };
            let page = self.calls.call(rpc::LIST_RECORDS, request).await?;
            if page.decisions.is_empty() {
                // Where the writer does not serve now, the list ends where the read models are.
                let shown = page.page.map_or(0, |page| page.ledger_sequence);
                if shown < next && retry.pause().await {
                    continue;
                }
                run.links.accuse(|| {
                    format!(
                        "{name} ends before record {next}; its head is {}",
                        head.ledger_sequence
                    )
                });
                return Ok(());
            }
            let before = next;
            for decision in &page.decisions {
                let record = decision.record.clone().unwrap_or_default();
                if record.ledger_sequence > head.ledger_sequence {
                    break;
                }
                let hash = blake3::hash(&decision.record_bytes).to_hex();
                let links = record.ledger_sequence == next
                    && *hash == *decision.record_hash
                    && decision.previous_hash == last_hash;
                run.links.check(links, || {
                    format!("record {next} of {name} does not follow the one before it")
                });
                self.record(ledger, decision, &record, run)?;
                last_hash.clone_from(&decision.record_hash);
                next = record.ledger_sequence + 1;
            }
            if next == before {
                run.links
                    .accuse(|| format!("record {next} of {name} is left out"));
                return Ok(());
            }
            retry.moved();
        }
        run.links.check(last_hash == head.record_hash, || {
            format!(
                "{name} ends with hash {last_hash}; its head has {}",
                head.record_hash
            )
        });
        Ok(())
    }

    /// What a record should be, by its key.
    fn record(
        &self,
        ledger: u32,
        decision: &api::Decision,
        record: &schemas::proto::record::v1::Record,
        run: &mut Run,
    ) -> Result<(), Failure> {
        let at = || format!("record {} of {}", record.ledger_sequence, record.ledger);
        let key = match &record.key {
            Some(wire::Key::KeyUuid(bytes)) => uuid::Uuid::from_slice(bytes)
                .map(|uuid| uuid.to_string())
                .unwrap_or_default(),
            Some(wire::Key::KeyText(text)) => text.clone(),
            None => String::new(),
        };
        if key.starts_with(setup::KEYS) {
            return Ok(());
        }
        let number = self.shape().number_of(&key);
        let Some(number) = number.filter(|number| *number < self.manifest.len()) else {
            run.nothing.accuse(|| format!("{} has key {key}", at()));
            return Ok(());
        };
        let planned = self.shape().command(number);
        let slot = self.manifest.slot(number)?;
        let is_ours = planned.ledger == ledger
            && !matches!(planned.purpose, Purpose::Malformed(_) | Purpose::Repeat(_))
            && self.shape().key(number, slot.stamp) == key;
        if !is_ours {
            run.nothing
                .accuse(|| format!("{} has key {key}, which was not sent there", at()));
            return Ok(());
        }
        let first = run.seen.set(number);
        let place = slot.ledger_sequence == 0 || slot.ledger_sequence == record.ledger_sequence;
        let hash = slot.hash == 0 || slot.hash == hash_of(&decision.record_hash);
        let outcome = match (&record.payload, slot.state) {
            (Some(wire::Payload::Event(_)), State::Accepted) => true,
            (Some(wire::Payload::Rejection(rejection)), State::Refused) => {
                code_of(&rejection.code) == slot.code
            }
            _ => false,
        };
        run.once.check(first && place && hash && outcome, || {
            let what = match (first, outcome) {
                (false, _) => "stands there once more",
                (_, false) => "has another outcome than was answered",
                _ => "is not the record that was answered",
            };
            format!("{}: {} {what}", self.culprit(number), at())
        });
        Ok(())
    }

    /// What was answered and is not there.
    fn missing(&self, run: &mut Run) -> Result<(), Failure> {
        for stretch in self.manifest.stretches() {
            let (first, slots) = stretch?;
            for (number, slot) in (first..).zip(&slots) {
                let is_recorded = matches!(slot.state, State::Accepted | State::Refused);
                let is_own = !matches!(
                    self.shape().command(number).purpose,
                    Purpose::Malformed(_) | Purpose::Repeat(_)
                );
                if is_recorded && is_own && !run.seen.is_set(number) {
                    run.once.check(false, || {
                        format!("{}: not in the log", self.culprit(number))
                    });
                }
            }
        }
        Ok(())
    }
}

struct Run {
    links: Item,
    once: Item,
    nothing: Item,
    seen: Bits,
}
