//! Reads back what stands on the topics: which command each record is, and its one outcome or
//! dead letter. The outcomes are put into the manifest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_kafka::headers::header_at;
use indicatif::ProgressBar;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use schemas::ingest::CODE_OK;
use serde_json::Value;

use super::read::{POLL, Reader};
use super::{HEADER, Topics, blocking};
use crate::client::failure::Failure;
use crate::load::manifest::{Manifest, Slot, State, code_of, code_said, hash_of};
use crate::load::plan::Purpose;
use crate::load::proof::Item;

/// Nothing comes for so long after all is there: nothing more will.
const SETTLED: Duration = Duration::from_secs(1);

/// Headers of a dead letter.
const SOURCE_TOPIC: &str = "daybook-source-topic";
const SOURCE_PARTITION: &str = "daybook-source-partition";
const SOURCE_OFFSET: &str = "daybook-source-offset";

/// What was said of a record of the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// An outcome; its content, in short.
    Outcome(u32),
    /// A dead letter.
    Dead,
}

/// A partition of a topic of commands, from where it ended when the load began.
struct Region {
    start: u64,
    /// By offset: the command's number and one; 0 for records of others.
    commands: Vec<(u64, Said)>,
}

type Regions = HashMap<(String, u32), Region>;

impl Topics {
    /// Reads what stands on the topics, and puts each command's outcome into the manifest. Waits
    /// until all have one, or nothing has come for as long as `patience` lasts.
    ///
    /// # Errors
    /// The topics cannot be read, or the manifest not be written.
    pub async fn gather(
        &self,
        manifest: &Arc<Manifest>,
        patience: Duration,
        bar: &ProgressBar,
    ) -> Result<Vec<Item>, Failure> {
        let (topics, manifest, bar) = (self.clone(), Arc::clone(manifest), bar.clone());
        blocking(move || {
            let mut gather = Gather::new(&topics, &manifest);
            gather.commands(patience, &bar)?;
            gather.outcomes(patience, &bar)?;
            gather.finish()
        })
        .await
    }
}

struct Gather<'a> {
    topics: &'a Topics,
    manifest: &'a Manifest,
    regions: Regions,
    records: u64,
    /// Records without an outcome or dead letter.
    open: u64,
    doubled: u64,
    once: Item,
    dead: Item,
    same: Item,
}

impl<'a> Gather<'a> {
    fn new(topics: &'a Topics, manifest: &'a Manifest) -> Self {
        Self {
            topics,
            manifest,
            regions: HashMap::new(),
            records: 0,
            open: 0,
            doubled: 0,
            once: Item::new(
                "every command on the topics has exactly one outcome on the topic of outcomes, and no dead letter",
            ),
            dead: Item::new(
                "every record that is no command has exactly one dead letter, and no outcome",
            ),
            same: Item::new("what stands on the topics more than once says the same"),
        }
    }

