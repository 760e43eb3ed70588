//! ServerService: what the server is.

use std::sync::{Arc, Weak};

use command_handler::Handler;
use ports::log::LogReader;
use schemas::proto::v1::server_service_server::ServerService;
use schemas::proto::v1::*;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::config::Profile;
use super::node::{self, Node};

/// Says what the server is, and how far its shards are.
pub struct Info {
    profile: &'static str,
    /// `None` without the role.
    handler: Option<Weak<Handler>>,
    reader: Arc<dyn LogReader>,
    projected: Vec<watch::Receiver<u64>>,
    log_id: String,
    shard_count: u32,
    started_at: prost_types::Timestamp,
}

impl Info {
    pub fn of(node: &Node) -> Self {
        let log = &node.parts.stores.log;
        Self {
            profile: match node.parts.profile {
                Profile::Embedded => "embedded",
                Profile::Cluster => "cluster",
            },
            handler: node.parts.handler.as_ref().map(Arc::downgrade),
            reader: log.reader(),
            projected: node.parts.stores.projected(),
            log_id: log.log_id().to_string(),
            shard_count: log.shard_count(),
            started_at: node.started_at,
        }
    }
}

/// A shard as its writer knows it.
fn written(shard: command_handler::ShardStatus) -> ShardInfo {
    ShardInfo {
        shard: shard.shard,
        state: shard.condition.label().to_owned(),
        epoch: shard.epoch,
        committed_sequence: shard.committed_sequence,
        projected_sequence: shard.projected_sequence,
        snapshot_sequence: shard.snapshot_sequence,
    }
}

impl Info {
    /// The shards as a node without writers knows them.
    fn followed(&self) -> Vec<ShardInfo> {
        (0..)
            .zip(&self.projected)
            .map(|(shard, projected)| ShardInfo {
                shard,
                state: "written by other nodes".to_owned(),
                committed_sequence: self.reader.watch(shard).borrow().saturating_sub(1),
                projected_sequence: *projected.borrow(),
                ..Default::default()
            })
            .collect()
    }
}

#[tonic::async_trait]
impl ServerService for Info {
    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<ServerInfo>, Status> {
        let shards = match &self.handler {
            Some(handler) => handler.upgrade().map(|handler| handler.status()),
            None => None,
        };
        let shards = match shards {
            Some(shards) => shards.into_iter().map(written).collect(),
            None => self.followed(),
        };
        Ok(Response::new(ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: node::build(),
            profile: self.profile.to_owned(),
            log_id: self.log_id.clone(),
            shard_count: self.shard_count,
            limits: schemas::limits::served(),
            started_at: Some(self.started_at),
            shards,
        }))
    }
}
