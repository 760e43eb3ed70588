//! Walks a shard's log record by record, checks each, and finds out which is damaged.
//!
//! A chain link that does not fit leaves open which of two records was changed. The next record
//! of the ledger tells: where it fits the second, the first was changed. And where the log's
//! store says that an entry is not as it was written, that entry's records are suspects until
//! the next record of their ledger carries their hash.

use std::collections::{BTreeSet, HashMap};

use ledger_core::name::LedgerName;
use ports::log::Position;
use schemas::record::{Payload, Record, RecordError, RecordHash, SealedRecord};

use super::books::Books;
use super::falls::{Falls, Place};
use super::report::{About, Finding, Report};
use super::transactions::Touched;
use crate::divergence::{Divergence, What};
use crate::pipeline::{Body, Decoded, Undecodable};
use crate::state::{ShardState, Skipped};

/// What is known of a chain beyond the state's head.
#[derive(Debug, Default)]
struct Watch {
    last: Option<Place>,
    /// The last record was named in a finding: that the next does not fit it says nothing new.
    blamed: bool,
    /// A link that does not fit: the records before and behind it.
    doubt: Option<(Place, Place)>,
}

/// An entry that its store calls damaged, until a record of it was named.
#[derive(Debug)]
struct Suspect {
    position: Position,
    what: String,
    first_sequence: u64,
    next_sequence: u64,
}

/// A walk along a shard.
pub(super) struct Walk {
    pub(super) state: ShardState,
    pub(super) books: HashMap<LedgerName, Books>,
    watches: HashMap<LedgerName, Watch>,
    suspects: Vec<Suspect>,
    falls: Falls,
    /// Sequences of records that were named in findings.
    named: BTreeSet<u64>,
    /// Findings about records that could not be read, whose ledger is not known yet.
    lost: Vec<Finding>,
    /// An entry before could not be read at all: the gap behind it is explained.
    gap_explained: bool,
}

/// What a record did, as far as the walk could follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Applied.
    Applied,
    /// Its ledger was given up before: only its place was looked at.
    GivenUp,
    /// Named in a finding, or stepped over.
    Damaged,
}

impl Walk {
    pub(super) fn new(state: ShardState) -> Self {
        Self {
            state,
            books: HashMap::new(),
            watches: HashMap::new(),
            suspects: Vec::new(),
            falls: Falls::default(),
            named: BTreeSet::new(),
            lost: Vec::new(),
            gap_explained: false,
        }
    }

    /// The store says that the entry at `position` is damaged; `entry` is what stands there,
    /// where it can be read at all.
    pub(super) fn suspect(
        &mut self,
        position: Position,
        what: String,
        entry: Option<&Decoded>,
        report: &mut Report,
    ) {
        let next = self.state.next_sequence();
        match entry {
            Some(entry) => {
                let count = match &entry.body {
                    Body::Records(records) => records.len() as u64,
                    Body::Barrier(_) => 0,
                };
                self.suspects.push(Suspect {
                    position,
                    what,
                    first_sequence: entry.first_sequence,
                    next_sequence: entry.first_sequence.saturating_add(count.max(1)),
                });
            }
            None => {
                self.gap_explained = true;
                report.find(self.finding(
                    "LOG_DAMAGED",
                    Some(next),
                    None,
                    format!(
                        "the entry at position {} cannot be read, and with it the records from {next} on: {what}",
                        position.0
                    ),
                ));
            }
        }
    }

    /// True when `entry` stands behind where the walk is: it was read before, or is out of
    /// order. Its records are not looked at.
    pub(super) fn is_behind(&mut self, entry: &Decoded, report: &mut Report) -> bool {
        let next = self.state.next_sequence();
        let behind = entry.first_sequence < next && matches!(entry.body, Body::Records(_));
        if behind {
            report.find(self.finding(
                "SEQUENCE_GAP",
                Some(entry.first_sequence),
                None,
                format!(
                    "the entry at position {} begins with record {} again; record {next} should follow",
                    entry.position.0, entry.first_sequence
                ),
            ));
        }
        behind
    }

