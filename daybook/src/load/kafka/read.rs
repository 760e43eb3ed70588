//! Reads topics from where they ended when a load began. Blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::unreachable;
use crate::client::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(20);
pub(super) const POLL: Duration = Duration::from_millis(100);

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

/// A topic, read on from where it was read to.
pub(super) struct Reader<'a> {
    consumer: BaseConsumer,
    topic: &'a str,
    /// By partition, the offset that is read next.
    next: BTreeMap<u32, u64>,
    /// How long nothing may be heard of it.
    patience: Duration,
}

impl<'a> Reader<'a> {
    /// Of `topic`, each partition from an offset.
    pub(super) fn new(
        connection: &adapter_kafka::Connection,
        (topic, from): (&'a str, &[(u32, u64)]),
        patience: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            consumer: consumer(connection)?,
            topic,
            next: from.iter().copied().collect(),
            patience,
        })
    }

    /// Reads at least what is committed in the topic by now; it ends though others go on writing.
    pub(super) fn catch_up(
        &mut self,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut open = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for (partition, next) in &self.next {
            let end = self.end(*partition)?;
            if end > *next {
                open.insert(*partition, end);
                let offset = Offset::Offset(i64::try_from(*next).unwrap_or(i64::MAX));
                list.add_partition_offset(self.topic, *partition as i32, offset)
                    .map_err(unreachable)?;
            }
        }
        self.consumer.assign(&list).map_err(unreachable)?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let partition = message.partition().unsigned_abs();
                    let next = message.offset().unsigned_abs() + 1;
                    self.next.insert(partition, next);
                    if open.get(&partition).is_some_and(|end| next >= *end) {
                        open.remove(&partition);
                    }
                    each(&message)?;
                }
                // What stands before the end is the marker of a transaction, or of one that is
                // open.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition.unsigned_abs());
                }
                // What is not there any more does not come by waiting.
                Some(Err(KafkaError::MessageConsumption(
                    error
                    @ (RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange),
                ))) => {
                    return Err(Failure::broken(format!(
                        "topic {} does not hold any more what this load wrote: {error}",
                        self.topic
                    )));
                }
                // librdkafka goes on by itself.
                Some(Err(error)) => tracing::debug!(%error, "a topic could not be read"),
                None => {}
            }
            if heard.elapsed() > self.patience {
                return Err(unreachable(format!(
                    "topic {} could not be read for {} s",
                    self.topic,
                    self.patience.as_secs()
                )));
            }
        }
        self.consumer.unassign().map_err(unreachable)
    }

    fn end(&self, partition: u32) -> Result<u64, Failure> {
        let since = Instant::now();
        loop {
            let ends = self
                .consumer
                .fetch_watermarks(self.topic, partition as i32, TIMEOUT);
            match ends {
                Ok((_, end)) => return Ok(end.unsigned_abs()),
                Err(error) if since.elapsed() > self.patience => return Err(unreachable(error)),
                Err(error) => tracing::debug!(%error, "the end of a topic could not be asked for"),
            }
            std::thread::sleep(POLL);
        }
    }
}
