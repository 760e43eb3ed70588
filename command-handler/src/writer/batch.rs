//! The batch that is being filled, and the one that is being made durable.

use bytes::BytesMut;
use ledger_core::facts::FactsNeeded;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ports::log::{Attached, Batch, Consumed, SideMessage};
use ports::strong::{StrongError, StrongRead};

use super::request::{Outcome, Want};

/// An answer that waits until everything decided before it is durable.
#[derive(Debug)]
pub enum Pending<T> {
    /// To a command.
    Outcome(T, Outcome),
    /// To a command that was decided before: its record is read from the log then.
    Repeat(Repeat<T>),
    /// To a STRONG read.
    Read(T, Result<StrongRead, StrongError>),
    /// To something that was to be committed beside the records.
    Attached(T),
}

/// A command whose key was decided before, by the same request.
#[derive(Debug, Clone)]
pub struct Repeat<T> {
    /// Whose it is.
    pub tag: T,
    /// The shard's sequence of the record that holds the decision.
    pub sequence: u64,
    /// The ledger.
    pub ledger: LedgerName,
    /// The key.
    pub key: IdempotencyKey,
    /// What the outcome shall show.
    pub want: Want,
}

/// Facts to be loaded for the commands that wait first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactsLoad {
    /// Comes back with the facts.
    pub id: u64,
    /// What is needed of each ledger.
    pub needed: Vec<(LedgerName, Vec<FactsNeeded>)>,
}

/// What is to be made durable.
#[derive(Debug)]
pub enum Commit {
    /// Records, and what is attached to them.
    Batch(Batch),
    /// No records: only what is attached, or the proof that nobody deposed the writer.
    Confirm(Attached),
}

/// What the machine wants done.
#[derive(Debug)]
pub struct Outputs<T> {
    /// Make this durable; say what became of it.
    pub commit: Option<Commit>,
    /// Load these facts.
    pub load: Option<FactsLoad>,
    /// Read the records of these from the log.
    pub repeats: Vec<Repeat<T>>,
    /// Answer these commands.
    pub replies: Vec<(T, Outcome)>,
    /// Answer these reads.
    pub reads: Vec<(T, Result<StrongRead, StrongError>)>,
    /// What these attached is durable.
    pub attached: Vec<T>,
}

impl<T> Default for Outputs<T> {
    fn default() -> Self {
        Self {
            commit: None,
            load: None,
            repeats: Vec::new(),
            replies: Vec::new(),
            reads: Vec::new(),
            attached: Vec::new(),
        }
    }
}

impl<T> Outputs<T> {
    /// Lets an answer go out.
    pub fn release(&mut self, pending: Pending<T>) {
        match pending {
            Pending::Outcome(tag, outcome) => self.replies.push((tag, outcome)),
            Pending::Repeat(repeat) => self.repeats.push(repeat),
            Pending::Read(tag, read) => self.reads.push((tag, read)),
            Pending::Attached(tag) => self.attached.push(tag),
        }
    }
}

/// The batch that is being filled.
#[derive(Debug)]
pub struct Open<T> {
    /// Its records, framed.
    pub body: BytesMut,
    /// How many.
    pub records: u32,
    /// Answers that wait for it.
    pub pending: Vec<Pending<T>>,
    /// What is committed beside its records.
    pub attached: Attached,
    /// Bytes of the messages among that, about.
    pub attached_bytes: usize,
    /// It is to be committed though it may be empty: to see whether the writer was deposed.
    pub prove: bool,
}

impl<T> Open<T> {
    /// True when there is nothing to be committed.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.pending.is_empty() && self.attached.is_empty() && !self.prove
    }

    /// Adds what is to be committed beside the records.
    pub fn attach(&mut self, attached: Attached) {
        for message in attached.messages {
            self.message(message);
        }
        for consumed in attached.consumed {
            self.consumed(consumed);
        }
    }

    /// Adds a message.
    pub fn message(&mut self, message: SideMessage) {
        self.attached_bytes += message.size();
        self.attached.messages.push(message);
    }

    /// Moves a topic's offset up.
    pub fn consumed(&mut self, consumed: Consumed) {
        let mut known = self.attached.consumed.iter_mut();
        let same = known
            .find(|known| known.partition == consumed.partition && known.topic == consumed.topic);
        match same {
            Some(known) => known.next_offset = known.next_offset.max(consumed.next_offset),
            None => self.attached.consumed.push(consumed),
        }
    }
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self {
            body: BytesMut::new(),
            records: 0,
            pending: Vec::new(),
            attached: Attached::default(),
            attached_bytes: 0,
            prove: false,
        }
    }
}

/// The batch that is being made durable.
#[derive(Debug)]
pub struct InFlight<T> {
    /// Sequence of its last record.
    pub last_sequence: u64,
    /// Answers that wait for it.
    pub pending: Vec<Pending<T>>,
}
