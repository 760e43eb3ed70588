//! Producing to topics and reading them to their ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapter_kafka::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

pub fn producer(connection: &Connection) -> FutureProducer {
    let mut config = connection.client();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "2");
    config.create().expect("a producer")
}

/// Produces a record in JSON; gives its partition and offset.
pub async fn produce(
    producer: &FutureProducer,
    topic: &str,
    partition: Option<i32>,
    key: &str,
    payload: &str,
) -> (i32, i64) {
    let headers = OwnedHeaders::new().insert(Header {
        key: "content-type",
        value: Some("application/json"),
    });
    let mut record = FutureRecord::to(topic)
        .key(key)
        .payload(payload)
        .headers(headers);
    if let Some(partition) = partition {
        record = record.partition(partition);
    }
    let sent = producer.send(record, Duration::from_secs(10)).await;
    let delivery = sent.expect("it is produced");
    (delivery.partition, delivery.offset)
}

/// Everything that is committed in a topic.
pub fn read_all(connection: &Connection, topic: &str, partitions: u32) -> Vec<OwnedMessage> {
    let mut config = connection.client();
    config
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning)
            .expect("a place");
    }
    consumer.assign(&list).expect("it is assigned");
    let (mut messages, mut ended) = (Vec::new(), std::collections::BTreeSet::new());
    let begun = Instant::now();
    while ended.len() < partitions as usize {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{topic} has no end"
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => messages.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            _ => {}
        }
    }
    messages
}

/// Its headers, as texts.
pub fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let headers = message.headers().expect("it has headers");
    headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        })
        .collect()
}

/// Topic, partition and offset of the record that a message is about.
pub fn source(message: &OwnedMessage) -> (String, i32, i64) {
    let headers = headers(message);
    let number = |name: &str| headers[name].parse::<i64>().expect("a number");
    (
        headers["daybook-source-topic"].clone(),
        number("daybook-source-partition") as i32,
        number("daybook-source-offset"),
    )
}
