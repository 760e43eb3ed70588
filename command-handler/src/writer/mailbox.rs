//! The way into a writer: bounded, and never waited at. What does not fit is declined at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ledger_core::command::{Command, Operation};
use ledger_core::facts::Facts;
use ledger_core::name::LedgerName;
use ports::log::{Attached, CommitOutcome, SideMessage};
use ports::strong::{StrongError, StrongQuery, StrongRead};
use schemas::error::Fault;
use schemas::record::SealedRecord;
use tokio::sync::oneshot;

use super::batch::Repeat;
use super::request::{Outcome, Request};
use super::status::Shared;

/// Finds a caller again: its group, and the place of the command in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) group: u64,
    pub(crate) index: u32,
}

/// What a writer's thread is told.
pub(crate) enum Message {
    /// Commands of one caller, to be decided in order.
    Commands {
        requests: Vec<Request>,
        /// Where they came by topics: the claim that those are read for.
        claim: Option<u64>,
        reply: oneshot::Sender<Vec<Outcome>>,
        room: Room,
    },
    /// A STRONG read.
    Read {
        ledger: LedgerName,
        query: StrongQuery,
        reply: oneshot::Sender<Result<StrongRead, StrongError>>,
        room: Room,
    },
    /// What is to be committed beside the records, in its place among the commands.
    Attach {
        attached: Attached,
        /// The claim that the topics are read for.
        claim: u64,
        reply: oneshot::Sender<Result<(), Fault>>,
        room: Room,
    },
    /// Whether the shard is this node's may have changed.
    Duty,
    /// What became of the batch in flight, of the claim of this number.
    Committed {
        claim: u64,
        outcome: CommitOutcome,
        took: Duration,
    },
    /// What was loaded.
    Facts {
        claim: u64,
        id: u64,
        facts: Result<Vec<(LedgerName, Facts)>, String>,
    },
    /// Records of repeated keys.
    Repeats(Vec<(Repeat<Tag>, Result<SealedRecord, Fault>)>),
    /// Finish what was taken, then end.
    Stop,
}

/// Bounds of what waits in a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Commands and reads.
    pub commands: usize,
    /// Their bytes in memory, about.
    pub bytes: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self {
            commands: 65_536,
            bytes: 128 * 1024 * 1024,
        }
    }
}

/// What is taken of the bounds at present.
#[derive(Debug, Default)]
struct Taken {
    commands: AtomicUsize,
    bytes: AtomicUsize,
}

/// Room that commands take from their coming until their answer; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    taken: Arc<Taken>,
    commands: usize,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken
            .commands
            .fetch_sub(self.commands, Ordering::Relaxed);
        self.taken.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The way into one writer.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    pub(crate) shard: u32,
    pub(crate) shared: Arc<Shared>,
    bounds: QueueBounds,
    taken: Arc<Taken>,
    sender: Sender<Message>,
}

/// An answer to come.
pub(crate) type Answer = oneshot::Receiver<Vec<Outcome>>;

impl Mailbox {
    pub(crate) fn new(
        shard: u32,
        shared: Arc<Shared>,
        bounds: QueueBounds,
        sender: Sender<Message>,
    ) -> Self {
        Self {
            shard,
            shared,
            bounds,
            taken: Arc::default(),
            sender,
        }
    }

    /// Commands and reads that wait or are being answered.
    pub(crate) fn waiting(&self) -> usize {
        self.taken.commands.load(Ordering::Relaxed)
    }

