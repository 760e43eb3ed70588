//! The parts of a server on one folder: log, read models, writers, projectors, queries.

use std::path::Path;
use std::sync::Arc;

use adapter_embedded::{Embedded, OpenError, Options};
use adapter_object_store::ObjectSnapshots;
use command_handler::{Condition, Handler, SystemClock};
use ports::log::LogError;
use ports::snapshot::SnapshotStore;
use projector::Projector;
use query_api::{QueryApi, Sources, Stopped};
use tokio::sync::watch;

use super::config::Config;
use super::operations::Health;
use crate::client::failure::{Failure, Kind};

/// The folder of snapshots inside of the data folder.
pub const SNAPSHOTS: &str = "snapshots";

/// What goes on record with each claim.
pub fn build() -> String {
    format!("daybook {}", env!("CARGO_PKG_VERSION"))
}

/// A server's parts, running.
pub struct Node {
    /// The folder's log and read models.
    pub embedded: Arc<Embedded>,
    /// Snapshots of the state.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// From log to read models, one for each shard.
    pub projectors: Vec<Projector>,
    /// The writers.
    pub handler: Arc<Handler>,
    /// When it was started.
    pub started_at: prost_types::Timestamp,
}

/// Why a folder cannot be used, with the way out.
pub fn open_failure(error: OpenError, dir: &Path) -> Failure {
    let message = error.to_string();
    let code = match &error {
        OpenError::Locked { .. } | OpenError::Log(LogError::Locked(_)) => "LOG_LOCKED",
        OpenError::Log(LogError::Damaged { .. }) => "LOG_DAMAGED",
        OpenError::Log(LogError::Unusable(_) | LogError::NotOwner { .. }) => "LOG_UNUSABLE",
        OpenError::Log(LogError::Unavailable(_)) | OpenError::Io { .. } => "FOLDER_UNREADABLE",
        OpenError::Views(_) => "READ_MODELS_UNUSABLE",
        OpenError::SqliteTooOld { .. } => "SQLITE_TOO_OLD",
    };
    let dir = dir.display();
    match &error {
        OpenError::Locked { .. } => Failure::new(Kind::Locked, code, message),
        OpenError::Io { .. } => Failure::new(Kind::Broken, code, message),
        OpenError::Views(_) => Failure::new(Kind::Broken, code, message)
            .hint(format!("build them again from the log: daybook replay --data {dir}")),
        OpenError::Log(_) => Failure::new(Kind::Broken, code, message)
            .hint(format!("daybook verify --data {dir}"))
            .hint(format!(
                "daybook snapshot restore --data {dir} --to NEW-FOLDER restores all before the damage"
            )),
        OpenError::SqliteTooOld { .. } => Failure::new(Kind::Broken, code, message),
    }
}

impl Node {
    /// Opens the folder and starts all parts.
    ///
    /// # Errors
    /// The folder is in use or damaged, or the state cannot be brought back.
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        let options = Options {
            shards: config.shards,
            create: true,
            ..Default::default()
        };
        let embedded = Embedded::open(&config.data, options)
            .await
            .map_err(|error| open_failure(error, &config.data))?;
        let embedded = Arc::new(embedded);
        match Self::start_parts(config, Arc::clone(&embedded)).await {
            Ok(node) => Ok(node),
            Err(failure) => {
                close(embedded).await;
                Err(failure)
            }
        }
    }

    async fn start_parts(config: &Config, embedded: Arc<Embedded>) -> Result<Self, Failure> {
        let snapshots: Arc<dyn SnapshotStore> = Arc::new(
            ObjectSnapshots::local(&config.data.join(SNAPSHOTS))
                .map_err(|error| Failure::broken(error.to_string()))?,
        );
        let log = embedded.log();
        let projection = embedded.projection();
        let shards = log.shard_count();
        let mut projectors = Vec::new();
        for shard in 0..shards {
            projectors.push(projector::spawn(
                projector::Config::new(log.log_id(), shard),
                log.reader(),
                Arc::clone(&projection),
            )?);
        }
        let projected: Vec<watch::Receiver<u64>> =
            (0..shards).map(|shard| projection.watch(shard)).collect();
        let handler = command_handler::start(
            command_handler::Config {
                accept_clock: config.accept_clock,
                snapshot_every_records: config.snapshot_every_records,
                ..command_handler::Config::new(build())
            },
            Arc::clone(&log),
            embedded.facts(),
            Arc::clone(&snapshots),
            projected.clone(),
            Arc::new(SystemClock),
        )
        .await;
        let handler = match handler {
            Ok(handler) => Arc::new(handler),
            Err(error) => {
                stop_projectors(&projectors).await;
                let dir = config.data.display();
                let mut failure = Failure::new(Kind::Broken, error.code(), error.to_string());
                if error.code() != "UNAVAILABLE" {
                    failure = failure.hint(format!("daybook verify --data {dir}"));
                }
                return Err(failure);
            }
        };
        Ok(Self {
            embedded,
            snapshots,
            projectors,
            handler,
            started_at: crate::client::moment::now(),
        })
    }

    /// What answers reads.
    pub fn queries(&self) -> QueryApi {
        let log = self.embedded.log();
        let projection = self.embedded.projection();
        QueryApi::new(Sources {
            views: self.embedded.views(),
            reader: log.reader(),
            strong: self.handler.strong(),
            projected: (0..log.shard_count())
                .map(|shard| projection.watch(shard))
                .collect(),
            log_id: log.log_id(),
            stopped: {
                let projectors = self.projectors.clone();
                Arc::new(move |shard| {
                    let projector = projectors.get(shard as usize)?;
                    let (sequence, why) = projector.status().failed_at()?;
                    Some(Stopped { sequence, why })
                })
            },
        })
    }

    /// Finishes what was taken, and closes the folder.
    pub async fn stop(self) {
        self.handler.stop().await;
        stop_projectors(&self.projectors).await;
        close(self.embedded).await;
    }
}

async fn stop_projectors(projectors: &[Projector]) {
    for projector in projectors {
        projector.stop().await;
    }
}

async fn close(embedded: Arc<Embedded>) {
    if let Ok(embedded) = Arc::try_unwrap(embedded) {
        embedded.close().await;
    }
}

/// How the parts are doing, for the operations port.
pub struct NodeHealth {
    /// The writers.
    pub handler: std::sync::Weak<Handler>,
    /// The projectors.
    pub projectors: Vec<Projector>,
}

impl Health for NodeHealth {
    fn obstacles(&self) -> Vec<String> {
        let Some(handler) = self.handler.upgrade() else {
            return vec!["the server is stopping".to_owned()];
        };
        let writers = handler.status().into_iter().filter_map(|shard| {
            (shard.condition != Condition::Serving)
                .then(|| format!("shard {}: {}", shard.shard, shard.condition.label()))
        });
        let projectors = self.projectors.iter().filter_map(|projector| {
            let status = projector.status();
            (!status.is_alive())
                .then(|| format!("projection of shard {}: {:?}", status.shard, status.state))
        });
        writers.chain(projectors).collect()
    }

    fn measure(&self) {
        let Some(handler) = self.handler.upgrade() else {
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
