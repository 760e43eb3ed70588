//! Commands as they come, outcomes in the same order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use schemas::error::Fault;
use schemas::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::batch::Sent;
use super::{CommandApi, source};
use crate::writer::request::Source;

/// Commands that are taken together, when that many have come.
const TOGETHER_MOST: usize = 256;
/// Groups of commands in flight of one stream: beyond them the stream is not read, and HTTP/2's
/// flow control makes the caller wait.
const IN_FLIGHT_MOST: usize = 8;
/// How long a stream waits for room in a full queue before it tries again.
const ROOM_WAIT: Duration = Duration::from_millis(5);

/// Outcomes of a stream of commands.
pub type WriteStreamReplies =
    Pin<Box<dyn Stream<Item = Result<v1::WriteStreamResponse, Status>> + Send>>;

impl CommandApi {
    /// Decides commands in the order in which they come. Takes no more than it can hold; a full
    /// queue makes the stream wait instead of declining its commands.
    ///
    /// # Errors
    /// None before the first outcome; a broken stream of commands ends the stream of outcomes
    /// after those of the commands that came whole.
    pub async fn write_stream<S>(
        self: Arc<Self>,
        request: Request<S>,
    ) -> Result<WriteStreamReplies, Status>
    where
        S: Stream<Item = Result<v1::WriteStreamRequest, Status>> + Send + Unpin + 'static,
    {
        let source = source(request.metadata());
        let commands = request.into_inner();
        let (sent, on_the_way) = mpsc::channel(IN_FLIGHT_MOST);
        let api = Arc::clone(&self);
        tokio::spawn(async move { api.take(commands, source, sent).await });
        let replies = ReceiverStream::new(on_the_way).then(move |item: Item| {
            let api = Arc::clone(&self);
            async move {
                match item {
                    Ok((tags, sent)) => {
                        let outcomes = api.collect(sent).await.into_iter();
                        let replies = tags.into_iter().zip(outcomes);
                        let replies = replies.map(|(tag, outcome)| {
                            Ok(v1::WriteStreamResponse {
                                tag,
                                outcome: Some(outcome),
                            })
                        });
                        replies.collect()
                    }
                    Err(status) => vec![Err(status)],
                }
            }
        });
        Ok(Box::pin(replies.flat_map(futures::stream::iter)))
    }

    /// Reads the stream and sends what came to the writers, until either side ends.
    async fn take<S>(&self, commands: S, source: Arc<Source>, sent: mpsc::Sender<Item>)
    where
        S: Stream<Item = Result<v1::WriteStreamRequest, Status>> + Send + Unpin,
    {
        let mut commands = commands.ready_chunks(TOGETHER_MOST);
        while let Some(chunk) = commands.next().await {
            let mut tags = Vec::with_capacity(chunk.len());
            let mut group = Vec::with_capacity(chunk.len());
            let mut broken = None;
            for item in chunk {
                match item {
                    Ok(request) => {
                        tags.push(request.tag);
                        group.push(request.command.unwrap_or_default());
                    }
                    Err(status) => {
                        let fault = schemas::error::of_transport(&status);
                        broken = Some(fault.map_or(status, Status::from));
                        break;
                    }
                }
            }
            // Room among the groups in flight first: what is sent must be answered.
            let Ok(place) = sent.reserve().await else {
                return;
            };
            let group = self.send_patiently(group, &source, &sent).await;
            place.send(Ok((tags, group)));
            if let Some(status) = broken {
                let _ = sent.send(Err(status)).await;
                return;
            }
        }
    }

    /// Sends a group; waits while the queue of its writer is full.
    async fn send_patiently(
        &self,
        group: Vec<v1::Command>,
        source: &Arc<Source>,
        sent: &mpsc::Sender<Item>,
    ) -> Sent {
        loop {
            while self.is_full() && !sent.is_closed() {
                tokio::time::sleep(ROOM_WAIT).await;
            }
            let tried = self.send(group.clone(), source).await;
            if sent.is_closed() || !matches!(tried.declined(), Some(Fault::Overloaded { .. })) {
                return tried;
            }
            tokio::time::sleep(ROOM_WAIT).await;
        }
    }

    fn is_full(&self) -> bool {
        self.writers.iter().any(|writer| writer.is_full())
    }
}

type Item = Result<(Vec<u64>, Sent), Status>;
