//! One reign of a writer: from its claim to the first commit that is no clean success.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use ports::log::{Batch, CommitOutcome, LogWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batch::{FactsLoad, Outputs, Repeat};
use super::driver::Driver;
use super::machine::{Counts, Machine};
use super::mailbox::{Message, Tag};
use super::status::Condition;

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
}

pub(crate) struct Serving<'a> {
    driver: &'a mut Driver,
    machine: Machine<Tag>,
    commits: Option<mpsc::Sender<Batch>>,
    committer: JoinHandle<()>,
    batch: (u32, usize),
    stopping: bool,
    served: bool,
    clock_told: bool,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(
        driver: &'a mut Driver,
        machine: Machine<Tag>,
        writer: Box<dyn LogWriter>,
    ) -> Self {
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
            stopping: false,
            served: false,
            clock_told: false,
        }
    }

    pub(crate) fn run(mut self) -> End {
        let end = self.serve();
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
        loop {
            if let Some(end) = self.listen(more) {
                return end;
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
            Message::Commands {
                requests,
                reply,
                room,
            } => driver.callers.commands(machine, requests, reply, room),
            Message::Read {
                ledger,
                query,
                reply,
                room,
            } => driver.callers.read(machine, ledger, query, reply, room),
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
        metrics::histogram!("daybook_commit_seconds").record(took.as_secs_f64());
        metrics::histogram!("daybook_commit_bytes").record(bytes as f64);
        metrics::histogram!("daybook_commit_records").record(f64::from(records));
        match self.machine.committed(outcome) {
            Ok(()) => {
                let committed = self.machine.committed_sequence();
                let shared = &self.driver.mailbox.shared;
                shared.committed.store(committed, Ordering::Relaxed);
                if !self.served {
                    self.served = true;
                    shared.set(Condition::Serving);
                    self.driver.tell_ready(Ok(()));
                }
                self.count();
                self.driver.snapshots.consider(committed);
                None
            }
            Err(CommitOutcome::Full(why)) => Some(End::Full(why)),
            Err(CommitOutcome::Fenced(why)) => Some(End::Finished(format!(
                "another writer has the shard: {why}"
            ))),
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
        if let Some(batch) = outputs.commit.take() {
            self.batch = (batch.record_count, batch.body.len());
            if let Some(commits) = &self.commits
                && commits.try_send(batch).is_err()
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

    fn find(&self, repeats: Vec<Repeat<Tag>>) {
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

/// Makes one batch after the other durable, on the runtime.
async fn commit_all(
    mut writer: Box<dyn LogWriter>,
    mut batches: mpsc::Receiver<Batch>,
    mailbox: super::mailbox::Mailbox,
    claim: u64,
) {
    while let Some(batch) = batches.recv().await {
        let begun = Instant::now();
        let committing = AssertUnwindSafe(writer.commit(batch)).catch_unwind().await;
        let (outcome, died) = match committing {
            Ok(outcome) => (outcome, false),
            Err(_) => (
                CommitOutcome::Indeterminate("the log's adapter panicked".to_owned()),
                true,
            ),
        };
        mailbox.send(Message::Committed {
            claim,
            outcome,
            took: begun.elapsed(),
        });
        if died {
            break;
        }
    }
}
