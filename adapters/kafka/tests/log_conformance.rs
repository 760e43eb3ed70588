//! The event log is held to the suite of `ports`, on a real broker.

#![allow(clippy::unwrap_used)]

mod stack;

use std::sync::Arc;

use adapter_kafka::setup::{SetupError, setup};
use adapter_kafka::{Connection, KafkaLog};
use async_trait::async_trait;
use ports::conformance::log::{LogCapabilities, LogUnderTest};
use ports::log::{EventLog, LogError, Position};

/// A log in topics of its own.
struct OnKafka(Connection);

#[async_trait]
impl LogUnderTest for OnKafka {
    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities {
            reopens: true,
            // Any number of nodes may open it; claims are what fences.
            locks: false,
            // What the brokers hold cannot be changed from outside. `log_faults.rs` has what
            // foreign messages do.
            damages: false,
        }
    }

    async fn open(&mut self, shards: u32) -> Result<Arc<dyn EventLog>, LogError> {
        match setup(&self.0, stack::options(shards)).await {
            Ok(_) => {}
            Err(SetupError::Log(error)) => return Err(error),
            Err(refused) => panic!("{refused}"),
        }
        Ok(Arc::new(KafkaLog::open(self.0.clone(), None).await?))
    }

    async fn close(&mut self) {}

    async fn damage(&mut self, _shard: u32, _position: Position) {
        panic!("it has no capability damages");
    }
}

ports::event_log_conformance!(OnKafka(stack::connection()));
