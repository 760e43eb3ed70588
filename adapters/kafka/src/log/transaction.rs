//! One transaction after another, on a thread that may block.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::log::{Attached, Consumed};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::place::Place;
use super::producer::{Producer, SILENCE, TRANSACTION_TIMEOUT, Which};
use super::verdict::Failure;
use crate::connection::Topics;

/// Sleep between looks at what is in flight. (librdkafka's own flush looks every 100 ms.)
const LOOK: Duration = Duration::from_micros(100);
/// How long a commit may take in all; the coordinator gives up before that.
const DEADLINE: Duration = TRANSACTION_TIMEOUT.saturating_add(Duration::from_secs(5));
/// librdkafka sends a request again after this time at the earliest.
pub(crate) const RETRY: Duration = Duration::from_millis(75);
/// It tells the same trouble of a connection again only after this time.
const HUSHED: Duration = Duration::from_secs(35);
/// Messages that are sent before answers are looked at.
const AT_A_TIME: usize = 1_024;

/// A message to the log's topic or to that of confirmations.
pub(crate) struct Own {
    pub(crate) place: Place,
    pub(crate) key: Bytes,
    pub(crate) payload: Bytes,
}

/// What a transaction carries.
pub(crate) struct Work<'a> {
    /// The topic of `own`.
    pub(crate) topic: &'a str,
    /// Messages to it, in order.
    pub(crate) own: &'a [Own],
    /// What goes along.
    pub(crate) attached: &'a Attached,
    /// The group that `attached.consumed` is committed for.
    pub(crate) group: Option<ConsumerGroupMetadata>,
}

/// A transaction that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Offsets of the first and last of [`Work::own`], where they are known.
    pub(crate) offsets: Option<(i64, i64)>,
    /// Why no further transaction may be begun with this producer: an end that was sent twice
    /// may come late, and hit the next one.
    pub(crate) disturbed: Option<String>,
}

/// Takes what librdkafka has to tell.
pub(crate) fn serve(producer: &Producer) {
    for _ in 0..16 {
        producer.poll(Duration::ZERO);
    }
}

/// Commits `work`.
pub(crate) fn commit(
    producer: &Producer,
    topics: &Topics,
    shard: u32,
    work: &Work<'_>,
) -> Result<Done, Failure> {
    let watch = producer.context();
    let deadline = Instant::now() + DEADLINE;
    serve(producer);
    watch.reset();
    let troubles = watch.troubles();
    let hushed = watch
        .last_trouble()
        .is_some_and(|(at, _)| at.elapsed() < HUSHED);
    producer
        .begin_transaction()
        .map_err(|error| Failure::before("beginning", &error))?;
    let last = work.own.len().saturating_sub(1);
    for (n, own) in work.own.iter().enumerate() {
        let which = match (n == 0, n == last) {
            (true, true) => Which::ONLY,
            (true, false) => Which::FIRST,
            (false, true) => Which::LAST,
            (false, false) => Which::SIDE,
        };
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(work.topic, which)
                .partition(shard as i32)
                .payload(&own.payload[..])
                .headers(own.place.header());
        if !own.key.is_empty() {
            record = record.key(&own.key[..]);
        }
        send(producer, record, deadline)?;
        if n % AT_A_TIME == AT_A_TIME - 1 {
            serve(producer);
        }
    }
    for message in &work.attached.messages {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topics.side(message.topic), Which::SIDE)
                .partition(shard as i32)
                .headers(headers);
        if let Some(key) = &message.key {
            record = record.key(&key[..]);
        }
        if let Some(payload) = &message.payload {
            record = record.payload(&payload[..]);
        }
        send(producer, record, deadline)?;
    }
    if !work.attached.consumed.is_empty() {
        send_offsets(producer, work, deadline)?;
    }
    drain(
        producer,
        (work.own.len() + work.attached.messages.len()) as u64,
        deadline,
    )?;
    let ending = Instant::now();
    end(producer, deadline)?;
    let took = ending.elapsed();
    serve(producer);
    let disturbed = match watch.last_trouble() {
        Some((_, what)) if watch.troubles() > troubles => Some(what),
        // The same trouble again would not have been told.
        Some((_, what)) if hushed && took > RETRY => Some(what),
        _ if took >= SILENCE => Some(format!("its end took {took:?}")),
        _ => None,
    };
    Ok(Done {
        offsets: watch.offsets(),
        disturbed,
    })
}

fn send(
    producer: &Producer,
    record: BaseRecord<'_, [u8], [u8], usize>,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                if Instant::now() < deadline =>
            {
                record = again;
                serve(producer);
                std::thread::sleep(LOOK);
            }
            Err((error, _)) => return Err(Failure::before("sending", &error)),
        }
    }
}

fn send_offsets(producer: &Producer, work: &Work<'_>, deadline: Instant) -> Result<(), Failure> {
    let failed = |error: KafkaError| Failure::before("sending the consumed offsets", &error);
    let Some(group) = &work.group else {
        return Err(Failure::Before {
            code: Some(RDKafkaErrorCode::UnknownMemberId),
            what: "this node is in no consumer group, and consumed offsets were to be committed"
                .to_owned(),
        });
    };
    let mut list = TopicPartitionList::with_capacity(work.attached.consumed.len());
    for Consumed {
        topic,
        partition,
        next_offset,
    } in &work.attached.consumed
    {
        let offset = Offset::Offset(i64::try_from(*next_offset).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, *partition as i32, offset)
            .map_err(failed)?;
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match producer.send_offsets_to_transaction(&list, group, left) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                serve(producer);
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Waits until nothing is in flight any more.
fn drain(producer: &Producer, sent: u64, deadline: Instant) -> Result<(), Failure> {
    let watch = producer.context();
    loop {
        producer.poll(Duration::ZERO);
        let (delivered, failed) = watch.settled();
        if failed > 0 {
            let (code, what) = watch
                .failure()
                .unwrap_or((RDKafkaErrorCode::Fail, "a message was lost".to_owned()));
            return Err(Failure::Before {
                code: Some(code),
                what: format!("a message was not delivered: {what}"),
            });
        }
        if delivered >= sent {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::Before {
                code: Some(RDKafkaErrorCode::MessageTimedOut),
                what: format!("{delivered} of {sent} messages were delivered in time"),
            });
        }
        std::thread::sleep(LOOK);
    }
}

fn end(producer: &Producer, deadline: Instant) -> Result<(), Failure> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match producer.commit_transaction(left) {
            Ok(()) => return Ok(()),
            // Asking again is the only way to learn what became of it.
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && Instant::now() < deadline =>
            {
                serve(producer);
            }
            Err(error) => return Err(Failure::at_end(&error)),
        }
    }
}
