//! The parts of a server, whatever profile they are of: log, read models, writers, projectors,
//! queries. Everything here speaks to ports alone.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use command_handler::{Condition, Handler};
use ports::archive::Archive;
use ports::history::History;
use ports::log::{EventLog, LogReader};
use ports::ownership::{Assignment, Ownership};
use ports::projection::{Projection, ProjectionSwitch};
use ports::snapshot::SnapshotStore;
use ports::strong::StrongReads;
use ports::views::{FactsSource, Views};
use projector::Projector;
use projector::archive::Archiver;
use query_api::{QueryApi, Sources, Stopped};
use tokio::sync::watch;

use super::config::{Config, Profile, Roles};
use super::operations::{Health, Waiting};
use super::route::{NoWriters, Route};
use crate::client::failure::Failure;

/// What goes on record with each claim.
pub fn build() -> String {
    format!("daybook {}", env!("CARGO_PKG_VERSION"))
}

/// What a command handler of this server is told.
pub fn handler_config(config: &Config) -> command_handler::Config {
    command_handler::Config {
        accept_clock: config.accept_clock,
        snapshot_every_records: config.snapshot_every_records,
        ingestion: command_handler::IngestionConfig {
            accept_gap: config.accept_ingestion_gap,
            ..Default::default()
        },
        ..command_handler::Config::new(build())
    }
}

/// The stores of a server, opened.
#[derive(Clone)]
pub struct Stores {
    /// The log; its reader reads the whole of it, what was trimmed too.
    pub log: Arc<dyn EventLog>,
    /// Reads the log's own medium alone.
    pub own: Arc<dyn LogReader>,
    /// The read models, to be written.
    pub projection: Arc<dyn Projection>,
    /// Rebuilds of the read models.
    pub switch: Arc<dyn ProjectionSwitch>,
    /// The read models, to be read.
    pub views: Arc<dyn Views>,
    /// Old keys and transactions.
    pub facts: Arc<dyn FactsSource>,
    /// Snapshots of the state.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Account history, where it is a store of its own.
    pub history: Option<Arc<dyn History>>,
    /// The log's archive, where there is one.
    pub archive: Option<Arc<dyn Archive>>,
}

impl Stores {
    /// Starts a projector for each shard.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn_projectors(&self) -> Result<Vec<Projector>, Failure> {
        (0..self.log.shard_count())
            .map(|shard| {
                let config = projector::Config::new(self.log.log_id(), shard);
                let projection = Arc::clone(&self.projection);
                let history = self.history.clone();
                let reader = self.log.reader();
                Ok(projector::spawn_with_history(
                    config, reader, projection, history,
                )?)
            })
            .collect()
    }

    /// Starts an archiver for each shard, where there is an archive.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn_archivers(&self) -> Result<Vec<Archiver>, Failure> {
        let Some(archive) = &self.archive else {
            return Ok(Vec::new());
        };
        (0..self.log.shard_count())
            .map(|shard| {
                let own = Arc::clone(&self.own);
                Ok(projector::archive::spawn(shard, own, Arc::clone(archive))?)
            })
            .collect()
    }

    /// By shard, the sequence that the read models have passed, as it moves.
    pub fn projected(&self) -> Vec<watch::Receiver<u64>> {
        (0..self.log.shard_count())
            .map(|shard| self.projection.watch(shard))
            .collect()
    }
}

/// What closes the stores.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The parts of a server, running, but for what closes them.
pub struct Parts {
    /// What the stores are.
    pub profile: Profile,
    /// What this process does.
    pub roles: Roles,
    /// Where the books are kept, as people are told.
    pub place: String,
    /// The stores.
    pub stores: Stores,
    /// From log to read models, one for each shard; none without the role.
    pub projectors: Vec<Projector>,
    /// From log to archive, one for each shard; none without the role or an archive.
    pub archivers: Vec<Archiver>,
    /// The writers; none without the role.
    pub handler: Option<Arc<Handler>>,
    /// Who writes which shard.
    pub ownership: Arc<dyn Ownership>,
}

impl Parts {
    /// A node of these, which `close` closes at last.
    pub fn finish(self, close: impl FnOnce() -> Closing + Send + 'static) -> Node {
        Node {
            parts: self,
            started_at: crate::client::moment::now(),
            close: Box::new(close),
        }
    }
}

/// A server's parts, running.
pub struct Node {
    /// The parts.
    pub parts: Parts,
    /// When it was started.
    pub started_at: prost_types::Timestamp,
    close: Box<dyn FnOnce() -> Closing + Send>,
}

impl Node {
    /// Opens the stores and starts all parts of the roles. `listens` is where gRPC is served;
    /// `waiting` hears what a start waits for.
    ///
    /// # Errors
    /// The stores are in use or damaged, or the state cannot be brought back.
    pub async fn start(
        config: &Config,
        listens: SocketAddr,
        waiting: Waiting,
    ) -> Result<Self, Failure> {
        match config.profile {
            Profile::Embedded => super::embedded::start(config).await,
            Profile::Cluster => super::cluster::start(config, listens, waiting).await,
        }
    }

