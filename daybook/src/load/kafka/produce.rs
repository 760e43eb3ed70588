//! Produces commands: several at once, each until it is acknowledged by all replicas.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::form::Form;
use super::{HEADER, Topics, unreachable};
use crate::client::failure::{Failure, Kind};
use crate::load::calls::Retry;
use crate::load::feed::{Due, Feed};
use crate::load::manifest::Manifest;
use crate::load::send::Sending;

impl Topics {
    /// Produces all that `feed` hands out.
    ///
    /// # Errors
    /// A record was not acknowledged until patience ended. It may stand in its topic.
    pub async fn send(
        &self,
        feed: &Arc<Feed>,
        manifest: &Arc<Manifest>,
        sending: Sending,
        patience: Duration,
    ) -> Result<(), Failure> {
        let mut config = self.connection.client();
        let producer: FutureProducer = config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Kafka's own clients partition keyed records.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set(
                "message.timeout.ms",
                patience.as_millis().max(1_000).to_string(),
            )
            .create()
            .map_err(unreachable)?;
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..sending.clients.max(1) {
            let client = Client {
                topics: self.clone(),
                producer: producer.clone(),
                feed: Arc::clone(feed),
                manifest: Arc::clone(manifest),
                patience,
            };
            clients.spawn(client.run(sending.batch.max(1)));
        }
        let mut first = Ok(());
        while let Some(ended) = clients.join_next().await {
            let ended = ended.unwrap_or_else(|died| Err(Failure::broken(died.to_string())));
            if ended.is_err() {
                feed.stop();
                first = first.and(ended);
            }
        }
        first
    }
}

struct Client {
    topics: Topics,
    producer: FutureProducer,
    feed: Arc<Feed>,
    manifest: Arc<Manifest>,
    patience: Duration,
}

impl Client {
    async fn run(self, batch: usize) -> Result<(), Failure> {
        loop {
            let due = self.feed.take(batch).await?;
            if due.is_empty() {
                return Ok(());
            }
            let sent = join_all(due.iter().map(|due| self.one(due))).await;
            sent.into_iter().collect::<Result<(), Failure>>()?;
            self.feed
                .done
                .fetch_add(due.len() as u64, Ordering::Relaxed);
        }
    }

    /// Produces one until it is acknowledged. Sent twice it stands there twice, with one key.
    async fn one(&self, due: &Due) -> Result<(), Failure> {
        let shape = self.feed.shape();
        let form = Form::of(shape, due);
        let names = self.topics.names();
        let number = format!("{:08x}:{}", shape.run, due.planned.number);
        let mut retry = Retry::new(self.patience);
        loop {
            let headers = OwnedHeaders::new()
                .insert(Header {
                    key: schemas::ingest::CONTENT_TYPE,
                    value: Some(form.content_type),
                })
                .insert(Header {
                    key: HEADER,
                    value: Some(&number),
                });
            let record = FutureRecord::to(&names.commands[form.topic])
                .key(&form.key)
                .payload(&form.payload)
                .headers(headers);
            let error = match self.producer.send(record, self.patience).await {
                Ok(_) => return Ok(()),
                Err((error, _)) => error,
            };
            let fatal = matches!(
                error,
                KafkaError::MessageProduction(
                    RDKafkaErrorCode::MessageSizeTooLarge
                        | RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                )
            );
            if fatal || !retry.pause().await {
                return Err(Failure::new(
                    Kind::Unavailable,
                    "NOT_ANSWERED",
                    format!(
                        "{} was not acknowledged by Kafka: {error}",
                        due.planned.said(shape)
                    ),
                )
                .hint(format!(
                    "go on when Kafka answers again: daybook load --resume {}",
                    self.manifest.path.display()
                )));
            }
        }
    }
}
