//! What stands in the events topic and was not written by a commit of ours: torn batches, what a
//! killed writer left open, messages of others, what was trimmed.

#![allow(clippy::unwrap_used)]

#[path = "stack/raw.rs"]
mod raw;
mod stack;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_kafka::{ClaimGate, Connection, Group, KafkaLog};
use ports::conformance::samples::{barrier, batch};
use ports::log::{Batch, Begin, CommitOutcome, EventLog, LogEntry, LogError, LogWriter, Position};
use ports::ownership::Ownership as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

async fn open(connection: &Connection) -> KafkaLog {
    KafkaLog::open(connection.clone(), None).await.unwrap()
}

async fn made() -> (Connection, KafkaLog) {
    let connection = stack::connection();
    stack::make(&connection, 1).await;
    let log = open(&connection).await;
    (connection, log)
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
        let chunk = reader.read(0, from, 3_000).await.unwrap();
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
async fn any_prefix_of_a_batch_reads_as_a_shorter_entry() {
    let (connection, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    drop(writer);
    let torn = batch(log.log_id(), 0, 1, 3, 5, 10);
    let producer = raw::transactional(&connection, 0);
    producer.begin_transaction().unwrap();
    raw::send_part(&producer, &connection, &log, &torn, 0..3);
    raw::commit(&producer);
    drop(producer);

    // One who was there, and one who comes later, read the same.
    let mut watch = log.reader().watch(0);
    watch.wait_for(|next| *next == 6).await.unwrap();
    let fresh = open(&connection).await;
    let (old, new) = (all(&log).await, all(&fresh).await);
    assert_eq!(shape(&old), [(1, 0), (1, 2), (3, 3)]);
    assert_eq!(old, new);
    assert_eq!(raw::records(&torn)[..3].len(), 3);
    let mut kept = bytes::BytesMut::new();
    for record in &raw::records(&torn)[..3] {
        schemas::record::frame::push(&mut kept, record);
    }
    assert_eq!(old[2].body, kept.freeze());

    // The next writer goes on after what is there.
    let mut writer = fresh.claim(0, barrier(2)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 2, 6, 4, 10)).await;
    for entries in [all(&fresh).await, all(&open(&connection).await).await] {
        assert_eq!(shape(&entries), [(1, 0), (1, 2), (3, 3), (6, 0), (6, 4)]);
    }
    for reader in [fresh.reader(), open(&connection).await.reader()] {
        for (sequence, first) in [(2, 1), (3, 3), (5, 3), (6, 6), (9, 6)] {
            let entry = reader.entry_of(0, sequence).await.unwrap().unwrap();
            assert_eq!(entry.first_sequence, first, "of sequence {sequence}");
        }
        assert_eq!(reader.entry_of(0, 10).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_committed_in_two_parts_is_two_entries() {
    let (connection, log) = made().await;
    let halved = batch(log.log_id(), 0, 1, 1, 6, 10);
    let producer = raw::transactional(&connection, 0);
    for part in [0..4, 4..6] {
        producer.begin_transaction().unwrap();
        raw::send_part(&producer, &connection, &log, &halved, part);
        raw::commit(&producer);
    }
    drop(producer);
    let fresh = open(&connection).await;
    let entries = all(&fresh).await;
    assert_eq!(shape(&entries), [(1, 4), (5, 2)]);
    for entry in &entries {
        let found = fresh.reader().read(0, entry.position, 1).await.unwrap();
        assert_eq!(&found[0], entry, "read from where it begins");
        let found = fresh.reader().entry_of(0, entry.first_sequence + 1).await;
        assert_eq!(found.unwrap().as_ref(), Some(entry), "found by a sequence");
    }
    let between = Position(entries[0].position.0 + 2);
    let found = fresh.reader().read(0, between, 1).await.unwrap();
    assert_eq!(found[0], entries[1], "from the middle of the first part");
    let between = Position(entries[1].position.0 + 1);
    let found = fresh.reader().read(0, between, 1).await.unwrap();
    assert_eq!(found, [], "from the middle of the last part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_writer_left_open_holds_nobody_up() {
    let (connection, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 1, 10)).await;
    drop(writer);
    let left = batch(log.log_id(), 0, 1, 2, 3, 10);
    let producer = raw::transactional(&connection, 0);
    producer.begin_transaction().unwrap();
    raw::send_part(&producer, &connection, &log, &left, 0..3);
    // Its transaction would stay open for a minute. Nothing of it is read.
    assert_eq!(
        shape(&all(&open(&connection).await).await),
        [(1, 0), (1, 1)]
    );

    let started = Instant::now();
    let next = open(&connection).await;
    let mut writer = next.claim(0, barrier(2)).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    commit(&mut writer, batch(log.log_id(), 0, 2, 2, 2, 10)).await;
    assert!(
        producer
            .commit_transaction(Duration::from_secs(10))
            .is_err(),
        "the one before is fenced"
    );
    for entries in [all(&next).await, all(&open(&connection).await).await] {
        assert_eq!(shape(&entries), [(1, 0), (1, 1), (2, 0), (2, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_message_stops_who_reads_it() {
    let (connection, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let mut positions = vec![commit(&mut writer, batch(log.log_id(), 0, 1, 1, 3, 10)).await];
    let foreign = raw::plain(&connection);
    raw::send(&foreign, &connection, 0, None, b"poison");
    positions.push(commit(&mut writer, batch(log.log_id(), 0, 1, 4, 2, 10)).await);
    let poisoned = Position(positions[1].0 - 1);

    for log in [&log, &open(&connection).await] {
        let reader = log.reader();
        let before = reader.read(0, Position(0), 1 << 20).await.unwrap();
        assert_eq!(
            before.last().unwrap().position,
            positions[0],
            "what stands before it is read"
        );
        match reader.read(0, Position(positions[0].0 + 1), 1 << 20).await {
            Err(LogError::Damaged {
                shard,
                position,
                what,
            }) => {
                assert_eq!((shard, position), (0, poisoned));
                assert!(what.contains("no record of this log"), "{what}");
            }
            other => panic!("it was passed over: {other:?}"),
        }
        let beyond = reader.read(0, positions[1], 1 << 20).await.unwrap();
        assert_eq!(shape(&beyond), [(4, 2)], "what stands after it is read");
        let shown = reader.read_damaged(0, poisoned).await.unwrap().unwrap();
        assert_eq!(&shown.body[1..], b"poison");
    }
    drop(writer);
    // The shard can be claimed: who recovers from before it will say what it met.
    let next = open(&connection).await;
    let mut writer = next.claim(0, barrier(2)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 2, 6, 1, 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_out_of_sequence_and_of_another_log_are_damage() {
    let (connection, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let first = commit(&mut writer, batch(log.log_id(), 0, 1, 1, 3, 10)).await;
    drop(writer);
    let foreign = raw::plain(&connection);
    let gap = raw::place(&log, 1, 1, 9, (0, 1));
    raw::send(&foreign, &connection, 0, Some(("daybook", &gap)), b"x");
    let alien = Position(first.0 + 4);
    let reader = open(&connection).await.reader();
    // Alone it cannot be judged; after what stands before it, it can.
    let alone = reader.read(0, alien, 1).await.unwrap();
    assert_eq!(shape(&alone), [(9, 1)]);
    assert_eq!(reader.read(0, first, 1).await.unwrap().len(), 1);
    match reader.read(0, Position(first.0 + 1), 1).await {
        Err(LogError::Damaged { position, what, .. }) => {
            assert_eq!(position, alien);
            assert!(what.contains("must follow"), "{what}");
        }
        other => panic!("it was passed over: {other:?}"),
    }
    let mut other = raw::place(&log, 1, 1, 4, (0, 1));
    other[1] ^= 1;
    raw::send(&foreign, &connection, 0, Some(("daybook", &other)), b"x");
    let name = [("dayb\u{e9}ok", &other[..]), ("daybook", &[][..])];
    for header in name {
        raw::send(&foreign, &connection, 0, Some(header), b"x");
    }
    let entries = open(&connection).await.reader();
    for at in 1..=3 {
        let position = Position(first.0 + 4 + at);
        let read = entries.read(0, position, 1).await;
        assert!(
            matches!(read, Err(LogError::Damaged { .. })),
            "{at}: {read:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_begins_where_it_was_trimmed() {
    let (connection, log) = made().await;
    let reader = log.reader();
    assert_eq!(reader.begins(0).await.unwrap(), Begin::default());
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let mut positions = Vec::new();
    for n in 0..6u64 {
        positions.push(commit(&mut writer, batch(log.log_id(), 0, 1, n * 3 + 1, 3, 40)).await);
    }
    assert_eq!(reader.begins(0).await.unwrap(), Begin::default());
    let whole = all(&log).await;
    let beyond = log.trim(0, Position(positions[5].0 + 1)).await;
    assert!(matches!(beyond, Err(LogError::Unusable(_))), "{beyond:?}");
    log.trim(0, positions[3]).await.unwrap();
    let begin = Begin {
        position: positions[3],
        sequence: 10,
    };
    for log in [&log, &open(&connection).await] {
        let reader = log.reader();
        assert_eq!(reader.begins(0).await.unwrap(), begin);
        assert_eq!(all(log).await, whole[4..], "what is left reads as before");
        assert_eq!(reader.entry_of(0, 9).await.unwrap(), None);
        let entry = reader.entry_of(0, 10).await.unwrap();
        assert_eq!(entry.as_ref(), Some(&whole[4]));
    }
    log.trim(0, positions[5]).await.unwrap();
    drop(writer);
    let next = open(&connection).await;
    let mut writer = next.claim(0, barrier(2)).await.unwrap();
    commit(&mut writer, batch(log.log_id(), 0, 2, 19, 1, 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_found_by_who_comes_new() {
    let (connection, log) = made().await;
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let mut next = 1;
    let mut firsts = Vec::new();
    // Small ones at first, so that records are unevenly spread over offsets.
    for n in 0..150u32 {
        let count = if n < 100 { 1 } else { 700 };
        commit(&mut writer, batch(log.log_id(), 0, 1, next, count, 10)).await;
        firsts.push((next, count));
        next += u64::from(count);
    }
    let fresh: Arc<_> = open(&connection).await.reader();
    let started = Instant::now();
    let mut looked = 0u32;
    for (first, count) in firsts.iter().step_by(7) {
        for sequence in [
            *first,
            first + u64::from(count - 1),
            first + u64::from(count / 2),
        ] {
            let entry = fresh.entry_of(0, sequence).await.unwrap().unwrap();
            assert_eq!((entry.first_sequence, entry.record_count), (*first, *count));
            looked += 1;
        }
    }
    let each = started.elapsed() / looked;
    println!("{looked} look-ups, {each:?} each");
    assert!(each < Duration::from_millis(300), "{each:?} each");
    assert_eq!(fresh.entry_of(0, next).await.unwrap(), None);
}

/// The coordinator gives up what a killed writer left open when its transaction times out, here
/// after a minute; the next owner is given the shard long before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumed_offsets_that_a_killed_writer_left_open_do_not_hold_up_the_next_owner() {
    let connection = stack::connection();
    stack::make(&connection, 1).await;
    let member: BaseConsumer = connection
        .client()
        .set("group.id", connection.owners_group())
        .create()
        .unwrap();
    let killed = raw::transactional(&connection, 0);
    killed.begin_transaction().unwrap();
    let mut consumed = TopicPartitionList::new();
    consumed
        .add_partition_offset(&connection.topics().deposits, 0, Offset::Offset(7))
        .unwrap();
    killed
        .send_offsets_to_transaction(
            &consumed,
            &member.group_metadata().unwrap(),
            Duration::from_secs(10),
        )
        .unwrap();

    let group = Group::join(&connection, 1, "127.0.0.1:1").unwrap();
    let mut assigned = group.assignment();
    let gate = Arc::clone(&group) as Arc<dyn ClaimGate>;
    let log = KafkaLog::open(connection.clone(), Some(gate))
        .await
        .unwrap();
    assigned
        .wait_for(|assigned| assigned.shards.contains(&0))
        .await
        .unwrap();
    let begun = Instant::now();
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    let took = begun.elapsed();
    println!("claimed after {took:?}");
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 1, 10)).await;
    drop(killed);
}
