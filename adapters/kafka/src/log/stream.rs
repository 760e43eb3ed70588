//! A consumer that reads one shard's partition from some offset on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ports::log::{LogEntry, LogError};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::{Offset, TopicPartitionList};

use super::assemble::{Assembler, Damage, Stored, position};
use super::context::Consumer;
use super::place::Place;
use crate::connection::Connection;
use crate::error::log_error;

/// How long what is known to be there may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long going elsewhere in a partition may take.
const SEEK: Duration = Duration::from_secs(1);
/// One wait for a message.
const POLL: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Stream {
    consumer: Consumer,
    topic: String,
    log: [u8; 4],
    cursor: Option<Cursor>,
    /// The shard that the consumer is assigned to.
    assigned: Option<u32>,
    /// When it was last of use.
    pub(crate) used: Instant,
}

/// Where a stream stands.
struct Cursor {
    shard: u32,
    assembler: Assembler,
    /// Read, and not yet given out.
    ready: VecDeque<Stored>,
    /// Offset after the last message that was taken.
    next_offset: i64,
    /// Everything up to this offset was given out or skipped.
    floor: i64,
    /// What was met behind all that is ready.
    damage: Option<Damage>,
    /// Nothing was taken yet: the first message may be the middle of an entry.
    fresh: bool,
}

impl Cursor {
    /// Offset of the next thing that it gives.
    fn next(&self) -> i64 {
        let ready = self.ready.front().map(Stored::first_offset);
        ready
            .or(self.assembler.open_from())
            .unwrap_or(self.next_offset)
    }
}

/// The first message that was seen somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) place: Result<Place, &'static str>,
    pub(crate) timestamp: Timestamp,
}

/// What a wait brought.
enum Next<'a> {
    Message(BorrowedMessage<'a>),
    /// All that is committed now was read.
    End,
    Nothing,
}

/// The configuration of a consumer of the log.
pub(crate) fn consumer(connection: &Connection, wait: Duration) -> Result<Consumer, LogError> {
    let mut config = connection.client();
    config
        .set("group.id", connection.readers_group())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", wait.as_millis().to_string())
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "8192")
        .set("fetch.queue.backoff.ms", "5");
    config
        .create_with_context(super::context::Quiet)
        .map_err(|error| log_error("reading the log", &error))
}

/// The configuration of a consumer of the topics that commands come from: less is read ahead,
/// and there may be many of them.
pub(crate) fn command_consumer(connection: &Connection) -> Result<Consumer, LogError> {
    let mut config = connection.client();
    config
        .set("group.id", connection.readers_group())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "50")
        .set("queued.min.messages", "4096")
        .set("queued.max.messages.kbytes", "4096")
        .set("fetch.queue.backoff.ms", "10");
    config
        .create_with_context(super::context::Quiet)
        .map_err(|error| log_error("reading commands", &error))
}

impl Stream {
    /// A stream that stands nowhere. `log` is the tag that every message must have.
    pub(crate) fn new(connection: &Connection, log: [u8; 4]) -> Result<Self, LogError> {
        Ok(Self {
            // Short: at the end of what is committed an answer is waited for, and going elsewhere
            // waits for a fetch that is under way. A stream that nobody uses fetches nothing.
            consumer: consumer(connection, Duration::from_millis(1))?,
            topic: connection.topics().events.to_string(),
            log,
            cursor: None,
            assigned: None,
            used: Instant::now(),
        })
    }

