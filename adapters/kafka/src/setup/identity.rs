//! Which log the topics hold: the first message of a topic of its own.
//!
//! Two setups at once may both write. Whoever reads takes the first message, so all agree on
//! one. Each message has a key of its own, so that compaction keeps it.

use std::time::{Duration, Instant};

use ports::log::LogError;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use schemas::record::LogId;
use serde::{Deserialize, Serialize};

use super::{PATIENCE, SetupOptions};
use crate::connection::Connection;
use crate::error::log_error;
use crate::log::{bounds, consumer};

/// The form of the messages of the log that this build writes.
const FORMAT: u32 = 1;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub log_id: LogId,
    /// Its shards.
    pub shard_count: u32,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    log_id: String,
    shard_count: u32,
}

impl Identity {
    fn encode(self) -> Result<Vec<u8>, LogError> {
        serde_json::to_vec(&Stored {
            format: FORMAT,
            log_id: self.log_id.to_string(),
            shard_count: self.shard_count,
        })
        .map_err(|error| LogError::Unusable(error.to_string()))
    }

    fn decode(topic: &str, bytes: &[u8]) -> Result<Self, LogError> {
        let unusable = |what: String| LogError::Unusable(format!("topic {topic}: {what}"));
        let stored: Stored = serde_json::from_slice(bytes)
            .map_err(|error| unusable(format!("its first message names no log: {error}")))?;
        if stored.format != FORMAT {
            return Err(unusable(format!(
                "the log has format {}, and this build knows {FORMAT}",
                stored.format
            )));
        }
        if stored.shard_count == 0 {
            return Err(unusable("the log has no shards".to_owned()));
        }
        Ok(Self {
            log_id: LogId::parse(&stored.log_id).map_err(|error| unusable(error.to_string()))?,
            shard_count: stored.shard_count,
        })
    }
}

/// Reads which log it is, or writes it.
pub(super) async fn agree(
    connection: &Connection,
    options: SetupOptions,
) -> Result<Identity, LogError> {
    if let Some(identity) = read(connection).await? {
        return Ok(identity);
    }
    let identity = Identity {
        log_id: options
            .log_id
            .unwrap_or_else(|| LogId(*uuid::Uuid::new_v4().as_bytes())),
        shard_count: options.shard_count,
    };
    let failed = |error: KafkaError| log_error("writing which log it is", &error);
    let producer: FutureProducer = connection
        .client()
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", PATIENCE.as_millis().to_string())
        .create()
        .map_err(failed)?;
    let (key, value) = (identity.log_id.to_string(), identity.encode()?);
    let record = FutureRecord::to(&connection.topics().identity)
        .partition(0)
        .key(&key)
        .payload(&value);
    producer
        .send(record, PATIENCE)
        .await
        .map_err(|(error, _)| failed(error))?;
    // Closing its connections blocks.
    let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
    read(connection).await?.ok_or_else(|| {
        LogError::Unavailable("which log it is was written, and cannot be read back".to_owned())
    })
}

/// Reads which log it is; `None` where that was never written.
pub(crate) async fn read(connection: &Connection) -> Result<Option<Identity>, LogError> {
    let connection = connection.clone();
    tokio::task::spawn_blocking(move || first(&connection))
        .await
        .unwrap_or_else(|error| Err(LogError::Unavailable(error.to_string())))
}

fn first(connection: &Connection) -> Result<Option<Identity>, LogError> {
    let topic = &connection.topics().identity;
    let failed = |error: KafkaError| log_error("reading which log it is", &error);
    let consumer = consumer(connection, Duration::from_millis(10))?;
    let deadline = Instant::now() + PATIENCE;
    let (low, high) = bounds(&consumer, topic, 0)?;
    if low >= high {
        return Ok(None);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(low))
        .and_then(|()| consumer.assign(&list))
        .map_err(failed)?;
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => {
                return Identity::decode(topic, message.payload().unwrap_or_default()).map(Some);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => tracing::debug!(%error, "reading which log it is"),
            None => {}
        }
    }
    Err(LogError::Unavailable(format!(
        "topic {topic} does not answer"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let identity = Identity {
            log_id: LogId([7; 16]),
            shard_count: 8,
        };
        let bytes = identity.encode().expect("it is written");
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"format":1,"log_id":"07070707070707070707070707070707","shard_count":8}"#
        );
        assert_eq!(Identity::decode("t", &bytes).expect("it is read"), identity);
        for wrong in [
            "",
            "{}",
            r#"{"format":2,"log_id":"07070707070707070707070707070707","shard_count":8}"#,
            r#"{"format":1,"log_id":"07","shard_count":8}"#,
            r#"{"format":1,"log_id":"07070707070707070707070707070707","shard_count":0}"#,
        ] {
            assert!(Identity::decode("t", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