    /// A record of `entry` cannot be decoded: the walk goes on behind it.
    pub(super) fn unreadable(
        &mut self,
        (position, next_sequence): (Position, u64),
        sequence: u64,
        bytes: &Undecodable,
        report: &mut Report,
    ) {
        let message = format!(
            "the record (in the entry at position {}) cannot be decoded: {}",
            position.0, bytes.error
        );
        if sequence >= next_sequence {
            // Bytes behind the last record that the entry should have.
            report.find(self.finding("LOG_DAMAGED", Some(sequence), None, message));
            return;
        }
        self.gap(sequence, report);
        self.settle(sequence);
        self.lost
            .push(self.finding("RECORD_UNREADABLE", Some(sequence), None, message));
        self.state.step_over(sequence, bytes.hash, None);
        // Behind a frame that does not fit, the others of the entry cannot be told apart.
        self.gap_explained = matches!(bytes.error, RecordError::Frame { .. });
    }

    /// A control entry that is none.
    pub(super) fn unreadable_barrier(
        &mut self,
        position: Position,
        error: &RecordError,
        report: &mut Report,
    ) {
        let next = self.state.next_sequence();
        self.settle(next);
        let message = format!(
            "the control entry at position {} (before record {next}) cannot be decoded: {error}",
            position.0
        );
        report.find(self.finding("LOG_DAMAGED", Some(next), None, message));
    }

    /// Checks and applies the record that stands where `sequence` should.
    pub(super) fn record(
        &mut self,
        sequence: u64,
        record: &SealedRecord,
        report: &mut Report,
    ) -> Step {
        self.gap(sequence, report);
        let ledger = &record.record.ledger;
        let suspect = self.is_suspect(sequence);
        let given_up = self.state.is_given_up(ledger);
        let here = Place {
            sequence,
            ledger_sequence: record.record.ledger_sequence,
            suspect,
        };
        let mut applied = self.state.apply(sequence, record);
        if let Err(divergence) = &applied
            && let What::RecordedAt { .. } | What::Epoch { .. } | What::LogId { .. } =
                divergence.what
            && self.state.fall_to(&record.record)
        {
            self.falls
                .note(&record.record, here, divergence.what.to_string());
            applied = self.state.apply(sequence, record);
        }
        self.falls.pass(&record.record, here);
        let step = match &applied {
            Ok(()) => {
                self.fits(ledger, report);
                if given_up {
                    Step::GivenUp
                } else {
                    Step::Applied
                }
            }
            Err(divergence) => {
                self.diverged(here, record, divergence, report);
                Step::Damaged
            }
        };
        let watch = self.watches.entry(ledger.clone()).or_default();
        watch.last = Some(here);
        watch.blamed = applied.is_err() && watch.doubt.is_none();
        if step == Step::Applied {
            self.book(sequence, record, report)
        } else {
            step
        }
    }

    fn book(&mut self, sequence: u64, record: &SealedRecord, report: &mut Report) -> Step {
        let Payload::Event(event) = &record.record.payload else {
            return Step::Applied;
        };
        report.summary.transactions += Touched::of(event).made();
        let name = &record.record.ledger;
        if !self.books.contains_key(name) {
            self.books.insert(name.clone(), Books::default());
        }
        let books = self.books.get_mut(name).expect("it was put there");
        match books.book(event) {
            Ok(compared) => {
                report.summary.checks += compared;
                Step::Applied
            }
            Err(why) => {
                report.find(self.finding(
                    "BOOKS_UNBALANCED",
                    Some(sequence),
                    Some((name.clone(), record.record.ledger_sequence)),
                    why,
                ));
                let skipped = self.skipped(record);
                self.state.step_over(sequence, record.hash, Some(skipped));
                Step::Damaged
            }
        }
    }

    /// Where records between the walk and `sequence` are missing, says so and goes on there.
    fn gap(&mut self, sequence: u64, report: &mut Report) {
        let next = self.state.next_sequence();
        if sequence > next {
            if !self.gap_explained {
                let message = match sequence - 1 {
                    last if last == next => format!("record {next} of the shard is missing"),
                    last => format!("records {next} to {last} of the shard are missing"),
                };
                report.find(self.finding("SEQUENCE_GAP", Some(next), None, message));
            }
            self.state
                .step_over(sequence - 1, RecordHash([0; 32]), None);
        }
        self.gap_explained = false;
    }