    /// True where entries from `from` on can be had without going elsewhere.
    pub(crate) fn stands_at(&self, shard: u32, from: i64) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| {
            cursor.shard == shard && from > cursor.floor && from <= cursor.next()
        })
    }

    /// True where it fetches ahead for a reader.
    pub(crate) fn stands_anywhere(&self) -> bool {
        self.cursor.is_some()
    }

    /// Stops fetching.
    pub(crate) fn rest(&mut self) {
        self.cursor = None;
        if self.assigned.take().is_some()
            && let Err(error) = self.consumer.unassign()
        {
            tracing::debug!(%error, "a reader of the log");
        }
    }

    /// (first offset, offset after what is committed) of `shard`.
    pub(crate) fn bounds(&self, shard: u32) -> Result<(i64, i64), LogError> {
        bounds(&self.consumer, &self.topic, shard)
    }

    fn go(&mut self, shard: u32, to: i64, fronted: bool) -> Result<(), LogError> {
        let failed = |error: KafkaError| log_error("reading the log", &error);
        self.cursor = None;
        // Seeking is quicker than being assigned anew.
        let sought = self.assigned == Some(shard)
            && self
                .consumer
                .seek(&self.topic, shard as i32, Offset::Offset(to), SEEK)
                .is_ok();
        if !sought {
            self.assigned = None;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&self.topic, shard as i32, Offset::Offset(to))
                .and_then(|()| self.consumer.assign(&list))
                .map_err(failed)?;
            self.assigned = Some(shard);
        }
        self.cursor = Some(Cursor {
            shard,
            assembler: Assembler::default(),
            ready: VecDeque::new(),
            next_offset: to,
            floor: to - 1,
            damage: None,
            fresh: !fronted,
        });
        Ok(())
    }

    /// Entries of `shard` from offset `from` on, about `bytes_max` at most. What stands before
    /// `known_end` is waited for. `start` is where reading may begin, at or before `from`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] where the first thing to be given is damaged.
    pub(crate) fn read(
        &mut self,
        shard: u32,
        from: i64,
        start: i64,
        known_end: i64,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        self.used = Instant::now();
        if !self.stands_at(shard, from) {
            self.go(shard, start.min(from), false)?;
        }
        let result = self.read_on(shard, from, known_end, bytes_max);
        if result.is_err() {
            self.rest();
        }
        result
    }

    fn read_on(
        &mut self,
        shard: u32,
        from: i64,
        known_end: i64,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let mut out: Vec<Stored> = Vec::new();
        let mut bytes = 0;
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let Some(cursor) = &mut self.cursor else {
                return Ok(out);
            };
            while let Some(stored) = cursor.ready.front() {
                let size = stored.entry.body.len().max(1);
                let skipped = stored.first_offset() < from;
                if !skipped && !out.is_empty() && bytes + size > bytes_max {
                    return Ok(out);
                }
                cursor.floor = stored.first_offset();
                let stored = cursor.ready.pop_front();
                if !skipped {
                    bytes += size;
                    out.extend(stored);
                }
            }
            if let Some(damage) = cursor.damage.take() {
                // What was read is given first; who comes for what follows meets the damage anew.
                let offset = damage.offset;
                if out.is_empty() && offset >= from {
                    return Err(LogError::Damaged {
                        shard,
                        position: position(offset),
                        what: damage.what,
                    });
                }
                if !out.is_empty() {
                    self.rest();
                    return Ok(out);
                }
                self.go(shard, offset + 1, true)?;
                continue;
            }
            if bytes >= bytes_max && !out.is_empty() {
                return Ok(out);
            }
            if cursor.next_offset >= known_end {
                match cursor.assembler.open_from() {
                    Some(_) => {
                        let Cursor {
                            assembler, ready, ..
                        } = cursor;
                        assembler.finish(|stored| ready.push_back(stored));
                        continue;
                    }
                    None => return Ok(out),
                }
            }
            if self.take(shard)? {
                deadline = Instant::now() + PATIENCE;
            } else if Instant::now() > deadline {
                return match out.is_empty() {
                    false => Ok(out),
                    true => Err(LogError::Unavailable(format!(
                        "shard {shard} of the log has more than the brokers give; is a \
                         transaction of another program hanging on its topic?"
                    ))),
                };
            }
        }
    }

    /// Takes one message into the cursor; false where none came.
    fn take(&mut self, shard: u32) -> Result<bool, LogError> {
        let message = match poll(&self.consumer, POLL) {
            Ok(Next::Message(message)) => message,
            Ok(Next::End | Next::Nothing) => return Ok(false),
            Err(error) => {
                self.recover(shard, &error)?;
                return Ok(false);
            }
        };
        let offset = message.offset();
        let place = Place::of(&message, self.log);
        let Some(cursor) = &mut self.cursor else {
            return Ok(false);
        };
        if std::mem::take(&mut cursor.fresh)
            && let Ok(place) = place
            && place.index > 0
        {
            // The middle of a batch: where its entry begins is only seen from the front.
            let front = offset - i64::from(place.index);
            drop(message);
            self.go(shard, front.max(0), true)?;
            return Ok(true);
        }
        cursor.next_offset = offset + 1;
        let Cursor {
            assembler,
            ready,
            damage,
            ..
        } = cursor;
        let payload = message.payload().unwrap_or_default();
        if let Err(met) = assembler.feed(offset, place, payload, |stored| ready.push_back(stored)) {
            *damage = Some(met);
        }
        Ok(true)
    }

    /// Goes on after an error of the consumer: what was to be read may have been trimmed.
    fn recover(&mut self, shard: u32, error: &KafkaError) -> Result<(), LogError> {
        let trimmed = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        );
        if !trimmed {
            return Err(log_error("reading the log", error));
        }
        let (low, end) = self.bounds(shard)?;
        let at = self.cursor.as_ref().map_or(0, |cursor| cursor.next_offset);
        if at < low {
            return self.go(shard, low, true);
        }
        Err(LogError::Damaged {
            shard,
            position: position(at),
            what: format!(
                "the log ends before offset {end}, and offset {at} was there: its topic was made \
                 anew, or the brokers lost what they had acknowledged"
            ),
        })
    }

    /// The first message of `shard` at or after `offset`, where one stands before `known_end`.
    pub(crate) fn first_at(
        &mut self,
        shard: u32,
        offset: i64,
        known_end: i64,
    ) -> Result<Option<Seen>, LogError> {
        let mut first = None;
        self.scan(shard, offset, Some(known_end), |seen| {
            first = Some(seen);
            false
        })?;
        Ok(first)
    }

    /// Shows `see` the messages from `offset` on, until it says false, or everything before
    /// `known_end` was seen; without one, all that is committed now.
    pub(crate) fn scan(
        &mut self,
        shard: u32,
        offset: i64,
        known_end: Option<i64>,
        see: impl FnMut(Seen) -> bool,
    ) -> Result<(), LogError> {
        self.used = Instant::now();
        self.go(shard, offset, true)?;
        let result = self.scan_on(shard, offset, known_end, see);
        self.cursor = None;
        result
    }

    fn scan_on(
        &mut self,
        shard: u32,
        offset: i64,
        known_end: Option<i64>,
        mut see: impl FnMut(Seen) -> bool,
    ) -> Result<(), LogError> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut next_offset = offset;
        loop {
            if known_end.is_some_and(|end| next_offset >= end) {
                return Ok(());
            }
            match poll(&self.consumer, POLL) {
                Ok(Next::Message(message)) => {
                    deadline = Instant::now() + PATIENCE;
                    next_offset = message.offset() + 1;
                    let go_on = see(Seen {
                        offset: message.offset(),
                        place: Place::of(&message, self.log),
                        timestamp: message.timestamp(),
                    });
                    if !go_on {
                        return Ok(());
                    }
                }
                Ok(Next::End) if known_end.is_none() => return Ok(()),
                Ok(Next::End | Next::Nothing) if Instant::now() > deadline => {
                    return Err(LogError::Unavailable(format!(
                        "the brokers do not give what stands at the end of shard {shard}"
                    )));
                }
                Ok(Next::End | Next::Nothing) => {}
                Err(error) => self.recover(shard, &error)?,
            }
        }
    }

    /// The one message at `offset` as it stands, whatever it is.
    pub(crate) fn as_it_stands(
        &mut self,
        shard: u32,
        offset: i64,
    ) -> Result<Option<LogEntry>, LogError> {
        self.go(shard, offset, true)?;
        self.cursor = None;
        let deadline = Instant::now() + PATIENCE;
        let mut found = None;
        while Instant::now() < deadline {
            match poll(&self.consumer, POLL) {
                Ok(Next::Message(message)) => {
                    if message.offset() == offset {
                        let place = Place::of(&message, self.log);
                        let mut body = bytes::BytesMut::new();
                        if let Some(payload) = message.payload().filter(|p| !p.is_empty()) {
                            schemas::record::frame::push(&mut body, payload);
                        }
                        found = Some(LogEntry {
                            position: position(offset),
                            first_sequence: place.map_or(0, |place| place.sequence),
                            record_count: u32::from(!body.is_empty()),
                            body: body.freeze(),
                        });
                    }
                    break;
                }
                Ok(Next::End) => break,
                Ok(Next::Nothing) => {}
                Err(error) => return Err(log_error("reading the log", &error)),
            }
        }
        Ok(found)
    }
}

