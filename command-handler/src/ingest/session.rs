//! Feeds a writer from its claim to its end: what is read is handed over in order, and stays in
//! the window until its answer is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::ingestion::{CommandSource, SourceError, SourceReader, SourceRecord};
use ports::log::{Attached, Consumed, SideMessage};
use schemas::error::Fault;
use schemas::record::Origin;
use tokio::sync::{oneshot, watch};

use super::IngestionConfig;
use super::classify::{Command, classify, dead};
use super::letters::{self, Place};
use super::window::Window;
use crate::writer::mailbox::{Answer, Mailbox};
use crate::writer::request::{Ingested, Outcome, Request, Source, Want, is_final};
use crate::writer::status::Reign;

/// How long it waits before it offers again what could not be decided.
const AGAIN_FIRST: Duration = Duration::from_millis(5);
const AGAIN_MOST: Duration = Duration::from_secs(1);
/// How long it waits before the topics are opened again.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_MOST: Duration = Duration::from_secs(5);
/// How often lags are told.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// Records that are read as commands before others on the runtime get a turn.
const READ_AT_A_TIME: usize = 64;

/// What waits to be handed to the writer, or was.
enum Item {
    /// To be decided.
    Command(Box<Command>),
    /// To be told beside the records: a dead letter, or an outcome without a record.
    Message {
        place: Place,
        bytes: usize,
        message: SideMessage,
    },
}

/// What was handed to the writer in one go.
enum Sent {
    Commands(Vec<Command>, Answer),
    Messages(Vec<Item>, oneshot::Receiver<Result<(), Fault>>),
}

/// Feeds one reign.
pub(super) struct Session {
    writer: Mailbox,
    shard_count: u32,
    source: Arc<dyn CommandSource>,
    /// `None` before the topics are opened, and after they could not be read.
    reader: Option<Box<dyn SourceReader>>,
    /// From where they are read on.
    next: Vec<Consumed>,
    config: IngestionConfig,
    claim: u64,
    window: Window,
    /// To be handed over, in order.
    waiting: VecDeque<Item>,
    /// Handed over, in order.
    sent: VecDeque<Sent>,
    /// Came back undecided, in order: to be handed over again before everything else, once all
    /// that was sent has come back.
    again: VecDeque<Item>,
    round: u64,
    pause: Duration,
    reopen: Duration,
    lag_told: Instant,
}

impl Session {
    pub(super) fn new(
        writer: Mailbox,
        shard_count: u32,
        source: Arc<dyn CommandSource>,
        config: IngestionConfig,
        reign: &Reign,
    ) -> Self {
        Self {
            writer,
            shard_count,
            source,
            reader: None,
            next: reign.sources.to_vec(),
            config,
            claim: reign.claim,
            window: Window::default(),
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            again: VecDeque::new(),
            round: 1,
            pause: AGAIN_FIRST,
            reopen: REOPEN_FIRST,
            lag_told: Instant::now(),
        }
    }

