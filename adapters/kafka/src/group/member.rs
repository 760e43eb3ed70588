//! The member: a consumer on its own thread, and what it was given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ports::log::LogError;
use ports::ownership::Assignment;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use super::owned;
use crate::connection::{Connection, Topics};
use crate::error::log_error;
use crate::log::log_line;

/// The group takes a member for dead after so long without a sign of it.
const SESSION: Duration = Duration::from_secs(6);
/// A member gives a sign so often, and hears of a rebalance so soon.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The group waits so long for a member that is to give its shards back.
const REBALANCE: Duration = Duration::from_secs(20);
/// A member waits so long for its writers to finish what they had begun.
const RELEASE: Duration = Duration::from_secs(5);
/// One wait for something to happen.
const POLL: Duration = Duration::from_millis(100);
/// How long the number of partitions may take to be told.
const COUNTS: Duration = Duration::from_secs(2);
/// Topics with the wrong number of partitions are looked at again so often.
const COUNTS_AGAIN: Duration = Duration::from_secs(5);

/// A consumer that owns partitions and reads nothing.
pub(super) type Client = BaseConsumer<Context>;

/// What a member was given, shared by its thread and everybody who asks.
pub(super) struct State {
    topics: Topics,
    shard_count: u32,
    pub(super) assignment: watch::Sender<Assignment>,
    /// Shards that were taken away and whose writers have not finished.
    unreleased: Mutex<BTreeSet<u32>>,
    released: Condvar,
    ending: AtomicBool,
    pub(super) left: watch::Sender<bool>,
    /// By topic, the partitions of the newest assignment that was not looked at yet.
    fresh: Mutex<Option<BTreeMap<String, BTreeSet<i32>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn new(topics: Topics, shard_count: u32) -> Self {
        Self {
            topics,
            shard_count,
            assignment: watch::Sender::default(),
            unreleased: Mutex::default(),
            released: Condvar::new(),
            ending: AtomicBool::new(false),
            left: watch::Sender::new(false),
            fresh: Mutex::default(),
        }
    }

    pub(super) fn released(&self, shard: u32) {
        lock(&self.unreleased).remove(&shard);
        self.released.notify_all();
    }

    /// The member is to leave. The writers have ended: nothing is waited for.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.released.notify_all();
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn give(&self, shards: BTreeSet<u32>) {
        tracing::info!(?shards, "shards of this node");
        self.assignment.send_modify(|assignment| {
            assignment.generation += 1;
            assignment.shards = shards;
        });
    }

    /// Takes everything away, and waits until the writers have finished.
    fn take_away(&self, lost: bool) {
        *lock(&self.fresh) = None;
        let taken = self.assignment.borrow().shards.clone();
        lock(&self.unreleased).clone_from(&taken);
        self.give(BTreeSet::new());
        // What is lost may have been given to another node already.
        if lost || self.is_ending() || taken.is_empty() {
            return;
        }
        let begun = Instant::now();
        let waiting = lock(&self.unreleased);
        let (waiting, _) = self
            .released
            .wait_timeout_while(waiting, RELEASE, |left| {
                !left.is_empty() && !self.is_ending()
            })
            .unwrap_or_else(PoisonError::into_inner);
        let took = begun.elapsed();
        match waiting.is_empty() {
            true => tracing::info!(shards = taken.len(), ?took, "shards are given back"),
            false => {
                tracing::warn!(shards = ?*waiting, "shards are given back though their writers have not finished: their next writers will fence them");
            }
        }
    }
}

/// Hears what the group gives and takes.
pub(super) struct Context {
    state: Arc<State>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the group that shares the shards out");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(_) => self.state.take_away(consumer.assignment_lost()),
            Rebalance::Error(error) => {
                tracing::warn!(%error, "the group could not share the shards out");
                self.state.take_away(true);
            }
            Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else {
            return;
        };
        // The records are read by others.
        if let Err(error) = consumer.pause(list) {
            tracing::debug!(%error, "partitions could not be paused");
        }
        *lock(&self.state.fresh) = Some(partitions(list));
    }
}