/// (first offset, offset after what is committed) of a partition. Waits for it where it was made
/// just now, or its leader changes.
pub(crate) fn bounds(
    consumer: &Consumer,
    topic: &str,
    partition: u32,
) -> Result<(i64, i64), LogError> {
    let started = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition as i32, PATIENCE) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if transient(&error) && started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            // A broker that has just come back may say that it has no such partition, and the
            // client believes that for minutes unless it asks again.
            Err(error) if is_unknown(&error) && started.elapsed() < PATIENCE => {
                if let Err(error) = consumer.fetch_metadata(Some(topic), PATIENCE) {
                    return Err(log_error("asking where a topic ends", &error));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(log_error("asking where a topic ends", &error)),
        }
    }
}

fn poll(consumer: &Consumer, wait: Duration) -> Result<Next<'_>, KafkaError> {
    match consumer.poll(wait) {
        None => Ok(Next::Nothing),
        Some(Ok(message)) => Ok(Next::Message(message)),
        Some(Err(KafkaError::PartitionEOF(_))) => Ok(Next::End),
        Some(Err(error)) if transient(&error) => Ok(Next::Nothing),
        Some(Err(error)) => Err(error),
    }
}

/// Whether the client has heard that there is no such partition.
fn is_unknown(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition)
}

/// Errors that librdkafka mends by itself.
pub(crate) fn transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::GroupAuthorizationFailed
        )
    )
}
