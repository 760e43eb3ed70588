//! One reign of a writer: from its claim to the first commit that is no clean success.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ports::log::{CommitOutcome, Consumed, LogWriter};
use schemas::error::Fault;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batch::{Commit, FactsLoad, Outputs, Repeat};
use super::commits::commit_all;
use super::driver::Driver;
use super::machine::{Counts, Machine};
use super::mailbox::{Message, Tag};
use super::request::Outcome;
use super::status::{Condition, Reign};

/// Commands that are taken before messages are looked at again: so a commit that ends is
/// answered, and the next one begun, within a millisecond or so.
const COMMANDS_AT_A_TIME: usize = 512;
/// The longest sleep: clocks jump, and a stop is to be seen.
const SLEEP_MOST: Duration = Duration::from_millis(500);

/// How a reign ended.
pub(crate) enum End {
    /// As it was told to; everything taken was answered.
    Stopped,
    /// The state is to be brought back from the log.
    Lost {
        /// Why.
        why: String,
        /// Whether anything was committed before.
        served: bool,
    },
    /// The medium is full.
    Full(String),
    /// For good: the shard was given up, or an invariant is broken.
    Finished(String),
    /// The shard was not given back for long, or is refused to this node.
    Elsewhere(String),
}

/// How far a reign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The claim, or the proof that nobody deposed the writer while it paused, is on its way.
    Beginning,
    /// Decides.
    Serving,
    /// The shard was taken away: what was decided is being committed.
    Finishing,
    /// Waits for the shard to be given back.
    Pausing(Instant),
}

