//! The event log in the topic `daybook.events`.

mod assemble;
mod claim;
mod context;
mod find;
mod follow;
mod index;
mod place;
mod pool;
mod producer;
mod reader;
mod stream;
mod tail;
mod transaction;
mod verdict;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::log::{EventLog, LogError, LogReader, LogWriter, Position};
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use schemas::record::LogId;

use crate::connection::Connection;
use crate::error::log_error;
use crate::gate::ClaimGate;
use crate::setup::{self, Identity};
use follow::Follower;
use index::Index;
use pool::Pool;
use reader::Reader;
use tail::Tail;

pub(crate) use context::{Consumer as ReaderClient, log as log_line};
pub(crate) use stream::{bounds, command_consumer, consumer, transient};

/// Memory for the last entries of all shards together.
const TAIL_BYTES: usize = 64 << 20;

/// A log on Kafka, opened. [`crate::setup::setup`] made it.
pub struct KafkaLog {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    gate: Option<Arc<dyn ClaimGate>>,
}

/// What claims, writers, readers and the follower have in common.
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    pub(crate) shards: Vec<Shard>,
    pub(crate) pool: Arc<Pool>,
    /// Moves whenever a shard may have to be followed, or not any more.
    roster: AtomicU64,
}

/// What is known of a shard.
pub(crate) struct Shard {
    pub(crate) tail: Tail,
    pub(crate) index: Index,
}

impl Shared {
    /// The tag of every message of this log.
    pub(crate) fn tag(&self) -> [u8; 4] {
        place::tag(self.identity.log_id)
    }

    pub(crate) fn shard(&self, shard: u32) -> Option<&Shard> {
        self.shards.get(shard as usize)
    }

    /// Whom to follow may have changed.
    pub(crate) fn touch_roster(&self) {
        self.roster.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn roster(&self) -> u64 {
        self.roster.load(Ordering::Acquire)
    }
}

impl KafkaLog {
    /// Opens the log that the topics of `connection` hold. Claims pass `gate`, where there is
    /// one.
    ///
    /// # Errors
    /// [`LogError::Unusable`] where the topics are not there or not as they must be;
    /// [`LogError::Unavailable`] where the brokers cannot be reached.
    pub async fn open(
        connection: Connection,
        gate: Option<Arc<dyn ClaimGate>>,
    ) -> Result<Self, LogError> {
        let identity = setup::check(&connection).await?;
        let tag = place::tag(identity.log_id);
        let pool = Arc::new(Pool::new(connection.clone(), tag));
        let bytes_max = TAIL_BYTES / identity.shard_count.max(1) as usize;
        let mut shards = Vec::new();
        for shard in 0..identity.shard_count {
            let end = pool
                .run(shard, 0, move |stream| find::end(stream, shard))
                .await?;
            shards.push(Shard {
                tail: Tail::new(end, bytes_max),
                index: Index::default(),
            });
        }
        let shared = Arc::new(Shared {
            connection,
            identity,
            shards,
            pool,
            roster: AtomicU64::new(1),
        });
        let follower = Follower::start(Arc::clone(&shared))?;
        Ok(Self {
            reader: Arc::new(Reader::new(Arc::clone(&shared), follower)),
            shared,
            gate,
        })
    }

    /// What the log was opened in.
    pub fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    /// Deletes what stands before `before` in `shard`, and gives where the shard begins then.
    /// That it stands in two verified snapshots and in an archive that was read back is for the
    /// caller to see to.
    ///
    /// # Errors
    /// [`LogError::Unusable`] where there is no such shard, or nothing would be left.
    pub async fn trim(&self, shard: u32, before: Position) -> Result<(), LogError> {
        let Some(known) = self.shared.shard(shard) else {
            return Err(no_shard(shard, self.shared.identity.shard_count));
        };
        let offset = assemble::offset(before);
        // The last entry is what the next claim knows the next sequence from.
        let last = self.reader.last_entry(shard).await?;
        if last.is_none_or(|last| offset > last.first_offset()) {
            return Err(LogError::Unusable(format!(
                "position {} of shard {shard} is behind its last entry, which has to stay",
                before.0
            )));
        }
        let admin = setup::admin(&self.shared.connection)?;
        let topic = &self.shared.connection.topics().events;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, shard as i32, Offset::Offset(offset))
            .map_err(|error| log_error("trimming the log", &error))?;
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        let done = admin
            .delete_records(&list, &options)
            .await
            .map_err(|error| log_error("trimming the log", &error))?;
        for element in done.elements() {
            element
                .error()
                .map_err(|error| log_error("trimming the log", &error))?;
        }
        known.index.trim(offset);
        known.tail.trim(offset);
        Ok(())
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn log_id(&self) -> LogId {
        self.shared.identity.log_id
    }

    fn shard_count(&self) -> u32 {
        self.shared.identity.shard_count
    }

    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError> {
        if self.shared.shard(shard).is_none() {
            return Err(no_shard(shard, self.shared.identity.shard_count));
        }
        let writer = claim::claim(&self.shared, self.gate.as_ref(), shard, barrier).await?;
        Ok(Box::new(writer))
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.reader.clone()
    }
}

fn no_shard(shard: u32, shard_count: u32) -> LogError {
    LogError::Unusable(format!(
        "there is no shard {shard}: the log has {shard_count}"
    ))
}
