//! The topics that commands come from, as their producers and readers see them: past Daybook.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::cluster::variable;

/// Topic, partition and offset of a record.
pub type Place = (String, i32, i64);

pub fn producer() -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", variable("DAYBOOK_KAFKA"));
    config.set("acks", "all").create().unwrap()
}

/// Writes a record into the partition that is named, whatever its key says.
pub async fn produce(
    producer: &FutureProducer,
    (topic, partition): (&str, i32),
    key: &str,
    content_type: &str,
    payload: &[u8],
) -> Place {
    let headers = OwnedHeaders::new().insert(Header {
        key: "content-type",
        value: Some(content_type),
    });
    let record = FutureRecord::to(topic)
        .partition(partition)
        .key(key)
        .payload(payload)
        .headers(headers);
    let sent = producer.send(record, Duration::from_secs(20)).await;
    let delivery = sent.unwrap();
    assert_eq!(delivery.partition, partition);
    (topic.to_owned(), partition, delivery.offset)
}

/// Everything that was committed in a topic when it was asked for. A topic that is written all the
/// time need never be read to its end.
pub fn read_all(topic: &str, partitions: u32) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", variable("DAYBOOK_KAFKA"))
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).unwrap();
        let (_, end) = consumer
            .fetch_watermarks(topic, partition, Duration::from_secs(30))
            .unwrap();
        ends.insert(partition, end);
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut messages = Vec::new();
    let until = Instant::now() + Duration::from_secs(30);
    while !ends.is_empty() {
        assert!(Instant::now() < until, "{topic} has no end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let at = message.partition();
                if ends
                    .get(&at)
                    .is_some_and(|end| message.offset() + 1 >= *end)
                {
                    ends.remove(&at);
                }
                messages.push(message.detach());
            }
            // Or what was the end then is the marker of a transaction, or of one that is open.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            _ => {}
        }
    }
    messages
}

/// Its headers, as texts.
pub fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let headers = message.headers().expect("it has headers").iter();
    headers
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        })
        .collect()
}

/// The record that a message is about.
pub fn source(message: &OwnedMessage) -> Place {
    let headers = headers(message);
    let text = |name: &str| headers[name].clone();
    (
        text("daybook-source-topic"),
        text("daybook-source-partition").parse().unwrap(),
        text("daybook-source-offset").parse().unwrap(),
    )
}

/// Writes a record whose headers have any bytes as names, which rdkafka's producers cannot: the
/// request itself, as the protocol describes it.
pub fn produce_raw(
    (topic, partition): (&str, i32),
    key: &str,
    headers: &[(&[u8], &[u8])],
    payload: &[u8],
) -> Place {
    let batch = record_batch(key.as_bytes(), headers, payload);
    let mut request = Vec::new();
    // Produce, version 3, no client's name; no transaction, acknowledged by all, 10 s.
    request.extend(0i16.to_be_bytes());
    request.extend(3i16.to_be_bytes());
    request.extend(7i32.to_be_bytes());
    request.extend((-1i16).to_be_bytes());
    request.extend((-1i16).to_be_bytes());
    request.extend((-1i16).to_be_bytes());
    request.extend(10_000i32.to_be_bytes());
    request.extend(1i32.to_be_bytes());
    request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    push_sized(&mut request, &batch);
    let mut framed = Vec::new();
    push_sized(&mut framed, &request);

    let mut stream = TcpStream::connect(variable("DAYBOOK_KAFKA")).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.write_all(&framed).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut reply = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut reply).unwrap();
    // Behind the correlation, one topic with its name and one partition: code and offset.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let code = i16::from_be_bytes(reply[at..at + 2].try_into().unwrap());
    assert_eq!(code, 0, "the broker refuses it");
    let offset = i64::from_be_bytes(reply[at + 2..at + 10].try_into().unwrap());
    (topic.to_owned(), partition, offset)
}

/// A batch of one record.
fn record_batch(key: &[u8], headers: &[(&[u8], &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0, 0];
    for bytes in [key, payload] {
        push_varint(&mut record, bytes.len());
        record.extend(bytes);
    }
    push_varint(&mut record, headers.len());
    for bytes in headers.iter().flat_map(|&(name, value)| [name, value]) {
        push_varint(&mut record, bytes.len());
        record.extend(bytes);
    }
    let now = milliseconds();
    let mut summed = Vec::new();
    summed.extend([0; 6]); // attributes, the last record's place
    summed.extend(now.to_be_bytes());
    summed.extend(now.to_be_bytes());
    summed.extend((-1i64).to_be_bytes()); // no idempotent producer
    summed.extend((-1i16).to_be_bytes());
    summed.extend((-1i32).to_be_bytes());
    summed.extend(1i32.to_be_bytes());
    push_varint(&mut summed, record.len());
    summed.extend(record);
    let mut rest = (-1i32).to_be_bytes().to_vec(); // the leader's epoch
    rest.push(2);
    rest.extend(crc32c(&summed).to_be_bytes());
    rest.extend(summed);
    let mut batch = vec![0; 8];
    push_sized(&mut batch, &rest);
    batch
}

/// Milliseconds since 1970.
fn milliseconds() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

/// A length as records have it: zigzag, seven bits a byte.
fn push_varint(out: &mut Vec<u8>, length: usize) {
    let mut left = length << 1;
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in bytes {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}