    /// A record fits the one before it in its ledger: that is as it was written.
    fn fits(&mut self, ledger: &LedgerName, report: &mut Report) {
        let Some(watch) = self.watches.get_mut(ledger) else {
            return;
        };
        let doubt = watch.doubt.take();
        if let Some((before, _)) = doubt {
            // The record behind the link is good, so the one before it was changed.
            let name = Some((ledger.clone(), before.ledger_sequence));
            let message =
                "the next record of the ledger carries another hash: this one was changed";
            report.find(self.finding(
                "CHAIN_BROKEN",
                Some(before.sequence),
                name,
                message.to_owned(),
            ));
            self.settle(before.sequence);
        }
    }

    fn diverged(
        &mut self,
        here: Place,
        record: &SealedRecord,
        divergence: &Divergence,
        report: &mut Report,
    ) {
        let ledger = &record.record.ledger;
        let what = &divergence.what;
        let expected = self.state.next(ledger).ledger_sequence;
        let mut skipped = self.skipped(record);
        match what {
            What::PreviousHash { .. } => {
                self.broken_link(ledger, here, what, report);
            }
            What::LedgerSequence { .. } if record.record.ledger_sequence > expected => {
                skipped.ledger_sequence = record.record.ledger_sequence;
                self.ledger_gap(&record.record, here, expected, report);
            }
            _ => {
                if matches!(what, What::LedgerSequence { .. }) {
                    skipped.ledger_sequence = record.record.ledger_sequence;
                }
                self.blame(ledger, here, code_of(what), what.to_string(), report);
            }
        }
        self.state
            .step_over(here.sequence, record.hash, Some(skipped));
    }

    /// The record does not carry the hash of the one before it.
    fn broken_link(&mut self, ledger: &LedgerName, here: Place, what: &What, report: &mut Report) {
        let watch = self.watches.entry(ledger.clone()).or_default();
        let (last, blamed) = (watch.last, watch.blamed);
        if let Some((_, behind)) = watch.doubt.take() {
            // Twice in a row: the record between the two links was changed.
            self.blame(ledger, behind, "CHAIN_BROKEN", what_changed(), report);
            return;
        }
        match last {
            _ if blamed => {}
            Some(last) if last.suspect && !here.suspect => {
                self.blame(ledger, last, "CHAIN_BROKEN", what_changed(), report);
            }
            Some(last) if last.suspect == here.suspect => watch.doubt = Some((last, here)),
            _ => self.blame(ledger, here, "CHAIN_BROKEN", what.to_string(), report),
        }
    }

    /// Records of the ledger are missing before this one; perhaps those that could not be read.
    fn ledger_gap(&mut self, record: &Record, here: Place, expected: u64, report: &mut Report) {
        let ledger = &record.ledger;
        let missing = here.ledger_sequence - expected;
        if !self.lost.is_empty() {
            let explained = usize::try_from(missing).unwrap_or(usize::MAX);
            let lost = self.lost.drain(..explained.min(self.lost.len()));
            for (ledger_sequence, mut finding) in (expected..).zip(lost) {
                finding.ledger = Some(ledger.clone());
                finding.ledger_sequence = Some(ledger_sequence);
                report.find(finding);
            }
            return;
        }
        if let Some((other, place)) = self.renamed(record, here, expected) {
            let message = format!("it seems to be the first record of ledger {ledger}");
            self.blame(&other, place, "LOG_DAMAGED", message, report);
            return;
        }
        let message = format!(
            "its ledger sequence is {}, and {expected} should follow: {missing} records of the ledger are missing before it",
            here.ledger_sequence
        );
        self.blame(ledger, here, "SEQUENCE_GAP", message, report);
    }

    /// A record of a damaged entry that says another ledger's name, where it is the first: its
    /// own lacks it, and the other seems to have begun.
    fn renamed(&self, record: &Record, here: Place, expected: u64) -> Option<(LedgerName, Place)> {
        // Where this one follows the other, it is this one that says a wrong name.
        let follows = |name: &LedgerName| {
            let head = self.state.head(name).map(|head| head.hash);
            head == record.previous_hash
        };
        let others = self.watches.iter();
        let others = others.filter(|(name, _)| **name != record.ledger && !follows(name));
        let alone = others.filter_map(|(name, watch)| Some((name, watch.last?)));
        alone
            .filter(|(_, last)| last.suspect && last.ledger_sequence == 1 && expected == 1)
            .filter(|(_, last)| last.sequence < here.sequence)
            .max_by_key(|(_, last)| last.sequence)
            .map(|(name, last)| (name.clone(), last))
    }

