//! The parts of a process of a cluster, by its roles.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use adapter_kafka::{ClaimGate, Connection, Group, KafkaSource, Observer, setup};
use command_handler::{Handler, SystemClock};
use ports::ownership::Ownership;

use super::open::{Opened, open, open_log};
use super::patience::{Trouble, patiently};
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
    listens: SocketAddr,
    waiting: Waiting,
) -> Result<Node, Failure> {
    let cluster = &config.cluster;
    let connection = Connection::new(settings::kafka(cluster)?);
    let address = advertised(config, listens)?;
    let identity = patiently("Kafka", Some(&waiting), || setup::check(&connection)).await?;
    let share = Share::of(config, &connection, identity.shard_count, &address)?;
    let kafka = open_log(&connection, share.gate, Some(&waiting)).await?;
    let opened = open(cluster, kafka, Some(&waiting)).await?;
    if let Some(failure) = sealed(&opened).await {
        opened.close().await;
        return Err(failure);
    }
    waiting.say("the parts of its roles start");
    match start_parts(config, &connection, &opened, share.ownership).await {
        Ok(parts) => Ok(parts.finish(|| -> node::Closing { Box::pin(opened.close()) })),
        Err(failure) => {
            opened.close().await;
            Err(failure)
        }
    }
}

/// Says where the books went, where the log is sealed. A shard that cannot be looked at now is
/// judged by its writer.
async fn sealed(opened: &Opened) -> Option<Failure> {
    let sealed = shard_state::migrate::sealed_for(opened.kafka.as_ref()).await;
    let sealed = sealed.ok().flatten()?;
    let message = format!(
        "the log was sealed: the books went over to log {}, at {}",
        sealed.moved_to, sealed.place
    );
    Some(Failure::new(Kind::Broken, "LOG_SEALED", message))
}

/// What other nodes reach this one by.
fn advertised(config: &Config, listens: SocketAddr) -> Result<String, Failure> {
    if let Some(address) = &config.cluster.advertise {
        return Ok(address.clone());
    }
    if listens.ip().is_unspecified() && config.roles.command {
        tracing::warn!("other nodes on other machines do not reach this one: say --advertise URL");
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, listens.port()));
        return Ok(format!("http://{here}"));
    }
    Ok(format!("http://{listens}"))
}

/// How the shards are shared out, as this process sees it.
struct Share {
    ownership: Arc<dyn Ownership>,
    gate: Option<Arc<dyn ClaimGate>>,
}

impl Share {
    fn of(
        config: &Config,
        connection: &Connection,
        shard_count: u32,
        address: &str,
    ) -> Result<Self, Failure> {
        let failed = |error| Trouble::from(error).failure();
        if config.roles.command {
            let group = Group::join(connection, shard_count, address).map_err(failed)?;
            return Ok(Self {
                ownership: Arc::clone(&group) as _,
                gate: Some(group),
            });
        }
        let observer = Observer::start(connection, shard_count).map_err(failed)?;
        Ok(Self {
            ownership: observer,
            gate: None,
        })
    }
}

async fn start_parts(
    config: &Config,
    connection: &Connection,
    opened: &Opened,
    ownership: Arc<dyn Ownership>,
) -> Result<Parts, Failure> {
    let stores = opened.stores.clone();
    let (projectors, archivers) = match config.roles.projector {
        true => (stores.spawn_projectors()?, stores.spawn_archivers()?),
        false => (Vec::new(), Vec::new()),
    };
    let handler = match config.roles.command {
        true => Some(handler(config, connection, opened, Arc::clone(&ownership)).await),
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
    connection: &Connection,
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
        source: Some(Arc::new(KafkaSource::new(connection.clone()))),
    };
    command_handler::start_parts(node::handler_config(config), parts)
        .await
        .map_err(|error| Failure::new(Kind::Broken, error.code(), error.to_string()))
}