pub(crate) struct Serving<'a> {
    driver: &'a mut Driver,
    machine: Machine<Tag>,
    commits: Option<mpsc::Sender<Commit>>,
    committer: JoinHandle<()>,
    batch: (u32, usize),
    phase: Phase,
    stopping: bool,
    served: bool,
    clock_told: bool,
    sources: Arc<Vec<Consumed>>,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(
        driver: &'a mut Driver,
        mut machine: Machine<Tag>,
        writer: Box<dyn LogWriter>,
        sources: Vec<Consumed>,
    ) -> Self {
        machine.set_deposable(writer.can_be_deposed());
        // One in flight at a time: the machine gives out no other before it hears of this one.
        let (commits, batches) = mpsc::channel(1);
        let committer = driver.runtime.spawn(commit_all(
            writer,
            batches,
            driver.mailbox.clone(),
            driver.claims,
        ));
        Self {
            driver,
            machine,
            commits: Some(commits),
            committer,
            batch: (0, 0),
            phase: Phase::Beginning,
            stopping: false,
            served: false,
            clock_told: false,
            sources: Arc::new(sources),
        }
    }

    pub(crate) fn run(mut self) -> End {
        let end = self.serve();
        let shared = &self.driver.mailbox.shared;
        shared.reigns(|reign| *reign = Reign::default());
        self.commits = None;
        // Lets go of the log before the next claim takes it.
        if let Err(error) = self.driver.runtime.block_on(&mut self.committer) {
            tracing::error!(%error, "the committing task died");
        }
        end
    }

    fn serve(&mut self) -> End {
        // The claim's own record waits already: no sleep before it is on its way.
        let mut more = true;
        // It may have been taken away while the state was brought back.
        self.mind_duty();
        loop {
            if let Some(end) = self.listen(more) {
                return end;
            }
            if matches!(self.phase, Phase::Finishing | Phase::Pausing(_)) {
                more = false;
                if let Some(end) = self.rest() {
                    return end;
                }
                continue;
            }
            self.tick();
            let machine = &mut self.machine;
            match catch_unwind(AssertUnwindSafe(|| machine.step(COMMANDS_AT_A_TIME))) {
                Ok(waits) => more = waits,
                Err(panic) => return End::Finished(self.broken(&*panic)),
            }
            self.perform();
            if self.stopping && !more && self.machine.is_idle() && self.driver.callers.is_idle() {
                return End::Stopped;
            }
        }
    }

    /// Follows what this node is given: pauses when the shard is taken away, goes on when it is
    /// given back.
    fn mind_duty(&mut self) {
        let owned = self.driver.mailbox.shared.duty().owned;
        match (owned, self.phase) {
            (false, Phase::Beginning | Phase::Serving) => {
                let shared = Arc::clone(&self.driver.mailbox.shared);
                shared.set(Condition::NotOwner);
                shared.reigns(|reign| reign.serves = false);
                tracing::info!(shard = self.driver.shard, "the shard is taken away");
                self.phase = Phase::Finishing;
                self.turn_away();
            }
            // Nothing was released yet: nobody else can have it.
            (true, Phase::Finishing) => self.resume(),
            (true, Phase::Pausing(_)) => self.resume(),
            _ => {}
        }
    }

    /// Goes on where it paused, once a commit has shown that nobody claimed the shard meanwhile.
    fn resume(&mut self) {
        tracing::info!(shard = self.driver.shard, "the shard is given back");
        self.driver.mailbox.shared.set(Condition::Recovering);
        self.phase = Phase::Beginning;
        self.machine.prove();
    }

    /// Declines all that was not decided.
    fn turn_away(&mut self) {
        let (shard, shared) = (self.driver.shard, &self.driver.mailbox.shared);
        let why = shared.not_owner(shard);
        self.machine
            .decline_waiting(&why, || shared.read_elsewhere(shard));
    }

    /// Commits what was decided before the shard was taken away, then waits.
    fn rest(&mut self) -> Option<End> {
        self.turn_away();
        self.machine.flush();
        self.perform();
        if self.phase == Phase::Finishing && self.machine.is_settled() {
            self.phase = Phase::Pausing(Instant::now());
            let shard = self.driver.shard;
            tracing::info!(shard, "the writer pauses: all that it decided is durable");
            self.driver.mailbox.shared.ownership.released(shard);
        }
        match self.phase {
            Phase::Pausing(_) if self.stopping => Some(End::Stopped),
            Phase::Pausing(since) if since.elapsed() >= self.driver.config.away_most => Some(
                End::Elsewhere("the shard was not given back for long".to_owned()),
            ),
            _ => None,
        }
    }

    /// Takes all messages that are there; sleeps for the first when there is nothing to do.
    fn listen(&mut self, more: bool) -> Option<End> {
        let mut sleep = !more;
        loop {
            let message = if std::mem::take(&mut sleep) {
                match self.driver.messages.recv_timeout(self.sleep()) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => return None,
                    Err(RecvTimeoutError::Disconnected) => return Some(End::Stopped),
                }
            } else {
                match self.driver.messages.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty) => return None,
                    Err(TryRecvError::Disconnected) => return Some(End::Stopped),
                }
            };
            if let Some(end) = self.hear(message) {
                return Some(end);
            }
        }
    }

    fn sleep(&self) -> Duration {
        if matches!(self.phase, Phase::Finishing | Phase::Pausing(_)) {
            return SLEEP_MOST;
        }
        let Some(next) = self.machine.next_expiry() else {
            return SLEEP_MOST;
        };
        // While a batch is in flight its end wakes the writer up.
        if self.machine.is_committing() || self.machine.clock_fault().is_some() {
            return SLEEP_MOST;
        }
        let micros = next
            .micros()
            .saturating_sub(self.driver.clock.now().micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            .clamp(Duration::from_millis(1), SLEEP_MOST)
    }

    fn hear(&mut self, message: Message) -> Option<End> {
        let (driver, machine) = (&mut *self.driver, &mut self.machine);
        match message {
            // Read for an earlier claim: this one has them read again, in their order.
            Message::Commands {
                requests,
                claim: Some(claim),
                reply,
                ..
            } if claim != driver.claims => {
                let why = read_for_another(driver.shard);
                let declined = requests.iter().map(|_| Outcome::Declined(why.clone()));
                let _ = reply.send(declined.collect());
            }
            Message::Attach { claim, reply, .. } if claim != driver.claims => {
                let _ = reply.send(Err(read_for_another(driver.shard)));
            }
            Message::Commands {
                requests,
                reply,
                room,
                ..
            } => driver.callers.commands(machine, requests, reply, room),
            Message::Read {
                ledger,
                query,
                reply,
                room,
            } => driver.callers.read(machine, ledger, query, reply, room),
            Message::Attach {
                attached,
                reply,
                room,
                ..
            } => driver.callers.attach(machine, attached, reply, room),
            Message::Duty => self.mind_duty(),
            Message::Committed {
                claim,
                outcome,
                took,
            } if claim == driver.claims => return self.committed(outcome, took),
            Message::Facts { claim, id, facts } if claim == driver.claims => {
                machine.facts_loaded(id, facts);
            }
            // Of an earlier claim: of no use any more.
            Message::Committed { .. } | Message::Facts { .. } => {}
            Message::Repeats(repeats) => {
                for (repeat, record) in repeats {
                    machine.repeat_loaded(repeat, record);
                }
            }
            Message::Stop => self.stopping = true,
        }
        None
    }

    fn committed(&mut self, outcome: CommitOutcome, took: Duration) -> Option<End> {
        let (records, bytes) = self.batch;
        if records > 0 {
            metrics::histogram!("daybook_commit_seconds").record(took.as_secs_f64());
            metrics::histogram!("daybook_commit_bytes").record(bytes as f64);
            metrics::histogram!("daybook_commit_records").record(f64::from(records));
        } else {
            metrics::counter!("daybook_confirms_total").increment(1);
        }
        match self.machine.committed(outcome) {
            Ok(()) => {
                let committed = self.machine.committed_sequence();
                let shared = Arc::clone(&self.driver.mailbox.shared);
                shared.committed.store(committed, Ordering::Relaxed);
                self.served = true;
                if self.phase == Phase::Beginning {
                    self.phase = Phase::Serving;
                    shared.set(Condition::Serving);
                    let (claim, sources) = (self.driver.claims, Arc::clone(&self.sources));
                    shared.reigns(|reign| {
                        *reign = Reign {
                            claim,
                            serves: true,
                            sources,
                        }
                    });
                    let shard = self.driver.shard;
                    shared.ownership.announce(shard, self.machine.epoch());
                    self.driver.tell_ready(Ok(()));
                }
                self.count();
                self.driver.snapshots.consider(committed);
                None
            }
            Err(CommitOutcome::Full(why)) => Some(End::Full(why)),
            Err(CommitOutcome::Fenced(why)) => {
                let why = format!("another writer has the shard: {why}");
                let served = self.served;
                // Only this producer is finished: who writes now the next claim will see.
                Some(match self.driver.mailbox.shared.ownership.is_fixed() {
                    true => End::Finished(why),
                    false => End::Lost { why, served },
                })
            }
            Err(CommitOutcome::Aborted(why) | CommitOutcome::Indeterminate(why)) => {
                let served = self.served;
                Some(End::Lost { why, served })
            }
            Err(CommitOutcome::Committed(_)) => None,
        }
    }

    fn tick(&mut self) {
        let projected = *self.driver.projected.borrow();
        let told = self.machine.tick(self.driver.clock.now(), projected);
        match told {
            Ok(()) => self.clock_told = false,
            Err(fault) if !self.clock_told => {
                self.clock_told = true;
                tracing::error!(shard = self.driver.shard, %fault, "commands are declined until the clock is right");
            }
            Err(_) => {}
        }
    }

    fn perform(&mut self) {
        let mut outputs: Outputs<Tag> = self.machine.outputs();
        if let Some(commit) = outputs.commit.take() {
            self.batch = match &commit {
                Commit::Batch(batch) => (batch.record_count, batch.body.len()),
                Commit::Confirm(_) => (0, 0),
            };
            if let Some(commits) = &self.commits
                && commits.try_send(commit).is_err()
            {
                // The task is gone: as after any commit of unknown outcome.
                self.driver.mailbox.send(Message::Committed {
                    claim: self.driver.claims,
                    outcome: CommitOutcome::Indeterminate("the committing task is gone".to_owned()),
                    took: Duration::ZERO,
                });
            }
        }
        if let Some(load) = outputs.load.take() {
            self.load(load);
        }
        if !outputs.repeats.is_empty() {
            self.find(std::mem::take(&mut outputs.repeats));
        }
        self.driver.callers.answer(outputs);
    }

    fn load(&self, load: FactsLoad) {
        let (source, mailbox) = (Arc::clone(&self.driver.facts), self.driver.mailbox.clone());
        let claim = self.driver.claims;
        self.driver.runtime.spawn(async move {
            let mut loaded = Vec::with_capacity(load.needed.len());
            let mut failed = None;
            for (ledger, needed) in load.needed {
                match source.load(mailbox.shard, &ledger, &needed).await {
                    Ok(facts) => loaded.push((ledger, facts)),
                    Err(error) => {
                        failed = Some(error.to_string());
                        break;
                    }
                }
            }
            mailbox.send(Message::Facts {
                claim,
                id: load.id,
                facts: failed.map_or(Ok(loaded), Err),
            });
        });
    }

    fn find(&self, mut repeats: Vec<Repeat<Tag>>) {
        // As they stand in the log, so that it is read in rows.
        repeats.sort_by_key(|repeat| repeat.sequence);
        let (finder, mailbox) = (Arc::clone(&self.driver.finder), self.driver.mailbox.clone());
        self.driver.runtime.spawn(async move {
            let mut found = Vec::with_capacity(repeats.len());
            for repeat in repeats {
                let record = finder.find(repeat.sequence).await;
                found.push((repeat, record));
            }
            mailbox.send(Message::Repeats(found));
        });
    }

    /// What panicked; nothing of the open batch was or will be written.
    fn broken(&self, panic: &(dyn std::any::Any + Send)) -> String {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it does not say which");
        tracing::error!(
            shard = self.driver.shard,
            what,
            "an invariant is broken: the shard stops before anything is written; run `daybook verify`"
        );
        format!("an invariant is broken: {what}")
    }

    fn count(&mut self) {
        let Counts {
            accepted,
            refused,
            declined,
            repeated,
        } = self.machine.counts();
        const DECISIONS: &str = "daybook_decisions_total";
        if accepted > 0 {
            metrics::counter!(DECISIONS, "code" => "OK").increment(accepted);
        }
        if repeated > 0 {
            metrics::counter!("daybook_repeats_total").increment(repeated);
        }
        for (code, count) in refused {
            metrics::counter!(DECISIONS, "code" => code).increment(count);
        }
        // Declined without a commit they are counted with the next one.
        for (reason, count) in declined {
            metrics::counter!("daybook_declined_total", "reason" => reason).increment(count);
        }
        let shard = self.driver.shard.to_string();
        metrics::gauge!("daybook_queue_commands", "shard" => shard.clone())
            .set(self.driver.mailbox.waiting() as f64);
        metrics::gauge!("daybook_remembered_records", "shard" => shard.clone())
            .set(self.machine.remembered() as f64);
        metrics::gauge!("daybook_committed_sequence", "shard" => shard)
            .set(self.machine.committed_sequence() as f64);
    }
}

/// Why what came by topics is not taken.
fn read_for_another(shard: u32) -> Fault {
    Fault::unavailable(format!(
        "shard {shard} was claimed anew since its topics were read"
    ))
}
