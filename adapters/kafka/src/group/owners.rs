//! Who serves which shard, and where: a compacted topic. Only a hint, for routing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ports::log::LogError;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::error::log_error;
use crate::log::{ReaderClient, consumer};

/// One wait for something to happen.
const POLL: Duration = Duration::from_millis(50);
/// How long an announcement may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message of the topic, by shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Announcement {
    shard: u32,
    epoch: u64,
    address: String,
}

type Known = Mutex<Vec<Option<Announcement>>>;

fn lock(known: &Known) -> MutexGuard<'_, Vec<Option<Announcement>>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of owners, and the way to tell of oneself.
pub(super) struct Owners {
    address: Arc<str>,
    known: Arc<Known>,
    announcements: Mutex<Sender<(u32, u64)>>,
    ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Owners {
    /// Follows the topic on a thread of its own.
    pub(super) fn start(
        connection: &Connection,
        shard_count: u32,
        address: &str,
    ) -> Result<Self, LogError> {
        let failed = |error: KafkaError| log_error("following the owners of shards", &error);
        let topic = Arc::clone(&connection.topics().owners);
        let reader = consumer(connection, Duration::from_millis(500))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning)
            .and_then(|()| reader.assign(&list))
            .map_err(failed)?;
        let producer: BaseProducer = connection
            .client()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.timeout.ms", PATIENCE.as_millis().to_string())
            .create()
            .map_err(failed)?;
        let known: Arc<Known> = Arc::new(Mutex::new(vec![None; shard_count as usize]));
        let (announcements, heard) = channel();
        let ending = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            reader,
            producer,
            topic,
            address: address.into(),
            known: Arc::clone(&known),
            heard,
            ending: Arc::clone(&ending),
        };
        let thread = std::thread::Builder::new()
            .name("daybook-owners".to_owned())
            .spawn(move || follower.run())
            .map_err(|error| LogError::Unavailable(format!("no thread could start: {error}")))?;
        Ok(Self {
            address: address.into(),
            known,
            announcements: Mutex::new(announcements),
            ending,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// This node serves `shard`.
    pub(super) fn announce(&self, shard: u32, epoch: u64) {
        let announcements = self.announcements.lock();
        // Where the thread has ended nobody is to be told any more.
        let _ = announcements
            .unwrap_or_else(PoisonError::into_inner)
            .send((shard, epoch));
    }

    /// Where `shard` is served, unless that is here.
    pub(super) fn owner(&self, shard: u32) -> Option<Arc<str>> {
        let known = lock(&self.known);
        let known = known.get(shard as usize)?.as_ref()?;
        (known.address != *self.address).then(|| Arc::from(known.address.as_str()))
    }

    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows the owners of shards died");
        }
    }
}

struct Follower {
    reader: ReaderClient,
    producer: BaseProducer,
    topic: Arc<str>,
    address: Arc<str>,
    known: Arc<Known>,
    heard: Receiver<(u32, u64)>,
    ending: Arc<AtomicBool>,
}

impl Follower {
    fn run(self) {
        while !self.ending.load(Ordering::SeqCst) {
            while let Ok((shard, epoch)) = self.heard.try_recv() {
                self.tell(shard, epoch);
            }
            self.producer.poll(Duration::ZERO);
            match self.reader.poll(POLL) {
                Some(Ok(message)) => self.hear(message.payload().unwrap_or_default()),
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => tracing::debug!(%error, "following the owners of shards"),
            }
        }
        if let Err(error) = self.producer.flush(Duration::from_millis(200)) {
            tracing::debug!(%error, "an announcement was not sent");
        }
    }

    fn tell(&self, shard: u32, epoch: u64) {
        let announcement = Announcement {
            shard,
            epoch,
            address: self.address.to_string(),
        };
        let Ok(payload) = serde_json::to_vec(&announcement) else {
            return;
        };
        let key = shard.to_string();
        let record = BaseRecord::<str, [u8]>::to(&self.topic)
            .partition(0)
            .key(&key)
            .payload(&payload);
        if let Err((error, _)) = self.producer.send(record) {
            tracing::warn!(shard, %error, "other nodes are not told that this one serves a shard");
        }
    }

    fn hear(&self, payload: &[u8]) {
        let Ok(told) = serde_json::from_slice::<Announcement>(payload) else {
            tracing::warn!("a message about owners of shards cannot be read");
            return;
        };
        let mut known = lock(&self.known);
        if let Some(place) = known.get_mut(told.shard as usize)
            && place.as_ref().is_none_or(|known| known.epoch <= told.epoch)
        {
            *place = Some(told);
        }
    }
}
