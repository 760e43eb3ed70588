//! Reads the topics of one shard, on a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use ports::ingestion::{CommandTopic, Lag, SourceError, SourceReader, SourceRecord};
use ports::log::Consumed;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::headers::header_at;
use crate::log::{ReaderClient, bounds, command_consumer, transient};

/// Records that were read and not asked for yet.
const AHEAD_RECORDS: usize = 4_096;
/// Their bytes, about; one record more may be there.
const AHEAD_BYTES: usize = 4 << 20;
/// One wait for a record.
const POLL: Duration = Duration::from_millis(50);
/// One wait for room.
const ROOM: Duration = Duration::from_millis(2);
/// Where the topics end is asked so often.
const ENDS_EVERY: Duration = Duration::from_secs(5);

/// A partition that is read.
#[derive(Debug, Clone)]
struct Partition {
    kind: CommandTopic,
    topic: Arc<str>,
    /// The next offset.
    next: u64,
    /// The offset after the last record, as was last told.
    ends: u64,
}

/// What the thread and its reader share.
#[derive(Debug)]
struct Shared {
    shard: u32,
    partitions: Mutex<Vec<Partition>>,
    /// Bytes that were read and not asked for yet.
    bytes: AtomicUsize,
    ended: AtomicBool,
}

impl Shared {
    fn partitions(&self) -> MutexGuard<'_, Vec<Partition>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

type Read = Result<SourceRecord, SourceError>;

/// See [`SourceReader`]. Its thread ends with it.
pub(super) struct Reader {
    shared: Arc<Shared>,
    records: mpsc::Receiver<Read>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

fn unavailable(error: impl ToString) -> SourceError {
    SourceError::Unavailable(error.to_string())
}

impl Reader {
    /// Finds where each partition is to be read on, and begins. Blocks.
    pub(super) fn open(
        connection: &Connection,
        topics: [(CommandTopic, Arc<str>); 3],
        shard: u32,
        from: &[Consumed],
        accept_gap: bool,
    ) -> Result<Self, SourceError> {
        let client = command_consumer(connection).map_err(unavailable)?;
        let mut partitions = Vec::with_capacity(topics.len());
        for (kind, topic) in topics {
            let (begins, ends) = bounds(&client, &topic, shard).map_err(unavailable)?;
            let (begins, ends) = (begins.unsigned_abs(), ends.unsigned_abs());
            let known = from
                .iter()
                .find(|known| known.topic == topic && known.partition == shard);
            let wanted = known.map_or(begins, |known| known.next_offset);
            let next = match (begins..=ends).contains(&wanted) {
                true => wanted,
                false if accept_gap => {
                    tracing::warn!(%topic, shard, wanted, begins, ends, "records that were never read are skipped, as was accepted");
                    begins
                }
                false => {
                    return Err(SourceError::Gap {
                        topic,
                        partition: shard,
                        wanted,
                        begins,
                        ends,
                    });
                }
            };
            partitions.push(Partition {
                kind,
                topic,
                next,
                ends,
            });
        }
        let mut list = TopicPartitionList::new();
        for partition in &partitions {
            let offset = Offset::Offset(i64::try_from(partition.next).unwrap_or(i64::MAX));
            list.add_partition_offset(&partition.topic, shard as i32, offset)
                .map_err(unavailable)?;
        }
        client.assign(&list).map_err(unavailable)?;
        let shared = Arc::new(Shared {
            shard,
            partitions: Mutex::new(partitions),
            bytes: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let (sender, records) = mpsc::channel(AHEAD_RECORDS);
        let thread = Thread {
            client,
            shared: Arc::clone(&shared),
            sender,
        };
        std::thread::Builder::new()
            .name(format!("daybook-ingest-{shard}"))
            .spawn(move || thread.run())
            .map_err(unavailable)?;
        Ok(Self { shared, records })
    }

    fn taken(&self, read: Read) -> Read {
        if let Ok(record) = &read {
            self.shared
                .bytes
                .fetch_sub(record.size(), Ordering::Relaxed);
        }
        read
    }
}

#[async_trait]
impl SourceReader for Reader {
    async fn read(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SourceRecord>, SourceError> {
        let first = self.records.recv().await;
        let first = first.unwrap_or_else(|| Err(unavailable("the reading thread has ended")));
        let first = self.taken(first)?;
        let mut bytes = first.size();
        let mut taken = vec![first];
        while taken.len() < records_max && bytes < bytes_max {
            match self.records.try_recv().map(|read| self.taken(read)) {
                Ok(Ok(record)) => {
                    bytes += record.size();
                    taken.push(record);
                }
                // Told when it is met with first.
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a topic could not be read on");
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(taken)
    }

    fn lag(&self) -> Vec<Lag> {
        let partitions = self.shared.partitions();
        let lags = partitions.iter().map(|partition| Lag {
            topic: Arc::clone(&partition.topic),
            partition: self.shared.shard,
            records: partition.ends.saturating_sub(partition.next),
        });
        lags.collect()
    }
}

struct Thread {
    client: ReaderClient,
    shared: Arc<Shared>,
    sender: mpsc::Sender<Read>,
}

impl Thread {
    fn run(self) {
        let mut asked = Instant::now();
        while !self.shared.ended.load(Ordering::SeqCst) {
            if asked.elapsed() >= ENDS_EVERY {
                self.ask_ends();
                asked = Instant::now();
            }
            if self.shared.bytes.load(Ordering::Relaxed) >= AHEAD_BYTES {
                std::thread::sleep(ROOM);
                continue;
            }
            let read = match self.client.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Ok(message)) => match self.record(&message) {
                    Some(record) => Ok(record),
                    None => continue,
                },
                Some(Err(error)) if transient(&error) => continue,
                Some(Err(error)) => Err(self.failed(&error)),
            };
            let is_end = read.is_err();
            if self.sender.blocking_send(read).is_err() || is_end {
                return;
            }
        }
    }

    /// A message as a record; moves its partition on.
    fn record(&self, message: &BorrowedMessage<'_>) -> Option<SourceRecord> {
        let offset = u64::try_from(message.offset()).ok()?;
        let mut partitions = self.shared.partitions();
        let of = partitions
            .iter_mut()
            .find(|partition| *partition.topic == *message.topic())?;
        of.next = offset + 1;
        of.ends = of.ends.max(of.next);
        let (headers, unnamed_headers) = headers(message);
        if unnamed_headers > 0 {
            tracing::warn!(topic = %of.topic, shard = self.shared.shard, offset, "a record has headers whose names are no UTF-8");
        }
        let record = SourceRecord {
            kind: of.kind,
            topic: Arc::clone(&of.topic),
            partition: self.shared.shard,
            offset,
            key: message.key().map(Bytes::copy_from_slice),
            headers,
            unnamed_headers,
            payload: message.payload().map(Bytes::copy_from_slice),
        };
        self.shared
            .bytes
            .fetch_add(record.size(), Ordering::Relaxed);
        Some(record)
    }

    /// Why it cannot be read on. That its offset is not there is found again, and said exactly,
    /// when the topics are opened anew.
    fn failed(&self, error: &KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                unavailable("the next offset of a topic is not there any more")
            }
            _ => unavailable(error),
        }
    }

    fn ask_ends(&self) {
        let topics: Vec<_> = {
            let partitions = self.shared.partitions();
            partitions.iter().map(|p| Arc::clone(&p.topic)).collect()
        };
        for topic in topics {
            let shard = self.shared.shard as i32;
            let asked = self
                .client
                .fetch_watermarks(&topic, shard, Duration::from_secs(1));
            if let Ok((_, ends)) = asked {
                let mut partitions = self.shared.partitions();
                if let Some(of) = partitions.iter_mut().find(|p| p.topic == topic) {
                    of.ends = ends.unsigned_abs();
                }
            }
        }
    }
}

/// The headers of a message, and how many more it has whose names are no UTF-8.
fn headers(message: &BorrowedMessage<'_>) -> (Vec<(String, Option<Bytes>)>, usize) {
    let Some(headers) = message.headers() else {
        return (Vec::new(), 0);
    };
    let count = headers.count();
    let read = |index| {
        let header = header_at(headers, index)?;
        let value = header.value.map(Bytes::copy_from_slice);
        Some((header.key.to_owned(), value))
    };
    let named: Vec<_> = (0..count).filter_map(read).collect();
    let unnamed = count - named.len();
    (named, unnamed)
}
