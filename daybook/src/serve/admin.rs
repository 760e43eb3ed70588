//! AdminService, on the operations port: snapshots, rebuilds, verification.

use std::sync::{Arc, Weak};

use command_handler::Handler;
use projector::Projector;
use schemas::api::Malformed;
use schemas::error::Fault;
use schemas::proto::v1::admin_service_server::AdminService;
use schemas::proto::v1::*;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::node::{Node, Stores};
use crate::upkeep::{self, snapshot_info};

/// Messages of progress that wait for a slow caller; more are left out.
const PROGRESS_QUEUE: usize = 64;

/// Upkeep of a running server.
pub struct Admin {
    /// `None` without the role.
    handler: Option<Weak<Handler>>,
    stores: Stores,
    projectors: Vec<Projector>,
    /// One rebuild at a time.
    rebuilding: Arc<Mutex<()>>,
}

impl Admin {
    pub fn of(node: &Node) -> Self {
        Self {
            handler: node.parts.handler.as_ref().map(Arc::downgrade),
            stores: node.parts.stores.clone(),
            projectors: node.parts.projectors.clone(),
            rebuilding: Arc::default(),
        }
    }

    async fn list(&self) -> Result<Vec<SnapshotInfo>, Status> {
        let mut all = Vec::new();
        for shard in 0..self.stores.log.shard_count() {
            let entries = self
                .stores
                .snapshots
                .list(shard)
                .await
                .map_err(|error| Fault::unavailable(error.to_string()))?;
            all.extend(entries.iter().map(|entry| snapshot_info(shard, entry)));
        }
        Ok(all)
    }
}

type Replies<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_snapshot(
        &self,
        _: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let handler = self.handler.as_ref().ok_or_else(|| {
            Fault::unavailable("this process writes no shard: ask one with the role command")
        })?;
        let handler = handler
            .upgrade()
            .ok_or_else(|| Fault::unavailable("the server is stopping"))?;
        let sequences = handler.snapshot().await.map_err(Fault::internal)?;
        drop(handler);
        let mut snapshots = self.list().await?;
        snapshots
            .retain(|snapshot| sequences.get(snapshot.shard as usize) == Some(&snapshot.sequence));
        Ok(Response::new(CreateSnapshotResponse { snapshots }))
    }

    async fn list_snapshots(
        &self,
        _: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let snapshots = self.list().await?;
        Ok(Response::new(ListSnapshotsResponse { snapshots }))
    }

    type RebuildReadModelsStream = Replies<RebuildProgress>;

    async fn rebuild_read_models(
        &self,
        _: Request<RebuildReadModelsRequest>,
    ) -> Result<Response<Self::RebuildReadModelsStream>, Status> {
        let guard = Arc::clone(&self.rebuilding)
            .try_lock_owned()
            .map_err(|_| Fault::unavailable("a rebuild runs already"))?;
        let (sent, replies) = mpsc::channel(PROGRESS_QUEUE);
        let shards = (0..self.stores.log.shard_count())
            .map(|shard| projector::Config::new(self.stores.log.log_id(), shard))
            .collect();
        let progress = sent.clone();
        let work = projector::rebuild(
            shards,
            self.stores.log.reader(),
            Arc::clone(&self.stores.projection),
            self.projectors.clone(),
            Arc::clone(&self.stores.switch),
            Box::new(move |at| {
                // A slow caller misses some progress, never the end.
                let _ = progress.try_send(Ok(RebuildProgress {
                    shard: at.shard,
                    sequence: at.sequence,
                    target_sequence: at.target_sequence,
                    ..Default::default()
                }));
            }),
        );
        // It goes on to its end even where the caller has gone away.
        tokio::spawn(async move {
            let _guard = guard;
            match work.await {
                Ok(rebuilt) => {
                    for (shard, sequence) in rebuilt.sequences {
                        let last = RebuildProgress {
                            shard,
                            sequence,
                            target_sequence: sequence,
                            switched: true,
                            differences: rebuilt.differences.clone(),
                        };
                        let _ = sent.send(Ok(last)).await;
                    }
                }
                Err(error) => {
                    let _ = sent
                        .send(Err(Fault::internal(error.to_string()).into()))
                        .await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }

    type VerifyStream = Replies<VerifyProgress>;

    async fn verify(
        &self,
        request: Request<VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let options = upkeep::verify_options(&request.get_ref().expect_heads)
            .map_err(|why| Status::from(Malformed::new("expect_heads", why)))?;
        let (sent, replies) = mpsc::channel(PROGRESS_QUEUE);
        let stores = self.stores.clone();
        let deep = request.get_ref().deep;
        let progress = sent.clone();
        tokio::spawn(async move {
            let told = move |at: shard_state::verify::Progress| {
                let _ = progress.try_send(Ok(VerifyProgress {
                    shard: at.shard,
                    sequence: at.sequence,
                    target_sequence: at.end,
                    ..Default::default()
                }));
            };
            let last = match upkeep::check(&stores, &options, deep, told).await {
                Ok(verdict) => Ok(VerifyProgress {
                    findings: verdict.findings,
                    summary: Some(verdict.summary),
                    ..Default::default()
                }),
                Err(error) => Err(Fault::unavailable(error.to_string()).into()),
            };
            let _ = sent.send(last).await;
        });
        Ok(Response::new(ReceiverStream::new(replies)))
    }
}
