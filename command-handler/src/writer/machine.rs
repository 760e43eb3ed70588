//! The writer of a shard as a machine without I/O: commands, reads, outcomes and time go in;
//! batches to commit, facts to load and answers come out. It has no clock, no network and no
//! randomness, so a simulator can run it through every fault.
//!
//! What is promised about order: commands are decided in the order in which they were
//! submitted, whatever has to be loaded for some of them. An answer goes out only when the
//! batch that it was ordered with is durable, so none tells of what may still be lost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::BytesMut;
use ledger_core::facts::Facts;
use ledger_core::name::LedgerName;
use ledger_core::time::{Moment, Timestamp};
use ports::log::{Attached, Batch, CommitOutcome};
use ports::strong::{StrongError, StrongQuery};
use schemas::error::Fault;
use schemas::record::{LogStarted, Origin, Payload, WriterClaimed};
use shard_state::{MemoryBounds, ShardState};

use super::batch::{Commit, InFlight, Open, Outputs, Pending};
use super::expiries::Expiries;
use super::guard::{ClockFault, ClockGuard};
use super::request::{Outcome, Request, Source};
use crate::calendar::Calendar;

/// Bounds of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A batch is full with this many records.
    pub batch_records: u32,
    /// A batch is full with this many bytes (its last record may reach beyond).
    pub batch_bytes: usize,
    /// A record may have this many bytes.
    pub record_bytes: usize,
    /// Facts are loaded for at most this many commands at once.
    pub facts_commands: usize,
    /// What stays in memory whatever the projection has passed, and with how much in memory
    /// commands are declined: the projection is too far behind then.
    pub memory: MemoryBounds,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            batch_records: 8_192,
            batch_bytes: 4 * 1024 * 1024,
            record_bytes: ledger_core::limits::RECORD_BYTES_MAX,
            facts_commands: 2_048,
            memory: MemoryBounds {
                step: 16_384,
                ..MemoryBounds::default()
            },
        }
    }
}

/// What waits to be taken, in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are commands")]
pub(super) enum Waiting<T> {
    Command {
        tag: T,
        request: Request,
        /// The load of facts that was made for it; 0 for none.
        loaded: u64,
    },
    Read {
        tag: T,
        ledger: LedgerName,
        query: StrongQuery,
    },
    Attach {
        tag: T,
        attached: Attached,
    },
}

/// Facts that were loaded for commands at the front of the queue.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Of the newest load.
    pub id: u64,
    /// True while it is under way.
    pub loading: bool,
    /// What it gave; `Err` says why it failed.
    pub facts: Result<HashMap<LedgerName, Facts>, String>,
}

/// Decisions since they were last asked for, for metrics.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub accepted: u64,
    /// Rejections by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Not recorded, by reason.
    pub declined: BTreeMap<&'static str, u64>,
    /// Answered from the log.
    pub repeated: u64,
}

/// The writer of a shard. `T` tags commands and reads, to find their callers again.
#[derive(Debug)]
pub struct Machine<T> {
    pub(super) state: ShardState,
    pub(super) bounds: Bounds,
    pub(super) epoch: u64,
    pub(super) guard: ClockGuard,
    pub(super) queue: VecDeque<Waiting<T>>,
    pub(super) open: Open<T>,
    pub(super) in_flight: Option<InFlight<T>>,
    pub(super) loaded: Loaded,
    pub(super) calendars: HashMap<LedgerName, Calendar>,
    pub(super) expiries: Expiries,
    pub(super) scratch: BytesMut,
    pub(super) out: Outputs<T>,
    pub(super) counts: Counts,
    pub(super) no_facts: Facts,
    /// The engine's own records: nobody asked.
    pub(super) timer: Source,
    /// Another node may depose this writer without its knowing: what it says of its state is
    /// said only after a commit that began later.
    deposable: bool,
    /// Records of topics of this round and before wait for one that could not be decided.
    pub(super) halted: u64,
    /// Why commands are declined though reads are answered.
    refusing: Option<Fault>,
    committed: u64,
    projected: u64,
    forgotten: u64,
}

impl<T: Copy> Machine<T> {
    /// The machine of a writer that goes on from `state`, in the epoch after its last one.
    ///
    /// # Errors
    /// [`ClockFault`] when `now` cannot be right.
    pub fn new(
        state: ShardState,
        bounds: Bounds,
        now: Timestamp,
        accept_clock: bool,
    ) -> Result<Self, ClockFault> {
        let last = state.last_recorded_at();
        let mut guard = ClockGuard::new(last, accept_clock);
        guard.observe(now, last)?;
        Ok(Self::with_guard(state, bounds, guard))
    }

    /// The machine that only answers reads of what is durable, whatever the clock says.
    pub fn reading(state: ShardState, bounds: Bounds, why: Fault) -> Self {
        let guard = ClockGuard::new(state.last_recorded_at(), true);
        let mut machine = Self::with_guard(state, bounds, guard);
        machine.refusing = Some(why);
        machine
    }

