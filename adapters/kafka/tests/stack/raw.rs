//! Messages as anybody could write them, past the adapter.

use std::time::Duration;

use adapter_kafka::Connection;
use bytes::Bytes;
use ports::log::{Batch, EventLog};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// A place as docs say it: kind, log, epoch, sequence, index, count.
pub fn place(log: &dyn EventLog, kind: u8, epoch: u64, sequence: u64, at: (u32, u32)) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&log.log_id().0[..4]);
    out.extend_from_slice(&epoch.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(&at.1.to_be_bytes());
    out
}

/// The records of a batch.
pub fn records(batch: &Batch) -> Vec<Bytes> {
    schemas::record::frame::split(batch.body.clone()).expect("a batch's body is made of frames")
}

/// A producer with the shard's transactional id, as a writer before had it.
pub fn transactional(connection: &Connection, shard: u32) -> BaseProducer {
    let producer: BaseProducer = connection
        .client()
        .set("transactional.id", connection.transactional_id(shard))
        .set("transaction.timeout.ms", "60000")
        .create()
        .expect("a producer");
    producer
        .init_transactions(Duration::from_secs(20))
        .expect("it fences");
    producer
}

/// A producer without transactions.
pub fn plain(connection: &Connection) -> BaseProducer {
    connection.client().create().expect("a producer")
}

/// Sends a message to the log's topic and waits until it is there.
pub fn send(
    producer: &BaseProducer,
    connection: &Connection,
    shard: u32,
    header: Option<(&str, &[u8])>,
    payload: &[u8],
) {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&connection.topics().events)
        .partition(shard as i32)
        .payload(payload);
    if let Some((key, value)) = header {
        let value = Some(value);
        record = record.headers(OwnedHeaders::new().insert(Header { key, value }));
    }
    if let Err((error, _)) = producer.send(record) {
        panic!("not sent: {error}");
    }
    producer
        .flush(Duration::from_secs(10))
        .expect("it is delivered");
}

/// Sends the first records of `batch`, as its writer would have.
pub fn send_part(
    producer: &BaseProducer,
    connection: &Connection,
    log: &dyn EventLog,
    batch: &Batch,
    part: std::ops::Range<usize>,
) {
    for (n, record) in records(batch).iter().enumerate() {
        if part.contains(&n) {
            let sequence = batch.first_sequence + n as u64;
            let at = (n as u32, batch.record_count);
            let place = place(log, 1, batch.epoch, sequence, at);
            send(producer, connection, 0, Some(("daybook", &place)), record);
        }
    }
}

/// Commits what was sent.
pub fn commit(producer: &BaseProducer) {
    producer
        .commit_transaction(Duration::from_secs(20))
        .expect("it is committed");
}