    /// Runs until the reign ends.
    pub(super) async fn run(
        mut self,
        reign: &mut watch::Receiver<Reign>,
    ) -> Result<(), SourceError> {
        loop {
            let (claim, serves) = {
                let now = reign.borrow_and_update();
                (now.claim, now.serves)
            };
            // What has no durable answer is read again by the next reign.
            if claim != self.claim {
                return Ok(());
            }
            if !self.again.is_empty() && self.sent.is_empty() {
                tokio::time::sleep(self.pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
                self.pause = (self.pause * 2).min(AGAIN_MOST);
                self.round += 1;
                self.again.append(&mut self.waiting);
                self.waiting = std::mem::take(&mut self.again);
            }
            if serves && self.reader.is_none() {
                self.open().await?;
            }
            let stalled = serves && self.again.is_empty() && !self.hand_over();
            let reads = serves
                && self.reader.is_some()
                && self.again.is_empty()
                && self.waiting.is_empty()
                && self.window.records() < self.config.in_flight_records
                && self.window.bytes() < self.config.in_flight_bytes;
            tokio::select! {
                changed = reign.changed() => if changed.is_err() {
                    return Ok(());
                },
                came = answer(&mut self.sent), if !self.sent.is_empty() => self.came(came),
                () = tokio::time::sleep(self.pause), if stalled => {
                    self.pause = (self.pause * 2).min(AGAIN_MOST);
                }
                read = read(&mut self.reader, &self.config), if reads => match read {
                    Ok(records) => self.take(records).await,
                    Err(error @ SourceError::Gap { .. }) => return Err(error),
                    Err(SourceError::Unavailable(why)) => {
                        tracing::warn!(shard = self.writer.shard, %why, "the topics that commands come from cannot be read");
                        self.reader = None;
                    }
                },
            }
            self.tell_lag();
        }
    }

    /// Opens the topics where they are to be read on; waits a while where that fails.
    async fn open(&mut self) -> Result<(), SourceError> {
        let shard = self.writer.shard;
        let opened = self
            .source
            .open(shard, &self.next, self.config.accept_gap)
            .await;
        match opened {
            Ok(reader) => {
                tracing::info!(shard, from = ?self.next, "commands are taken from topics");
                self.reader = Some(reader);
                self.reopen = REOPEN_FIRST;
            }
            Err(error @ SourceError::Gap { .. }) => return Err(error),
            Err(SourceError::Unavailable(why)) => {
                tracing::warn!(shard, %why, "the topics that commands come from cannot be opened");
                tokio::time::sleep(self.reopen.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
                self.reopen = (self.reopen * 2).min(REOPEN_MOST);
            }
        }
        Ok(())
    }

    /// Hands over what waits, in order; false when the writer takes no more at present.
    fn hand_over(&mut self) -> bool {
        while let Some(first) = self.waiting.front() {
            // At the limit nothing is even made ready.
            if self.writer.is_full() {
                return false;
            }
            let commands = matches!(first, Item::Command(_));
            let run = self.waiting.iter();
            let run = run.take_while(|item| matches!(item, Item::Command(_)) == commands);
            let count = run.count();
            let run: Vec<Item> = self.waiting.drain(..count).collect();
            let refused = match commands {
                true => self.send_commands(run),
                false => self.send_messages(run),
            };
            if let Some(run) = refused {
                for item in run.into_iter().rev() {
                    self.waiting.push_front(item);
                }
                return false;
            }
        }
        true
    }

    fn send_commands(&mut self, run: Vec<Item>) -> Option<Vec<Item>> {
        let commands: Vec<_> = run.into_iter().filter_map(Item::command).collect();
        let requests = commands.iter().map(|command| self.request(command));
        match self.writer.submit(requests.collect(), Some(self.claim)) {
            Ok(answer) => {
                self.sent.push_back(Sent::Commands(commands, answer));
                None
            }
            Err(_) => Some(commands.into_iter().map(Item::of).collect()),
        }
    }

    fn send_messages(&mut self, run: Vec<Item>) -> Option<Vec<Item>> {
        let mut attached = Attached::default();
        for item in &run {
            if let Item::Message { place, message, .. } = item {
                attached.messages.push(message.clone());
                attached.consumed.push(place.consumed());
            }
        }
        match self.writer.attach(attached, self.claim) {
            Ok(answer) => {
                self.sent.push_back(Sent::Messages(run, answer));
                None
            }
            Err(_) => Some(run),
        }
    }

    /// A command as the writer takes it.
    fn request(&self, command: &Command) -> Request {
        let place = Place::of_record(&command.record);
        let source = Source {
            actor: None,
            origin: Origin::Kafka {
                topic: Arc::clone(&place.topic),
                partition: place.partition,
                offset: place.offset,
                resume: self.window.resume(&place),
            },
            traceparent: command.traceparent.clone(),
        };
        Request {
            ledger: command.form.ledger.clone(),
            command: command.form.command.clone(),
            request_hash: command.request_hash,
            validate_only: false,
            want: Want::default(),
            source: Arc::new(source),
            ingested: Some(Box::new(Ingested {
                round: self.round,
                settle: command.form.settle.clone(),
            })),
        }
    }

    /// Reads records as commands.
    async fn take(&mut self, records: Vec<SourceRecord>) {
        for (index, record) in records.into_iter().enumerate() {
            if index % READ_AT_A_TIME == READ_AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
            let (place, bytes) = (Place::of_record(&record), record.size());
            self.window.add(&place, bytes);
            self.read_on(place.consumed());
            let item = match classify(record, self.writer.shard, self.shard_count) {
                Ok(command) => Item::Command(command),
                Err(dead) => {
                    count_dead(dead.code);
                    Item::Message {
                        place,
                        bytes,
                        message: dead.letter,
                    }
                }
            };
            self.waiting.push_back(item);
        }
    }

    fn read_on(&mut self, consumed: Consumed) {
        let mut known = self.next.iter_mut();
        let same = known.find(|n| n.partition == consumed.partition && n.topic == consumed.topic);
        match same {
            Some(known) => *known = consumed,
            None => self.next.push(consumed),
        }
    }

    /// What became of what was sent first.
    fn came(&mut self, came: Came) {
        match came {
            Came::Commands(commands, outcomes) => {
                for (command, outcome) in commands.into_iter().zip(outcomes) {
                    self.decided(command, outcome);
                }
            }
            Came::Messages(items, Ok(())) => {
                for item in items {
                    if let Item::Message { place, bytes, .. } = item {
                        self.window.done(&place, bytes);
                    }
                }
                self.pause = AGAIN_FIRST;
            }
            Came::Messages(items, Err(_)) => self.again.extend(items),
        }
    }

    fn decided(&mut self, command: Command, outcome: Outcome) {
        let (place, bytes) = (Place::of_record(&command.record), command.record.size());
        let topic = command.record.kind.name();
        let ingested = |result| {
            metrics::counter!("daybook_ingested_total", "topic" => topic, "result" => result)
                .increment(1);
        };
        let (ledger, key) = (&command.form.ledger, &command.form.command.key);
        let message = match outcome {
            Outcome::Decided(decided) if !decided.repeated => {
                ingested(if decided.result.is_ok() {
                    "accepted"
                } else {
                    "refused"
                });
                self.window.done(&place, bytes);
                self.pause = AGAIN_FIRST;
                return;
            }
            Outcome::Decided(decided) => {
                ingested("repeated");
                letters::decided(&place, ledger, key, &decided)
            }
            Outcome::Declined(why) if !is_final(&why) => {
                metrics::counter!("daybook_ingestion_retries_total").increment(1);
                tracing::debug!(shard = self.writer.shard, %key, %why, "a record of a topic is offered again");
                self.again.push_back(Item::of(command));
                return;
            }
            Outcome::Declined(why @ (Fault::LedgerNotFound { .. } | Fault::InvalidArgument(_))) => {
                count_dead(why.code());
                dead(&command.record, why.code(), &why.to_string()).letter
            }
            Outcome::Declined(why) => {
                ingested("declined");
                letters::declined(&place, ledger, key, &why)
            }
        };
        self.waiting.push_front(Item::Message {
            place,
            bytes,
            message,
        });
    }

    fn tell_lag(&mut self) {
        if self.lag_told.elapsed() < LAG_EVERY {
            return;
        }
        self.lag_told = Instant::now();
        let lags = self.reader.iter().flat_map(|reader| reader.lag());
        for lag in lags {
            let partition = lag.partition.to_string();
            metrics::gauge!("daybook_ingestion_lag_records", "topic" => lag.topic.to_string(), "partition" => partition)
                .set(lag.records as f64);
        }
    }
}

impl Item {
    fn of(command: Command) -> Self {
        Self::Command(Box::new(command))
    }

    fn command(self) -> Option<Command> {
        match self {
            Self::Command(command) => Some(*command),
            Self::Message { .. } => None,
        }
    }
}

/// An answer, with what it is to.
enum Came {
    Commands(Vec<Command>, Vec<Outcome>),
    Messages(Vec<Item>, Result<(), Fault>),
}

/// Reads the next records, where the topics are open. May be dropped while it waits.
async fn read(
    reader: &mut Option<Box<dyn SourceReader>>,
    config: &IngestionConfig,
) -> Result<Vec<SourceRecord>, SourceError> {
    match reader {
        Some(reader) => {
            let bytes = config.in_flight_bytes / 4;
            reader.read(config.chunk_records, bytes).await
        }
        None => std::future::pending().await,
    }
}

/// Waits for the answer to what was sent first. May be dropped while it waits.
async fn answer(sent: &mut VecDeque<Sent>) -> Came {
    let gone = || Fault::unavailable("the writer ended before it answered");
    let Some(first) = sent.front_mut() else {
        return std::future::pending().await;
    };
    match first {
        Sent::Commands(commands, answer) => {
            let count = commands.len();
            let outcomes = answer.await;
            let outcomes = outcomes.unwrap_or_else(|_| vec![Outcome::Declined(gone()); count]);
            match sent.pop_front() {
                Some(Sent::Commands(commands, _)) => Came::Commands(commands, outcomes),
                _ => std::future::pending().await,
            }
        }
        Sent::Messages(_, answer) => {
            let outcome = answer.await.unwrap_or_else(|_| Err(gone()));
            match sent.pop_front() {
                Some(Sent::Messages(items, _)) => Came::Messages(items, outcome),
                _ => std::future::pending().await,
            }
        }
    }
}

fn count_dead(code: &'static str) {
    metrics::counter!("daybook_dead_letters_total", "reason" => code).increment(1);
}
