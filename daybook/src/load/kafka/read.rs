//! Reads topics from where they ended when a load began. Blocks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::unreachable;
use crate::client::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

fn consumer(connection: &adapter_kafka::Connection) -> Result<BaseConsumer, Failure> {
    let mut config = connection.client();
    config
        // Never joined and never committed to; librdkafka assigns nothing without.
        .set("group.id", "daybook-load")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .create()
        .map_err(unreachable)
}

/// Where each partition of `topic` ends.
pub(super) fn ends(
    connection: &adapter_kafka::Connection,
    topic: &str,
) -> Result<Vec<(u32, u64)>, Failure> {
    let consumer = consumer(connection)?;
    let metadata = consumer
        .fetch_metadata(Some(topic), TIMEOUT)
        .map_err(unreachable)?;
    let of = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = of.map_or(&[][..], |found| found.partitions());
    if partitions.is_empty() {
        return Err(Failure::usage(format!("there is no topic {topic}"))
            .hint("daybook setup makes the topics of a cluster"));
    }
    let ends = partitions.iter().map(|partition| {
        let (_, end) = consumer
            .fetch_watermarks(topic, partition.id(), TIMEOUT)
            .map_err(unreachable)?;
        Ok((partition.id().unsigned_abs(), end.unsigned_abs()))
    });
    ends.collect()
}

/// What reading comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on.
    On,
    /// Enough.
    Enough,
}

/// Reads topics, each partition from an offset. `each` takes every message; `quiet` is asked when
/// nothing came for a moment: whether each partition was read to its end since it was begun
/// (which is known of a single topic alone), and how long nothing has come.
pub(super) fn read(
    connection: &adapter_kafka::Connection,
    from: &[(&str, &[(u32, u64)])],
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    mut quiet: impl FnMut(bool, Duration) -> Next,
) -> Result<(), Failure> {
    let consumer = consumer(connection)?;
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for (topic, partitions) in from {
        for (partition, offset) in *partitions {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, *partition as i32, offset)
                .map_err(unreachable)?;
            open.insert(*partition as i32);
        }
    }
    consumer.assign(&list).map_err(unreachable)?;
    let mut last = Instant::now();
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                last = Instant::now();
                each(&message)?;
                continue;
            }
            // Names the partition and not the topic.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // What is not there any more does not come by waiting.
            Some(Err(KafkaError::MessageConsumption(
                error @ (RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange),
            ))) => {
                return Err(Failure::broken(format!(
                    "a topic does not hold any more what this load wrote: {error}"
                )));
            }
            // librdkafka goes on by itself.
            Some(Err(error)) => tracing::debug!(%error, "a topic could not be read"),
            None => {}
        }
        if quiet(from.len() == 1 && open.is_empty(), last.elapsed()) == Next::Enough {
            return Ok(());
        }
    }
}