    /// True when what comes now would most likely not fit.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting() >= self.bounds.commands
            || self.taken.bytes.load(Ordering::Relaxed) >= self.bounds.bytes
    }

    /// Puts commands into the queue, all or none. Never waits. Those that came by topics name the
    /// claim that the topics are read for: by another one they are declined, for it reads them
    /// again in their order.
    pub(crate) fn submit(
        &self,
        requests: Vec<Request>,
        claim: Option<u64>,
    ) -> Result<Answer, Fault> {
        if let Some(why) = self.shared.declines_commands(self.shard) {
            return Err(why);
        }
        let bytes = requests.iter().map(|r| weight(&r.command)).sum();
        let room = self
            .room(requests.len(), bytes)
            .ok_or_else(|| Fault::Overloaded {
                what: format!("the queue of shard {}", self.shard),
            })?;
        let (reply, answer) = oneshot::channel();
        self.send(Message::Commands {
            requests,
            claim,
            reply,
            room,
        });
        Ok(answer)
    }

    /// Puts a STRONG read into the queue. Never waits.
    pub(crate) fn read(
        &self,
        ledger: LedgerName,
        query: StrongQuery,
    ) -> Result<oneshot::Receiver<Result<StrongRead, StrongError>>, StrongError> {
        if let Some(why) = self.shared.declines_reads(self.shard) {
            return Err(why);
        }
        let bytes = match &query {
            StrongQuery::Accounts(accounts) => 512 * accounts.len(),
            StrongQuery::OpenHolds(holds) => 512 * holds.len(),
            StrongQuery::OpenHoldsOf(_) => 64 * 1024,
            StrongQuery::Position => 0,
        };
        let room = self
            .room(1, bytes + 512)
            .ok_or(StrongError::Overloaded(self.shard))?;
        let (reply, answer) = oneshot::channel();
        self.send(Message::Read {
            ledger,
            query,
            reply,
            room,
        });
        Ok(answer)
    }

    /// Puts what is to be committed beside the records into the queue. Never waits; gives it back
    /// where there is no room, or the writer takes nothing. For the claim, see
    /// [`submit`](Self::submit).
    pub(crate) fn attach(
        &self,
        attached: Attached,
        claim: u64,
    ) -> Result<oneshot::Receiver<Result<(), Fault>>, (Attached, Fault)> {
        if let Some(why) = self.shared.declines_commands(self.shard) {
            return Err((attached, why));
        }
        let bytes = attached.messages.iter().map(SideMessage::size).sum();
        let Some(room) = self.room(attached.messages.len().max(1), bytes) else {
            let what = format!("the queue of shard {}", self.shard);
            return Err((attached, Fault::Overloaded { what }));
        };
        let (reply, answer) = oneshot::channel();
        self.send(Message::Attach {
            attached,
            claim,
            reply,
            room,
        });
        Ok(answer)
    }

    /// Tells the writer something. When its thread has ended there is nobody to be told: then
    /// what was sent is dropped, and its caller sees the answer's channel closed.
    pub(crate) fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    fn room(&self, commands: usize, bytes: usize) -> Option<Room> {
        let commands_before = self.taken.commands.fetch_add(commands, Ordering::Relaxed);
        let bytes_before = self.taken.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Made at once: when there is no room its drop gives back what was added.
        let room = Room {
            taken: Arc::clone(&self.taken),
            commands,
            bytes,
        };
        // What is alone fits always, or it could never be served.
        let fits = commands_before == 0
            || (commands_before + commands <= self.bounds.commands
                && bytes_before + bytes <= self.bounds.bytes);
        fits.then_some(room)
    }
}

/// Bytes that a command takes in memory, about.
fn weight(command: &Command) -> usize {
    const ONE: usize = 512;
    const POSTING: usize = 160;
    fn of(operation: &Operation) -> usize {
        let metadata = |m: &ledger_core::text::Metadata| {
            m.entries()
                .iter()
                .map(|(key, value)| key.len() + value.size() + 64)
                .sum::<usize>()
        };
        match operation {
            Operation::CreateTransaction(create) => {
                create.postings.len() * POSTING + metadata(&create.metadata)
            }
            Operation::CaptureTransaction(capture) => {
                capture.amounts.len() * 32 + metadata(&capture.metadata)
            }
            Operation::ReverseTransaction(reverse) => {
                reverse.amounts.len() * 32 + metadata(&reverse.metadata)
            }
            Operation::OpenAccount(open) => metadata(&open.metadata) + 512,
            Operation::CreateLedger(create) => {
                metadata(&create.metadata) + create.settlement_accounts.len() * 64
            }
            Operation::UpdateLedger(update) => {
                metadata(&update.metadata.set)
                    + update.settlement_accounts.as_ref().map_or(0, Vec::len) * 64
            }
            Operation::UpdateAccount(update) => metadata(&update.metadata.set) + 512,
            Operation::UpdateTransaction(update) => metadata(&update.metadata.set),
            Operation::Atomic(members) => members
                .iter()
                .map(|member| ONE + member.conditions.len() * 64 + of(&member.operation))
                .sum(),
            _ => 0,
        }
    }
    ONE + command.conditions.len() * 64 + of(&command.operation)
}
