//! ServerService: what the server is.

use std::sync::{Arc, Weak};

use command_handler::Handler;
use schemas::proto::v1::server_service_server::ServerService;
use schemas::proto::v1::*;
use tonic::{Request, Response, Status};

use super::node::{self, Node};

/// Says what the server is, and how far its shards are.
pub struct Info {
    handler: Weak<Handler>,
    log_id: String,
    shard_count: u32,
    started_at: prost_types::Timestamp,
}

impl Info {
    pub fn of(node: &Node) -> Self {
        let log = node.embedded.log();
        Self {
            handler: Arc::downgrade(&node.handler),
            log_id: log.log_id().to_string(),
            shard_count: log.shard_count(),
            started_at: node.started_at,
        }
    }
}

#[tonic::async_trait]
impl ServerService for Info {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<ServerInfo>, Status> {
        let shards = self
            .handler
            .upgrade()
            .map(|handler| handler.status())
            .unwrap_or_default()
            .into_iter()
            .map(|shard| ShardInfo {
                shard: shard.shard,
                state: shard.condition.label().to_owned(),
                epoch: shard.epoch,
                committed_sequence: shard.committed_sequence,
                projected_sequence: shard.projected_sequence,
                snapshot_sequence: shard.snapshot_sequence,
            })
            .collect();
        Ok(Response::new(ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: node::build(),
            profile: "embedded".to_owned(),
            log_id: self.log_id.clone(),
            shard_count: self.shard_count,
            limits: schemas::limits::served(),
            started_at: Some(self.started_at),
            shards,
        }))
    }
}
