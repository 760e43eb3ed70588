//! Two nodes, lost answers, late requests, gates: what is fenced when.

#![allow(clippy::unwrap_used)]

mod stack;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adapter_kafka::{Admission, ClaimGate, Connection, KafkaLog};
use async_trait::async_trait;
use bytes::Bytes;
use ports::conformance::samples::{barrier, batch};
use ports::log::{
    Attached, Batch, CommitOutcome, Consumed, EventLog, LogEntry, LogError, LogWriter, Position,
    SideMessage, SideTopic,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use xtask::proxy::{ApiKey, KafkaProxy, Then};

async fn open(connection: &Connection) -> KafkaLog {
    KafkaLog::open(connection.clone(), None).await.unwrap()
}

async fn made() -> (Connection, KafkaLog) {
    let connection = stack::connection();
    stack::make(&connection, 1).await;
    let log = open(&connection).await;
    (connection, log)
}

/// The log of `connection`, reached through `proxy`.
fn through(proxy: &KafkaProxy, connection: &Connection) -> Connection {
    let mut config = connection.config().clone();
    config.bootstrap_servers = proxy.bootstrap();
    Connection::new(config)
}

async fn commit(writer: &mut Box<dyn LogWriter>, batch: Batch) -> Position {
    match writer.commit(batch).await {
        CommitOutcome::Committed(position) => position,
        other => panic!("not committed: {other:?}"),
    }
}

async fn all(log: &KafkaLog) -> Vec<LogEntry> {
    let reader = log.reader();
    let mut from = Position(0);
    let mut entries = Vec::new();
    loop {
        let chunk = reader.read(0, from, 1 << 20).await.unwrap();
        let Some(last) = chunk.last() else {
            return entries;
        };
        from = Position(last.position.0 + 1);
        entries.extend(chunk);
    }
}

fn shape(entries: &[LogEntry]) -> Vec<(u64, u32)> {
    let shape = entries.iter();
    shape
        .map(|entry| (entry.first_sequence, entry.record_count))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_on_another_node_deposes_and_everybody_sees_its_records() {
    let (connection, a) = made().await;
    let b = open(&connection).await;
    let mut on_a = a.claim(0, barrier(1)).await.unwrap();
    assert!(on_a.can_be_deposed());
    let mut seen_by_b = b.reader().watch(0);
    commit(&mut on_a, batch(a.log_id(), 0, 1, 1, 3, 10)).await;
    seen_by_b.wait_for(|next| *next == 4).await.unwrap();
    let mut late = Vec::new();
    for n in 0..30u64 {
        commit(&mut on_a, batch(a.log_id(), 0, 1, 4 + n, 1, 10)).await;
        let committed = Instant::now();
        seen_by_b.wait_for(|next| *next == 5 + n).await.unwrap();
        late.push(committed.elapsed());
    }
    late.sort();
    println!(
        "another node sees a commit after {:?} (p50), {:?} at most",
        late[15], late[29]
    );
    assert_eq!(
        on_a.confirm(Attached::default()).await,
        CommitOutcome::Committed(Position(0))
    );

    let mut on_b = b.claim(0, barrier(2)).await.unwrap();
    let confirmed = on_a.confirm(Attached::default()).await;
    assert!(
        matches!(confirmed, CommitOutcome::Fenced(_)),
        "{confirmed:?}"
    );
    let late = on_a.commit(batch(a.log_id(), 0, 1, 34, 1, 10)).await;
    assert!(matches!(late, CommitOutcome::Fenced(_)), "{late:?}");
    drop(on_a);
    commit(&mut on_b, batch(a.log_id(), 0, 2, 34, 2, 10)).await;
    let mut seen_by_a = a.reader().watch(0);
    seen_by_a.wait_for(|next| *next == 36).await.unwrap();
    assert_eq!(all(&a).await, all(&b).await);
    assert_eq!(shape(&all(&b).await)[32..], [(34, 0), (34, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_commits_are_quick() {
    let (_, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let mut took = Vec::new();
    for n in 0..60u64 {
        let batch = batch(log.log_id(), 0, 1, n + 1, 1, 150);
        let started = Instant::now();
        commit(&mut writer, batch).await;
        took.push(started.elapsed());
    }
    took.sort();
    println!(
        "commits of one record: p50 {:?}, p90 {:?}",
        took[30], took[54]
    );
    // Without draining first each would take 100 ms, the quickest too.
    assert!(took[5] < Duration::from_millis(90), "{took:?}");
}

/// A producer's end of transaction is answered into nothing: it is asked for again, and the
/// commit is acknowledged. Since the first request may still be under way somewhere, this writer
/// commits nothing more.
async fn disturbed(then: Then) {
    let (connection, _) = made().await;
    let proxy = KafkaProxy::from_env().unwrap();
    let log = open(&through(&proxy, &connection)).await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    let caught = proxy.swallow_answer(ApiKey::END_TXN, then);
    let outcome = writer.commit(batch(log.log_id(), 0, 1, 3, 2, 10)).await;
    caught.wait(Duration::from_secs(1)).unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Committed(_)),
        "{outcome:?}"
    );
    let ends = proxy.seen(ApiKey::END_TXN);
    for _ in 0..2 {
        let next = writer.commit(batch(log.log_id(), 0, 1, 5, 2, 10)).await;
        match next {
            CommitOutcome::Aborted(why) => assert!(why.contains("new producer"), "{why}"),
            other => panic!("it went on: {other:?}"),
        }
    }
    assert_eq!(proxy.seen(ApiKey::END_TXN), ends, "nothing more is sent");
    drop(writer);
    let mut writer = log.claim(0, barrier(2)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 2, 5, 2, 10)).await;
    assert_eq!(
        shape(&all(&log).await),
        [(1, 0), (1, 2), (3, 2), (5, 0), (5, 2)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_commit_is_asked_for_again_and_the_writer_retired() {
    disturbed(Then::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_is_found_out_by_time() {
    disturbed(Then::Silence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_end_of_a_transaction_hits_nobody() {
    let (connection, _) = made().await;
    let proxy = KafkaProxy::from_env().unwrap();
    let log = open(&through(&proxy, &connection)).await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    // The end is held back, and sent again over another connection.
    let held = proxy.hold(ApiKey::END_TXN, Then::Cut);
    let outcome = writer.commit(batch(log.log_id(), 0, 1, 3, 2, 10)).await;
    assert!(
        matches!(outcome, CommitOutcome::Committed(_)),
        "{outcome:?}"
    );
    held.wait(Duration::from_secs(1)).unwrap();
    let next = writer.commit(batch(log.log_id(), 0, 1, 5, 2, 10)).await;
    assert!(matches!(next, CommitOutcome::Aborted(_)), "{next:?}");
    drop(writer);
    // The next writer has a transaction open when the late end arrives.
    let mut writer = log.claim(0, barrier(2)).await.unwrap();
    let end = proxy.hold(ApiKey::END_TXN, Then::Silence);
    let log_id = log.log_id();
    let committing = tokio::spawn(async move {
        let outcome = writer.commit(batch(log_id, 0, 2, 5, 2, 10)).await;
        (writer, outcome)
    });
    let waited = tokio::task::spawn_blocking(move || {
        end.wait(Duration::from_secs(10)).unwrap();
        end
    });
    let end = waited.await.unwrap();
    held.deliver().unwrap();
    assert_eq!(
        shape(&all(&open(&connection).await).await),
        [(1, 0), (1, 2), (3, 2), (5, 0)],
        "the open transaction is not committed by it"
    );
    end.release();
    let (_writer, outcome) = committing.await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Committed(_)),
        "{outcome:?}"
    );
    assert_eq!(
        shape(&all(&open(&connection).await).await),
        [(1, 0), (1, 2), (3, 2), (5, 0), (5, 2)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_for_long_leaves_the_commit_open() {
    let (connection, _) = made().await;
    let proxy = KafkaProxy::from_env().unwrap();
    let log = open(&through(&proxy, &connection)).await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    proxy.refuse();
    let started = Instant::now();
    let outcome = writer.commit(batch(log.log_id(), 0, 1, 3, 2, 10)).await;
    assert!(
        matches!(
            outcome,
            CommitOutcome::Aborted(_) | CommitOutcome::Indeterminate(_)
        ),
        "{outcome:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    drop(writer);
    // Short, and it is back: the next claim waits for it.
    let claiming = tokio::spawn(async move {
        let writer = log.claim(0, barrier(2)).await;
        (log, writer)
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.pass();
    let (log, writer) = claiming.await.unwrap();
    let mut writer = writer.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 2, 3, 1, 10)).await;
    assert_eq!(shape(&all(&log).await), [(1, 0), (1, 2), (3, 0), (3, 1)]);
}

/// A gate over a real consumer group.
struct Group {
    connection: Connection,
    consumer: BaseConsumer,
    open: AtomicBool,
}

impl Group {
    async fn joined(connection: &Connection) -> Arc<Self> {
        let consumer: BaseConsumer = connection
            .client()
            .set("group.id", connection.owners_group())
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .create()
            .unwrap();
        consumer
            .subscribe(&[&connection.topics().deposits])
            .unwrap();
        let group = Arc::new(Self {
            connection: connection.clone(),
            consumer,
            open: AtomicBool::new(true),
        });
        group.clone().wait_assigned().await;
        group
    }

    async fn wait_assigned(self: Arc<Self>) {
        tokio::task::spawn_blocking(move || {
            let until = Instant::now() + Duration::from_secs(20);
            while self.consumer.assignment().unwrap().count() == 0 {
                assert!(Instant::now() < until, "the group gives it nothing");
                let _ = self.consumer.poll(Duration::from_millis(50));
            }
        })
        .await
        .unwrap();
    }

    fn offset(&self) -> Offset {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.connection.topics().deposits, 0);
        let found = self
            .consumer
            .committed_offsets(list, Duration::from_secs(10))
            .unwrap();
        found.elements()[0].offset()
    }
}

#[async_trait]
impl ClaimGate for Group {
    async fn admit(&self, shard: u32) -> Result<Admission, LogError> {
        let refused = |why: String| LogError::NotOwner { shard, why };
        if !self.open.load(Ordering::Relaxed) {
            return Err(refused("the gate is closed".to_owned()));
        }
        let topic = &self.connection.topics().deposits;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(0))
            .unwrap();
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| refused(error.to_string()))?;
        Ok(Admission {
            offsets: vec![Consumed {
                topic: topic.clone(),
                partition: 0,
                next_offset: 0,
            }],
        })
    }

    fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}

fn attached(connection: &Connection, next_offset: u64) -> Attached {
    Attached {
        consumed: vec![Consumed {
            topic: connection.topics().deposits.clone(),
            partition: 0,
            next_offset,
        }],
        messages: vec![SideMessage {
            topic: SideTopic::Outcomes,
            key: Some(Bytes::from_static(b"bank")),
            headers: vec![("source".into(), Some(Bytes::from_static(b"deposits/0/6")))],
            payload: Some(Bytes::from(format!("outcome {next_offset}"))),
        }],
    }
}

/// The committed messages of the topic of outcomes.
fn outcomes(connection: &Connection) -> Vec<String> {
    let consumer: BaseConsumer = connection
        .client()
        .set("group.id", "daybook-test")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&connection.topics().outcomes, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(10)).expect("it ends") {
            Ok(message) => {
                found.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap())
            }
            Err(_) => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attached_is_committed_with_the_batch_or_not_at_all() {
    let connection = stack::connection();
    stack::make(&connection, 1).await;
    let group = Group::joined(&connection).await;
    let gate: Arc<dyn ClaimGate> = group.clone();
    let log = KafkaLog::open(connection.clone(), Some(gate))
        .await
        .unwrap();
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    assert_eq!(group.offset(), Offset::Offset(0), "as it was admitted with");
    let mut first = batch(log.log_id(), 0, 1, 1, 2, 10);
    first.attached = attached(&connection, 7);
    commit(&mut writer, first).await;
    assert_eq!(group.offset(), Offset::Offset(7));
    let confirmed = writer.confirm(attached(&connection, 8)).await;
    assert!(
        matches!(confirmed, CommitOutcome::Committed(_)),
        "{confirmed:?}"
    );
    assert_eq!(group.offset(), Offset::Offset(8));
    assert_eq!(outcomes(&connection), ["outcome 7", "outcome 8"]);
    assert_eq!(
        shape(&all(&log).await),
        [(1, 0), (1, 2)],
        "a confirmation is no entry"
    );

    // The group goes on without this node, which does not know it yet.
    group.consumer.unsubscribe();
    let other = Group::joined(&connection).await;
    let mut late = batch(log.log_id(), 0, 1, 3, 1, 10);
    late.attached = attached(&connection, 9);
    let outcome = writer.commit(late).await;
    assert!(matches!(outcome, CommitOutcome::Aborted(_)), "{outcome:?}");
    drop(writer);
    assert_eq!(other.offset(), Offset::Offset(8));
    assert_eq!(outcomes(&connection), ["outcome 7", "outcome 8"]);
    assert_eq!(shape(&all(&log).await), [(1, 0), (1, 2)]);
    match log.claim(0, barrier(2)).await {
        Err(LogError::NotOwner { shard: 0, .. }) => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("it claimed a shard that is not its own"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_the_gate_refuses_fences_nobody() {
    let connection = stack::connection();
    stack::make(&connection, 1).await;
    let owner = open(&connection).await;
    let mut writer = owner.claim(0, barrier(1)).await.unwrap();
    let group = Group::joined(&connection).await;
    group.open.store(false, Ordering::Relaxed);
    let gate: Arc<dyn ClaimGate> = group;
    let log = KafkaLog::open(connection.clone(), Some(gate))
        .await
        .unwrap();
    let refused = log.claim(0, barrier(2)).await.err();
    assert!(
        matches!(refused, Some(LogError::NotOwner { .. })),
        "{refused:?}"
    );
    commit(&mut writer, batch(owner.log_id(), 0, 1, 1, 1, 10)).await;
    assert_eq!(shape(&all(&owner).await), [(1, 0), (1, 1)]);
}