    fn with_guard(state: ShardState, bounds: Bounds, guard: ClockGuard) -> Self {
        let mut expiries = Expiries::default();
        let mut forgotten = 0;
        for ledger in state.ledgers() {
            expiries.set(ledger.name(), ledger.next_expiry());
            forgotten = forgotten.max(ledger.forgotten_through());
        }
        Self {
            epoch: state.epoch() + 1,
            committed: state.next_sequence() - 1,
            projected: 0,
            forgotten,
            state,
            bounds,
            guard,
            queue: VecDeque::new(),
            open: Open::default(),
            in_flight: None,
            loaded: Loaded {
                id: 0,
                loading: false,
                facts: Ok(HashMap::new()),
            },
            calendars: HashMap::new(),
            expiries,
            scratch: BytesMut::new(),
            out: Outputs::default(),
            counts: Counts::default(),
            no_facts: Facts::default(),
            timer: Source {
                origin: Origin::Timer,
                ..Source::default()
            },
            deposable: false,
            halted: 0,
            refusing: None,
        }
    }

    /// Says whether another node may depose this writer without its knowing.
    pub fn set_deposable(&mut self, deposable: bool) {
        self.deposable = deposable;
    }

    /// Puts the claim on record: `LogStarted` as the first record of an empty shard, then
    /// `WriterClaimed`. To be called once, before everything else.
    pub fn claim(&mut self, nonce: [u8; 16], build: &str) {
        let at = self.at();
        if self.state.last().is_none() {
            let started = Payload::LogStarted(LogStarted {
                shard_count: self.state.shard_count,
                parent: None,
            });
            self.record_own("started".to_owned(), at, started);
        }
        let claimed = Payload::WriterClaimed(WriterClaimed {
            epoch: self.epoch,
            nonce,
            build: build.into(),
        });
        self.record_own(format!("claim:{}", self.epoch), at, claimed);
        self.cut(false);
    }

    /// Takes a command.
    pub fn submit(&mut self, tag: T, request: Request) {
        self.queue.push_back(Waiting::Command {
            tag,
            request,
            loaded: 0,
        });
    }

    /// Takes a STRONG read, which keeps its place among the commands.
    pub fn read(&mut self, tag: T, ledger: LedgerName, query: StrongQuery) {
        self.queue.push_back(Waiting::Read { tag, ledger, query });
    }

    /// Takes what is to be committed beside the records, in its place among the commands.
    pub fn attach(&mut self, tag: T, attached: Attached) {
        self.queue.push_back(Waiting::Attach { tag, attached });
    }

    /// Commits soon, though there may be nothing to commit: success proves that nobody had
    /// deposed this writer when it was called.
    pub fn prove(&mut self) {
        self.open.prove = true;
        self.cut(false);
    }

    /// Commits what was decided, and decides nothing more.
    pub fn flush(&mut self) {
        self.cut(false);
    }

    /// Declines everything that was not taken yet: what was decided is still to be committed.
    pub fn decline_waiting(&mut self, why: &Fault, reads: impl Fn() -> StrongError) {
        self.loaded.id += 1;
        self.loaded.loading = false;
        for waiting in std::mem::take(&mut self.queue) {
            if let Waiting::Command { request, .. } = &waiting {
                // It may go on deciding soon, and what came later by the same topic may be on its
                // way already.
                self.halt(request, why);
            }
            match waiting {
                Waiting::Command { tag, .. } | Waiting::Attach { tag, .. } => {
                    let declined = Outcome::Declined(why.clone());
                    self.out.replies.push((tag, declined));
                }
                Waiting::Read { tag, .. } => self.out.reads.push((tag, Err(reads()))),
            }
        }
    }

    /// Takes the time and the sequence that the projection has passed.
    pub fn tick(&mut self, now: Timestamp, projected: u64) -> Result<(), ClockFault> {
        self.projected = projected;
        self.guard.observe(now, self.state.last_recorded_at())
    }

    /// Takes what became of the batch in flight.
    ///
    /// # Errors
    /// The outcome again, where it was no clean success: this machine's state is not to be used
    /// any more.
    pub fn committed(&mut self, outcome: CommitOutcome) -> Result<(), CommitOutcome> {
        let CommitOutcome::Committed(_) = outcome else {
            return Err(outcome);
        };
        if let Some(batch) = self.in_flight.take() {
            self.committed = batch.last_sequence;
            for pending in batch.pending {
                self.out.release(pending);
            }
        }
        Ok(())
    }

    /// Takes up to `most` of what waits, and gives work out. True when there is more that can
    /// be taken at once.
    pub fn step(&mut self, most: usize) -> bool {
        self.forget();
        let mut taken = 0;
        let mut stuck = false;
        while taken < most && !self.is_full() && !stuck {
            stuck = self.loaded.loading || !self.take_one();
            taken += 1;
        }
        if self.queue.is_empty() {
            self.expire_idle();
        }
        let more = !stuck && !self.queue.is_empty();
        self.cut(more);
        more && !self.is_full()
    }

