//! How fast the adapter alone is: commits of batches, of single records, and reading them back.
//!
//! `DAYBOOK_KAFKA=host:port cargo run --release -p adapter-kafka --example kafka_speed -- [RECORDS]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use adapter_kafka::setup::{SetupOptions, setup};
use adapter_kafka::{Connection, KafkaConfig, KafkaLog};
use bytes::{Bytes, BytesMut};
use ports::log::{Batch, CommitOutcome, EventLog as _, LogWriter, Position};
use schemas::record::{Barrier, frame};

/// Bytes of a record, about those of a plain transfer.
const RECORD: usize = 150;

#[tokio::main]
async fn main() {
    let bootstrap_servers = std::env::var("DAYBOOK_KAFKA").expect("DAYBOOK_KAFKA is host:port");
    let records: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().expect("a number of records"));
    for count in [1_000, 8_000] {
        let connection = Connection::new(KafkaConfig {
            bootstrap_servers: bootstrap_servers.clone(),
            prefix: format!("speed-{}.", uuid::Uuid::new_v4().simple()),
            ..KafkaConfig::default()
        });
        let options = SetupOptions {
            shard_count: 1,
            single_broker: true,
            log_id: None,
        };
        setup(&connection, options).await.unwrap();
        batches(&connection, count, records).await;
    }
}

async fn batches(connection: &Connection, count: u32, records: u64) {
    let log = KafkaLog::open(connection.clone(), None).await.unwrap();
    let barrier = Barrier {
        nonce: [1; 16],
        epoch: 0,
    };
    let started = Instant::now();
    let mut writer = log.claim(0, barrier.encode()).await.unwrap();
    println!("claimed in {:?}", started.elapsed());
    let mut next = 1;
    commits(&mut writer, &mut next, 1, 300, "single records").await;
    let many = (records / u64::from(count)).max(10);
    let name = format!("batches of {count}");
    commits(&mut writer, &mut next, count, many, &name).await;
    drop(writer);

    // Another process, which holds nothing of it.
    let log = KafkaLog::open(connection.clone(), None).await.unwrap();
    let reader = log.reader();
    let started = Instant::now();
    let (mut from, mut read) = (Position(0), 0u64);
    loop {
        let entries = reader.read(0, from, 4 << 20).await.unwrap();
        let Some(last) = entries.last() else { break };
        from = Position(last.position.0 + 1);
        read += entries
            .iter()
            .map(|e| u64::from(e.record_count))
            .sum::<u64>();
    }
    println!(
        "read: {:.0} records/s",
        read as f64 / started.elapsed().as_secs_f64()
    );
    let mut took = Vec::new();
    for n in 0..50u64 {
        let started = Instant::now();
        let sequence = 1 + n.wrapping_mul(7_919_777) % (next - 1);
        assert!(reader.entry_of(0, sequence).await.unwrap().is_some());
        took.push(started.elapsed());
    }
    print("look-ups by sequence", took);
}

async fn commits(
    writer: &mut Box<dyn LogWriter>,
    next: &mut u64,
    count: u32,
    times: u64,
    what: &str,
) {
    let mut took = Vec::new();
    let started = Instant::now();
    for _ in 0..times {
        let batch = Batch {
            epoch: 1,
            first_sequence: *next,
            record_count: count,
            body: body(*next, count),
            attached: Default::default(),
        };
        let one = Instant::now();
        let outcome = writer.commit(batch).await;
        took.push(one.elapsed());
        assert!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
        *next += u64::from(count);
    }
    let rate = times as f64 * f64::from(count) / started.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} records/s acknowledged");
    print(what, took);
}

/// Records that are as hard to compress as real ones: ids and amounts differ, names do not.
fn body(first: u64, count: u32) -> Bytes {
    let mut body = BytesMut::new();
    for sequence in first..first + u64::from(count) {
        let mut record = [0x2a; RECORD];
        let mut seed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for chunk in record[40..120].chunks_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            chunk.copy_from_slice(&seed.to_be_bytes());
        }
        // Field 1 with 38 bytes, field 5 with the rest: a record's form.
        record[0] = 0x0a;
        record[1] = 38;
        record[40] = 0x72;
        record[41] = 106;
        record[148] = 0x2a;
        record[149] = 0;
        frame::push(&mut body, &record);
    }
    body.freeze()
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |share: usize| took[took.len() * share / 100];
    println!(
        "{what}: p50 {:?}, p90 {:?}, p99 {:?}",
        at(50),
        at(90),
        at(99)
    );
}