    fn start(&self, topic: &str) -> Result<&'a [(u32, u64)], Failure> {
        let starts = self.manifest.header.topics.get(topic);
        starts.map(Vec::as_slice).ok_or_else(|| {
            Failure::usage(format!(
                "the manifest is not of a load through topic {topic}: is this its cluster?"
            ))
        })
    }

    /// Which command each record of the topics is.
    fn commands(&mut self, patience: Duration, bar: &ProgressBar) -> Result<(), Failure> {
        bar.set_message("commands on the topics");
        bar.set_length(self.manifest.len());
        for topic in self.topics.names().commands {
            let start = self.start(&topic)?;
            for (partition, offset) in start {
                let region = Region {
                    start: *offset,
                    commands: Vec::new(),
                };
                self.regions.insert((topic.to_string(), *partition), region);
            }
            let run = self.manifest.header.shape.run;
            let (regions, records) = (&mut self.regions, &mut self.records);
            let mut reader = Reader::new(&self.topics.connection, (&topic, start), patience)?;
            reader.catch_up(|message| {
                if let Some(number) = number_of(message, run) {
                    place(regions, message, number);
                    *records += 1;
                    bar.set_position(*records);
                }
                Ok(())
            })?;
        }
        self.open = self.records;
        Ok(())
    }

    /// Their outcomes and dead letters.
    fn outcomes(&mut self, patience: Duration, bar: &ProgressBar) -> Result<(), Failure> {
        bar.set_message("outcomes");
        bar.set_length(self.records);
        let names = self.topics.names();
        let connection = &self.topics.connection;
        let reader = |topic| Reader::new(connection, (topic, self.start(topic)?), patience);
        let mut outcomes = reader(&*names.outcomes)?;
        let mut letters = reader(&*names.dead_letters)?;
        let mut last = Instant::now();
        loop {
            let before = (self.open, self.doubled);
            outcomes.catch_up(|message| {
                self.outcome(message)?;
                bar.set_position(self.records - self.open);
                Ok(())
            })?;
            letters.catch_up(|message| {
                self.letter(message);
                bar.set_position(self.records - self.open);
                Ok(())
            })?;
            if (self.open, self.doubled) != before {
                last = Instant::now();
            }
            let enough = match self.open {
                0 => SETTLED,
                _ => patience,
            };
            if last.elapsed() >= enough {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }

    fn outcome(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Failure> {
        let payload = message.payload().unwrap_or_default();
        let Ok(said) = serde_json::from_slice::<Value>(payload) else {
            self.same.accuse(|| {
                format!(
                    "the outcome at {}/{} is no JSON",
                    message.partition(),
                    message.offset()
                )
            });
            return Ok(());
        };
        let source = &said["source"];
        let partition = source["partition"].as_u64().unwrap_or_default() as u32;
        let topic = source["topic"].as_str().unwrap_or_default().to_owned();
        let offset = u64_of(&source["offset"]);
        let slot = slot_of(&said);
        // What tells one outcome from another, in short: the same for a message written again.
        let content = blake3::hash(format!("{slot:?}").as_bytes());
        let short = u32::from_le_bytes(content.as_bytes()[..4].try_into().unwrap_or_default());
        let Some((number, before)) = self.record(&topic, partition, offset) else {
            return Ok(());
        };
        match *before {
            Said::Nothing => {
                *before = Said::Outcome(short);
                self.open -= 1;
            }
            Said::Outcome(first) => {
                self.doubled += 1;
                self.same.check(first == short, || {
                    format!("{topic}/{partition}@{offset} has two outcomes that differ: {said}")
                });
                return Ok(());
            }
            Said::Dead => {
                self.once.accuse(|| {
                    format!("{topic}/{partition}@{offset} has a dead letter and an outcome")
                });
                return Ok(());
            }
        }
        self.put(number, slot)
    }

    fn letter(&mut self, message: &BorrowedMessage<'_>) {
        let text =
            |name: &str| header(message, name).and_then(|value| String::from_utf8(value).ok());
        let topic = text(SOURCE_TOPIC).unwrap_or_default();
        let partition = text(SOURCE_PARTITION).and_then(|text| text.parse().ok());
        let offset = text(SOURCE_OFFSET).and_then(|text| text.parse().ok());
        let (Some(partition), Some(offset)) = (partition, offset) else {
            return;
        };
        let Some((number, before)) = self.record(&topic, partition, offset) else {
            return;
        };
        match *before {
            Said::Nothing => {
                *before = Said::Dead;
                self.open -= 1;
            }
            Said::Dead => {
                self.doubled += 1;
                return;
            }
            Said::Outcome(_) => {
                self.once.accuse(|| {
                    format!("{topic}/{partition}@{offset} has an outcome and a dead letter")
                });
                return;
            }
        }
        let slot = Slot {
            state: State::NoCommand,
            code: code_of(&text("daybook-reason").unwrap_or_default()),
            ..Slot::default()
        };
        // A dead letter of a command is told by the purposes, below.
        if let Err(failure) = self.put(number, slot) {
            self.once.accuse(|| failure.to_string());
        }
    }

    fn record(&mut self, topic: &str, partition: u32, offset: u64) -> Option<(u64, &mut Said)> {
        let region = self.regions.get_mut(&(topic.to_owned(), partition))?;
        let index = usize::try_from(offset.checked_sub(region.start)?).ok()?;
        let (number, said) = region.commands.get_mut(index)?;
        Some((number.checked_sub(1)?, said))
    }

    /// The first outcome of a command is its own; another record of it must have got the same.
    fn put(&mut self, number: u64, slot: Slot) -> Result<(), Failure> {
        let before = self.manifest.slot(number)?;
        let slot = Slot {
            stamp: before.stamp,
            ..slot
        };
        if before.state == State::Sent {
            return self.manifest.write(number, &[slot]);
        }
        self.same.check(before == slot, || {
            format!(
                "command {number} got two outcomes: {:?} {} at {} and {:?} {} at {}",
                before.state,
                code_said(before.code),
                before.ledger_sequence,
                slot.state,
                code_said(slot.code),
                slot.ledger_sequence
            )
        });
        Ok(())
    }

    /// Each record by what it was there for, and each command by its records.
    fn finish(mut self) -> Result<Vec<Item>, Failure> {
        let shape = &self.manifest.header.shape;
        let mut delivered = crate::load::proof::Bits::new(self.manifest.len());
        for ((topic, partition), region) in &self.regions {
            for (offset, (number, said)) in (region.start..).zip(&region.commands) {
                let Some(number) = number.checked_sub(1) else {
                    continue;
                };
                delivered.set(number);
                let planned = shape.command(number);
                let place = || format!("{} ({topic}/{partition}@{offset})", planned.said(shape));
                match planned.purpose {
                    Purpose::Malformed(_) => self
                        .dead
                        .check(*said == Said::Dead, || format!("{}: {said:?}", place())),
                    _ => self.once.check(matches!(said, Said::Outcome(_)), || {
                        format!("{}: {said:?}", place())
                    }),
                }
            }
        }
        let mut stands = Item::new("every command that was sent stands on its topic");
        for number in 0..self.manifest.len() {
            stands.check(delivered.is_set(number), || {
                shape.command(number).said(shape)
            });
        }
        self.same.checked += self.doubled;
        Ok(vec![stands, self.once, self.dead, self.same])
    }
}

/// The number of a load's own message.
fn number_of(message: &BorrowedMessage<'_>, run: u32) -> Option<u64> {
    let text = String::from_utf8(header(message, HEADER)?).ok()?;
    let (of, number) = text.split_once(':')?;
    (u32::from_str_radix(of, 16).ok()? == run).then(|| number.parse().ok())?
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<Vec<u8>> {
    let headers = message.headers()?;
    // The topics hold records of others, too.
    let readable = (0..headers.count()).rev();
    let readable = readable.filter_map(|index| header_at(headers, index));
    let mut found = readable.filter(|header| header.key == name);
    found.next()?.value.map(<[u8]>::to_vec)
}

fn place(regions: &mut Regions, message: &BorrowedMessage<'_>, number: u64) {
    let key = (
        message.topic().to_owned(),
        message.partition().unsigned_abs(),
    );
    let Some(region) = regions.get_mut(&key) else {
        return;
    };
    let offset = message.offset().unsigned_abs();
    let Some(index) = offset.checked_sub(region.start) else {
        return;
    };
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if region.commands.len() <= index {
        region.commands.resize(index + 1, (0, Said::Nothing));
    }
    region.commands[index] = (number + 1, Said::Nothing);
}

fn u64_of(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| value.as_u64()).unwrap_or_default()
}

fn slot_of(said: &Value) -> Slot {
    let code = said["code"].as_str().unwrap_or_default();
    let explained = schemas::error::explain(code).map(|explanation| explanation.kind);
    let state = match explained {
        _ if code == CODE_OK => State::Accepted,
        Some(schemas::error::Kind::Refusal) => State::Refused,
        _ => State::Declined,
    };
    Slot {
        state,
        code: if code == CODE_OK { 0 } else { code_of(code) },
        ledger_sequence: u64_of(&said["ledger_sequence"]),
        hash: hash_of(said["record_hash"].as_str().unwrap_or_default()),
        stamp: 0,
    }
}
