//! The topics that commands come from: read from the offsets that the log itself remembers,
//! whatever the group has committed.

mod reader;

use std::sync::Arc;

use async_trait::async_trait;
use ports::ingestion::{CommandSource, CommandTopic, SourceError, SourceReader};
use ports::log::Consumed;

use crate::connection::Connection;
use reader::Reader;

/// The topics `deposits`, `withdrawals` and `transfers`.
#[derive(Debug, Clone)]
pub struct KafkaSource {
    connection: Connection,
}

impl KafkaSource {
    /// The topics of `connection`.
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The real name of a topic.
    fn name(&self, kind: CommandTopic) -> Arc<str> {
        let topics = self.connection.topics();
        Arc::clone(match kind {
            CommandTopic::Deposits => &topics.deposits,
            CommandTopic::Withdrawals => &topics.withdrawals,
            CommandTopic::Transfers => &topics.transfers,
        })
    }
}

#[async_trait]
impl CommandSource for KafkaSource {
    async fn open(
        &self,
        shard: u32,
        from: &[Consumed],
        accept_gap: bool,
    ) -> Result<Box<dyn SourceReader>, SourceError> {
        let connection = self.connection.clone();
        let topics = CommandTopic::ALL.map(|kind| (kind, self.name(kind)));
        let from = from.to_vec();
        let opened = tokio::task::spawn_blocking(move || {
            Reader::open(&connection, topics, shard, &from, accept_gap)
        });
        let reader = opened
            .await
            .unwrap_or_else(|error| Err(SourceError::Unavailable(error.to_string())))?;
        Ok(Box::new(reader))
    }
}