    fn blame(
        &mut self,
        ledger: &LedgerName,
        place: Place,
        code: &'static str,
        message: String,
        report: &mut Report,
    ) {
        let name = Some((ledger.clone(), place.ledger_sequence));
        report.find(self.finding(code, Some(place.sequence), name, message));
        self.settle(place.sequence);
    }

    fn skipped(&self, record: &SealedRecord) -> Skipped {
        let name = record.record.ledger.clone();
        let ledger_sequence = self.state.next(&name).ledger_sequence;
        Skipped {
            name,
            ledger_sequence: match self.state.head(&record.record.ledger) {
                Some(head) if head.ledger_sequence == record.record.ledger_sequence => {
                    head.ledger_sequence
                }
                _ => ledger_sequence,
            },
        }
    }

    fn is_suspect(&self, sequence: u64) -> bool {
        self.suspects
            .last()
            .is_some_and(|entry| (entry.first_sequence..entry.next_sequence).contains(&sequence))
    }

    /// A record of a damaged entry was named: the entry has its finding.
    fn settle(&mut self, sequence: u64) {
        self.named.insert(sequence);
        self.suspects
            .retain(|entry| !(entry.first_sequence..entry.next_sequence).contains(&sequence));
    }

    /// The read models know the hash of a ledger's last record: it clears that.
    pub(super) fn confirm(&mut self, ledger: &LedgerName) {
        if let Some(Watch {
            last: Some(last), ..
        }) = self.watches.get_mut(ledger)
        {
            last.suspect = false;
        }
    }

    /// At the log's end: what is still in doubt is named.
    pub(super) fn finish(&mut self, report: &mut Report) {
        for finding in std::mem::take(&mut self.lost) {
            report.find(finding);
        }
        let mut open: Vec<_> = self
            .watches
            .iter()
            .map(|(ledger, watch)| (ledger.clone(), watch.last, watch.doubt))
            .collect();
        open.sort_by_key(|(_, last, _)| last.map(|last| last.sequence));
        for (ledger, _, doubt) in &open {
            if let Some((before, behind)) = doubt {
                let message = format!(
                    "record {} of the ledger does not carry its hash: this one was changed, or that one",
                    behind.ledger_sequence
                );
                self.blame(ledger, *before, "CHAIN_BROKEN", message, report);
            }
        }
        let proven = |ledger: &LedgerName, sequence: u64| {
            // Named it would be, had its ledger's next record not carried its hash.
            let last = self.watches.get(ledger).and_then(|watch| watch.last);
            last.is_none_or(|last| last.sequence != sequence)
        };
        for (ledger, place, what) in self.falls.unexplained(&self.named, proven) {
            self.blame(&ledger, place, "LOG_DAMAGED", what, report);
        }
        for entry in std::mem::take(&mut self.suspects) {
            // Every other record of the entry is proven by its ledger's next one.
            let within = entry.first_sequence..entry.next_sequence;
            let left = open.iter().find_map(|(ledger, last, _)| {
                last.filter(|last| last.suspect && within.contains(&last.sequence))
                    .map(|last| (ledger.clone(), last))
            });
            let sequence = left
                .as_ref()
                .map_or(entry.first_sequence, |(_, last)| last.sequence);
            let message = format!(
                "the entry at position {} is not as it was written: {}",
                entry.position.0, entry.what
            );
            let name = left.map(|(ledger, last)| (ledger, last.ledger_sequence));
            report.find(self.finding("LOG_DAMAGED", Some(sequence), name, message));
        }
    }

    fn finding(
        &self,
        code: &'static str,
        sequence: Option<u64>,
        place: Option<(LedgerName, u64)>,
        message: String,
    ) -> Finding {
        let (ledger, ledger_sequence) = place.unzip();
        Finding {
            about: About::Log,
            code,
            shard: self.state.shard,
            sequence,
            ledger,
            ledger_sequence,
            message,
        }
    }
}

fn what_changed() -> String {
    "the next record of the ledger carries another hash: this one was changed".to_owned()
}

fn code_of(what: &What) -> &'static str {
    match what {
        What::PreviousHash { .. } => "CHAIN_BROKEN",
        What::Sequence { .. } | What::LedgerSequence { .. } => "SEQUENCE_GAP",
        What::Impossible(_) => "STATE_DIFFERS",
        _ => "LOG_DAMAGED",
    }
}
