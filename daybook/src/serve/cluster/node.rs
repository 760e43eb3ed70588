//! The parts of a process of a cluster, by its roles.

use std::net::SocketAddr;
use std::sync::Arc;

use adapter_kafka::Connection;
use command_handler::{Handler, SystemClock};
use ports::ownership::{AllShards, Ownership};

use super::open::{Opened, open, open_log};
use super::settings;
use super::snapshots::Dispensable;
use crate::client::failure::{Failure, Kind};
use crate::serve::config::{Config, Profile};
use crate::serve::node::{self, Node, Parts};
use crate::serve::operations::Waiting;

/// Opens the stores and starts the parts of the roles. What cannot be reached is waited for.
///
/// # Errors
/// A store is not as it must be, or the state cannot be brought back.
pub async fn start(
    config: &Config,
    _: SocketAddr,
    waiting: Waiting,
) -> Result<Node, Failure> {
    let cluster = &config.cluster;
    let connection = Connection::new(settings::kafka(cluster)?);
    let kafka = open_log(&connection, None, Some(&waiting)).await?;
    let opened = open(cluster, kafka, Some(&waiting)).await?;
    waiting.say("the parts of its roles start");
    let ownership = Arc::new(AllShards::new(opened.stores.log.shard_count()));
    match start_parts(config, &opened, ownership).await {
        Ok(parts) => Ok(parts.finish(|| -> node::Closing { Box::pin(opened.close()) })),
        Err(failure) => {
            opened.close().await;
            Err(failure)
        }
    }
}

async fn start_parts(
    config: &Config,
    opened: &Opened,
    ownership: Arc<dyn Ownership>,
) -> Result<Parts, Failure> {
    let stores = opened.stores.clone();
    let (projectors, archivers) = match config.roles.projector {
        true => (stores.spawn_projectors()?, stores.spawn_archivers()?),
        false => (Vec::new(), Vec::new()),
    };
    let handler = match config.roles.command {
        true => Some(handler(config, opened, Arc::clone(&ownership)).await),
        false => None,
    };
    let handler = match handler.transpose() {
        Ok(handler) => handler.map(Arc::new),
        Err(failure) => {
            node::stop_projectors(&projectors, &archivers).await;
            return Err(failure);
        }
    };
    Ok(Parts {
        profile: Profile::Cluster,
        roles: config.roles,
        place: format!("cluster {}", config.cluster.name),
        stores,
        projectors,
        archivers,
        handler,
        ownership,
    })
}

async fn handler(
    config: &Config,
    opened: &Opened,
    ownership: Arc<dyn Ownership>,
) -> Result<Handler, Failure> {
    let stores = &opened.stores;
    let parts = command_handler::Parts {
        log: Arc::clone(&stores.log),
        facts: Arc::clone(&stores.facts),
        snapshots: Arc::new(Dispensable(Arc::clone(&stores.snapshots))),
        projected: stores.projected(),
        clock: Arc::new(SystemClock),
        ownership,
        source: None,
    };
    command_handler::start_parts(node::handler_config(config), parts)
        .await
        .map_err(|error| Failure::new(Kind::Broken, error.code(), error.to_string()))
}