    /// Gives the batch that is being filled out to be committed, when the medium is free and
    /// either nothing more waits to go with it or it is full.
    fn cut(&mut self, more: bool) {
        if self.open.is_empty() || self.in_flight.is_some() || (more && !self.is_full()) {
            return;
        }
        let open = std::mem::take(&mut self.open);
        let last_sequence = self.state.next_sequence() - 1;
        self.open.body.reserve(open.body.len());
        self.out.commit = Some(match open.records {
            // One for all the reads that wait.
            0 => Commit::Confirm(open.attached),
            records => Commit::Batch(Batch {
                epoch: self.epoch,
                first_sequence: last_sequence + 1 - u64::from(records),
                record_count: records,
                body: open.body.freeze(),
                attached: open.attached,
            }),
        });
        self.in_flight = Some(InFlight {
            last_sequence,
            pending: open.pending,
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.records >= self.bounds.batch_records
            || self.open.body.len() + self.open.attached_bytes >= self.bounds.batch_bytes
    }

    /// Gives an answer out when everything decided up to now is durable.
    pub(super) fn park(&mut self, pending: Pending<T>) {
        if self.open.records > 0 {
            self.open.pending.push(pending);
        } else if let Some(batch) = &mut self.in_flight {
            batch.pending.push(pending);
        } else {
            self.out.release(pending);
        }
    }

    /// Gives an answer out that is true only of a writer that was not deposed: after a commit
    /// that begins from now on. The one in flight may have begun before another node's claim.
    pub(super) fn park_confirmed(&mut self, pending: Pending<T>) {
        if self.deposable {
            self.open.pending.push(pending);
        } else {
            self.park(pending);
        }
    }

    pub(super) fn decline(&mut self, tag: T, why: Fault) {
        *self.counts.declined.entry(why.code()).or_default() += 1;
        self.park(Pending::Outcome(tag, Outcome::Declined(why)));
    }

    /// Why no command is decided at present.
    pub(super) fn refusal(&self) -> Option<Fault> {
        if let Some(why) = &self.refusing {
            return Some(why.clone());
        }
        if let Some(fault) = self.guard.fault() {
            return Some(Fault::unavailable(fault.to_string()));
        }
        let memory = &self.bounds.memory;
        if memory.are_exceeded(&self.state, self.remembered()) {
            return Some(Fault::Overloaded {
                what: format!(
                    "memory, with the read models {} records behind the log,",
                    self.committed.saturating_sub(self.projected)
                ),
            });
        }
        None
    }

    /// Lets memory go of what the projection has passed, but never while facts are in use: they
    /// must cover all that memory does not.
    pub(super) fn forget(&mut self) {
        let newest = self.loaded.id;
        let in_use = matches!(
            self.queue.front(),
            Some(Waiting::Command { loaded, .. }) if *loaded != 0 && *loaded == newest
        );
        if self.loaded.loading || in_use {
            return;
        }
        self.loaded.facts = Ok(HashMap::new());
        let last = self.state.next_sequence() - 1;
        let passed = self.projected.min(self.committed);
        let memory = &self.bounds.memory;
        if let Some(through) = memory.forget_through(&self.state, passed, last, self.forgotten) {
            self.state.forget_through(through);
            self.forgotten = through;
        }
    }

    /// What is to be done now; empty afterwards.
    pub fn outputs(&mut self) -> Outputs<T> {
        std::mem::take(&mut self.out)
    }

    /// Decisions since the last call.
    pub fn counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// The time that the next decision is recorded at: never before the last one's.
    pub(super) fn at(&self) -> Timestamp {
        self.guard
            .now()
            .max(self.state.last_recorded_at().unwrap_or(Timestamp::MIN))
    }

    pub(super) fn engine_moment(at: Timestamp) -> Moment {
        Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        }
    }

    /// When the next hold expires, to be woken up then.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.next()
    }

    /// True when nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.is_settled()
    }

    /// True when everything that was decided is durable.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.in_flight.is_none()
    }

    /// True while a batch is being made durable.
    pub fn is_committing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Sequence of the last durable record.
    pub const fn committed_sequence(&self) -> u64 {
        self.committed
    }

    /// The writer's epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Records that memory may still hold.
    pub fn remembered(&self) -> u64 {
        (self.state.next_sequence() - 1).saturating_sub(self.forgotten)
    }

    /// Why the clock is not believed at present.
    pub const fn clock_fault(&self) -> Option<ClockFault> {
        self.guard.fault()
    }

    /// The state, with everything decided up to now.
    pub const fn state(&self) -> &ShardState {
        &self.state
    }
}
