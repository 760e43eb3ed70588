//! The batch that is being filled, and the one that is being made durable.

use bytes::BytesMut;
use ledger_core::facts::FactsNeeded;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ports::log::Batch;
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

/// What the machine wants done.
#[derive(Debug)]
pub struct Outputs<T> {
    /// Make this durable; say what became of it.
    pub commit: Option<Batch>,
    /// Load these facts.
    pub load: Option<FactsLoad>,
    /// Read the records of these from the log.
    pub repeats: Vec<Repeat<T>>,
    /// Answer these commands.
    pub replies: Vec<(T, Outcome)>,
    /// Answer these reads.
    pub reads: Vec<(T, Result<StrongRead, StrongError>)>,
}

impl<T> Default for Outputs<T> {
    fn default() -> Self {
        Self {
            commit: None,
            load: None,
            repeats: Vec::new(),
            replies: Vec::new(),
            reads: Vec::new(),
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
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self {
            body: BytesMut::new(),
            records: 0,
            pending: Vec::new(),
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