fn partitions(list: &TopicPartitionList) -> BTreeMap<String, BTreeSet<i32>> {
    let mut by_topic = BTreeMap::<String, BTreeSet<i32>>::new();
    for element in list.elements() {
        let of = by_topic.entry(element.topic().to_owned()).or_default();
        of.insert(element.partition());
    }
    by_topic
}

/// A client that has not joined yet.
pub(super) fn client(connection: &Connection, state: &Arc<State>) -> Result<Client, LogError> {
    let millis = |time: Duration| time.as_millis().to_string();
    connection
        .client()
        .set("group.id", connection.owners_group())
        // Offsets that a killed writer left in an open transaction are not waited for: it is the
        // claim that ends it. Older ones may be committed once more for that, which moves nobody:
        // topics are read from where the log itself says.
        .set("isolation.level", "read_uncommitted")
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", millis(SESSION))
        .set("heartbeat.interval.ms", millis(HEARTBEAT))
        .set("max.poll.interval.ms", millis(REBALANCE))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "64")
        .create_with_context(Context {
            state: Arc::clone(state),
        })
        .map_err(|error| log_error("joining the group that shares the shards out", &error))
}

/// Joins, on a thread of its own.
pub(super) fn start(client: Arc<Client>, state: Arc<State>) -> Result<JoinHandle<()>, LogError> {
    let topics: Vec<Arc<str>> = state.topics.ingestion().map(Arc::clone).into();
    let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    client
        .subscribe(&names)
        .map_err(|error| log_error("joining the group that shares the shards out", &error))?;
    std::thread::Builder::new()
        .name("daybook-group".to_owned())
        .spawn(move || run(&client, &state))
        .map_err(|error| LogError::Unavailable(format!("no thread could start: {error}")))
}

fn run(client: &Client, state: &State) {
    let mut again = Instant::now();
    while !state.is_ending() {
        // Messages that came before the partitions were paused are read by others.
        if let Some(Err(error)) = client.poll(POLL) {
            tracing::debug!(%error, "the group that shares the shards out");
        }
        let fresh = lock(&state.fresh).clone();
        if let Some(fresh) = fresh
            && Instant::now() >= again
        {
            match counts_agree(client, state) {
                true => settle(state, &fresh),
                false => again = Instant::now() + COUNTS_AGAIN,
            }
        }
    }
    client.unsubscribe();
    // The group hears of it, and what was given is taken away.
    let begun = Instant::now();
    while begun.elapsed() < COUNTS && client.assignment().is_ok_and(|list| list.count() > 0) {
        client.poll(Duration::from_millis(20));
    }
    if !state.assignment.borrow().shards.is_empty() {
        state.give(BTreeSet::new());
    }
    state.left.send_replace(true);
}

/// Publishes an assignment, unless it was taken away meanwhile.
fn settle(state: &State, fresh: &BTreeMap<String, BTreeSet<i32>>) {
    let none = BTreeSet::new();
    let topics = state.topics.ingestion();
    let assigned: Vec<_> = topics
        .iter()
        .map(|topic| fresh.get(&***topic).unwrap_or(&none).clone())
        .collect();
    let shards = owned(&assigned, state.shard_count);
    *lock(&state.fresh) = None;
    state.give(shards);
}

/// True where every topic has as many partitions as the log has shards.
fn counts_agree(client: &Client, state: &State) -> bool {
    state.topics.ingestion().into_iter().all(|topic| {
        let found = client.fetch_metadata(Some(topic), COUNTS).map(|metadata| {
            let topics = metadata.topics().iter();
            let mut named = topics.filter(|found| found.name() == &**topic);
            named.next().map_or(0, |found| found.partitions().len())
        });
        match found {
            Ok(count) if count == state.shard_count as usize => true,
            Ok(count) => {
                tracing::error!(%topic, count, shards = state.shard_count, "a topic that commands come from has not as many partitions as the log has shards: no shard is written here");
                false
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "the partitions of a topic could not be counted");
                false
            }
        }
    })
}
