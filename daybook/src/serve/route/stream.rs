//! Commands as they come, when the shards are spread over several nodes.

use std::sync::Arc;
use std::time::Duration;

use command_handler::WriteStreamReplies;
use futures::StreamExt as _;
use schemas::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use super::{Owner, Route};

/// Commands that are taken together, when that many have come.
const TOGETHER_MOST: usize = 256;
/// Replies that wait for a slow caller; beyond them the stream is not read.
const REPLIES_MOST: usize = 2 * TOGETHER_MOST;
/// How long a stream waits for room in a full queue before it tries again.
const ROOM_WAIT: Duration = Duration::from_millis(5);

impl Route {
    /// Decides commands in the order in which they come: here, where this node writes all
    /// shards, or each where its ledger is written.
    pub async fn write_stream(
        self: Arc<Self>,
        request: Request<Streaming<v1::WriteStreamRequest>>,
    ) -> Result<WriteStreamReplies, Status> {
        let all_here = (0..self.shard_count).all(|shard| self.owners.owner(shard) == Owner::Here);
        if let Some(commands) = &self.commands
            && (self.owners.is_alone() || all_here)
        {
            return Arc::clone(commands).write_stream(request).await;
        }
        let (metadata, _, commands) = request.into_parts();
        let (sent, replies) = mpsc::channel(REPLIES_MOST);
        tokio::spawn(async move {
            let mut commands = commands.ready_chunks(TOGETHER_MOST);
            while let Some(chunk) = commands.next().await {
                let (tags, group, broken) = apart(chunk);
                // One group at a time: commands of a ledger stay in order whoever decides them.
                let outcomes = loop {
                    let (outcomes, declined) = self.split(&metadata, group.clone()).await;
                    let is_full = declined
                        .as_ref()
                        .is_some_and(|status| status.code() == Code::ResourceExhausted);
                    if !is_full || sent.is_closed() {
                        break outcomes;
                    }
                    tokio::time::sleep(ROOM_WAIT).await;
                };
                for (tag, outcome) in tags.into_iter().zip(outcomes) {
                    let reply = v1::WriteStreamResponse {
                        tag,
                        outcome: Some(outcome),
                    };
                    if sent.send(Ok(reply)).await.is_err() {
                        return;
                    }
                }
                if let Some(status) = broken {
                    // The caller may have gone.
                    let _ = sent.send(Err(status)).await;
                    return;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(replies)))
    }
}

type Apart = (Vec<u64>, Vec<v1::Command>, Option<Status>);

fn apart(chunk: Vec<Result<v1::WriteStreamRequest, Status>>) -> Apart {
    let mut tags = Vec::with_capacity(chunk.len());
    let mut group = Vec::with_capacity(chunk.len());
    for item in chunk {
        match item {
            Ok(request) => {
                tags.push(request.tag);
                group.push(request.command.unwrap_or_default());
            }
            Err(status) => return (tags, group, Some(status)),
        }
    }
    (tags, group, None)
}