    /// The way to what answers calls.
    pub fn route(&self) -> Route {
        let parts = &self.parts;
        let answers = parts.roles.query || parts.roles.command;
        Route::new(
            parts.handler.as_ref().map(|handler| handler.api()),
            answers.then(|| self.queries()),
            Arc::clone(&parts.ownership),
            parts.stores.log.shard_count(),
        )
    }

    /// What answers reads.
    pub fn queries(&self) -> QueryApi {
        let Parts {
            stores,
            projectors,
            handler,
            ownership,
            ..
        } = &self.parts;
        let strong: Arc<dyn StrongReads> = match handler {
            Some(handler) => handler.strong(),
            None => Arc::new(NoWriters {
                ownership: Arc::clone(ownership),
                shard_count: stores.log.shard_count(),
            }),
        };
        QueryApi::new(Sources {
            views: Arc::clone(&stores.views),
            reader: stores.log.reader(),
            strong,
            projected: stores.projected(),
            log_id: stores.log.log_id(),
            stopped: {
                let projectors = projectors.clone();
                Arc::new(move |shard| {
                    let projector = projectors.get(shard as usize)?;
                    let (sequence, why) = projector.status().failed_at()?;
                    Some(Stopped { sequence, why })
                })
            },
        })
    }

    /// How it is doing.
    pub fn health(&self) -> NodeHealth {
        NodeHealth {
            handler: self.parts.handler.as_ref().map(Arc::downgrade),
            assignment: self.parts.ownership.assignment(),
            projectors: self.parts.projectors.clone(),
            archivers: self.parts.archivers.clone(),
        }
    }

    /// Finishes what was taken, and closes the stores.
    pub async fn stop(self) {
        let Self { parts, close, .. } = self;
        if let Some(handler) = &parts.handler {
            handler.stop().await;
        }
        stop_projectors(&parts.projectors, &parts.archivers).await;
        drop(parts);
        close().await;
    }
}

/// Ends projectors and archivers after the stretch at hand.
pub async fn stop_projectors(projectors: &[Projector], archivers: &[Archiver]) {
    for projector in projectors {
        projector.stop().await;
    }
    for archiver in archivers {
        archiver.stop().await;
    }
}

/// How the parts are doing, for the operations port.
pub struct NodeHealth {
    /// The writers; `None` without the role.
    handler: Option<std::sync::Weak<Handler>>,
    /// Which shards are given to this node.
    assignment: watch::Receiver<Assignment>,
    /// The projectors.
    projectors: Vec<Projector>,
    /// The archivers.
    archivers: Vec<Archiver>,
}

impl NodeHealth {
    /// The writers; an error when they are gone.
    fn handler(&self) -> Result<Option<Arc<Handler>>, String> {
        match &self.handler {
            None => Ok(None),
            Some(handler) => match handler.upgrade() {
                Some(handler) => Ok(Some(handler)),
                None => Err("the server is stopping".to_owned()),
            },
        }
    }
}

impl Health for NodeHealth {
    fn obstacles(&self) -> Vec<String> {
        let handler = match self.handler() {
            Ok(handler) => handler,
            Err(why) => return vec![why],
        };
        if handler.is_some() && self.assignment.borrow().generation == 0 {
            return vec!["it waits for the shards that are its own".to_owned()];
        }
        let shards = handler.map(|handler| handler.status()).unwrap_or_default();
        let writers = shards.into_iter().filter_map(|shard| {
            // A shard that is another node's keeps nobody waiting here.
            let waits = shard.owned && shard.condition != Condition::Serving;
            waits.then(|| format!("shard {}: {}", shard.shard, shard.condition.label()))
        });
        let projectors = self.projectors.iter().filter_map(|projector| {
            let status = projector.status();
            (!status.is_alive())
                .then(|| format!("projection of shard {}: {:?}", status.shard, status.state))
        });
        let archivers = self.archivers.iter().filter_map(|archiver| {
            let status = archiver.status();
            (!status.is_alive())
                .then(|| format!("archive of shard {}: {:?}", status.shard, status.state))
        });
        writers.chain(projectors).chain(archivers).collect()
    }

    fn measure(&self) {
        let Ok(Some(handler)) = self.handler() else {
            return;
        };
        for shard in handler.status() {
            let label = shard.shard.to_string();
            metrics::gauge!("daybook_shard_serving", "shard" => label.clone())
                .set(f64::from(u8::from(shard.condition == Condition::Serving)));
            metrics::gauge!("daybook_shard_epoch", "shard" => label.clone())
                .set(shard.epoch as f64);
            metrics::gauge!("daybook_snapshot_sequence", "shard" => label)
                .set(shard.snapshot_sequence as f64);
        }
    }
}
