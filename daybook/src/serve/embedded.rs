//! The embedded profile: a server on one folder, with no other servers.

use std::path::Path;
use std::sync::Arc;

use adapter_embedded::{Embedded, OpenError, Options};
use adapter_object_store::ObjectSnapshots;
use command_handler::SystemClock;
use ports::log::LogError;
use ports::ownership::AllShards;
use ports::snapshot::SnapshotStore;

use super::config::{Config, Profile};
use super::node::{self, Node, Stores};
use crate::client::failure::{Failure, Kind};

/// The folder of snapshots inside of the data folder.
pub const SNAPSHOTS: &str = "snapshots";

/// Why a folder cannot be used, with the way out.
pub fn open_failure(error: OpenError, dir: &Path) -> Failure {
    let message = error.to_string();
    let code = match &error {
        OpenError::Locked { .. } | OpenError::Log(LogError::Locked(_)) => "LOG_LOCKED",
        OpenError::Log(LogError::Damaged { .. }) => "LOG_DAMAGED",
        OpenError::LogGone { .. }
        | OpenError::Log(LogError::Unusable(_) | LogError::NotOwner { .. }) => "LOG_UNUSABLE",
        OpenError::Log(LogError::Unavailable(_)) | OpenError::Io { .. } => "FOLDER_UNREADABLE",
        OpenError::Views(_) => "READ_MODELS_UNUSABLE",
        OpenError::SqliteTooOld { .. } => "SQLITE_TOO_OLD",
    };
    // Nothing is damaged then: the path is wrong.
    let is_missing = match &error {
        OpenError::Io { error, .. } => error.kind() == std::io::ErrorKind::NotFound,
        OpenError::Log(LogError::Unusable(_) | LogError::Unavailable(_)) => {
            !dir.join("log.db").exists()
        }
        _ => false,
    };
    let dir = dir.display();
    if is_missing {
        let message = format!("{dir} holds no log of Daybook's");
        return Failure::new(Kind::Usage, "FOLDER_UNREADABLE", message)
            .hint("--data names the folder that `daybook serve` prints when it starts");
    }
    match &error {
        OpenError::Locked { .. } => Failure::new(Kind::Locked, code, message),
        OpenError::Io { .. } => Failure::new(Kind::Broken, code, message),
        OpenError::Views(_) => Failure::new(Kind::Broken, code, message)
            .hint(format!("build them again from the log: daybook replay --data {dir}")),
        OpenError::Log(LogError::Damaged { .. }) => Failure::new(Kind::Broken, code, message)
            .hint(format!("daybook verify --data {dir}"))
            .hint(format!(
                "daybook snapshot restore --data {dir} --to NEW-FOLDER restores all before the damage"
            )),
        OpenError::LogGone { .. } | OpenError::Log(_) | OpenError::SqliteTooOld { .. } => {
            Failure::new(Kind::Broken, code, message)
        }
    }
}

/// Opens the folder and starts all parts.
///
/// # Errors
/// The folder is in use or damaged, or the state cannot be brought back.
pub async fn start(config: &Config) -> Result<Node, Failure> {
    let options = Options {
        shards: config.shards,
        create: true,
        ..Default::default()
    };
    let embedded = Embedded::open(&config.data, options)
        .await
        .map_err(|error| open_failure(error, &config.data))?;
    match start_parts(config, &embedded).await {
        Ok(parts) => {
            let close = || -> node::Closing { Box::pin(embedded.close()) };
            Ok(parts.finish(close))
        }
        Err(failure) => {
            embedded.close().await;
            Err(failure)
        }
    }
}

async fn start_parts(config: &Config, embedded: &Embedded) -> Result<node::Parts, Failure> {
    let snapshots: Arc<dyn SnapshotStore> = Arc::new(
        ObjectSnapshots::local(&config.data.join(SNAPSHOTS))
            .map_err(|error| Failure::broken(error.to_string()))?,
    );
    let stores = Stores {
        log: embedded.log(),
        own: embedded.log().reader(),
        projection: embedded.projection(),
        switch: embedded.switch(),
        views: embedded.views(),
        facts: embedded.facts(),
        snapshots,
        history: None,
        archive: None,
    };
    let projectors = stores.spawn_projectors()?;
    let handler = command_handler::start(
        node::handler_config(config),
        Arc::clone(&stores.log),
        Arc::clone(&stores.facts),
        Arc::clone(&stores.snapshots),
        stores.projected(),
        Arc::new(SystemClock),
    )
    .await;
    match handler {
        Ok(handler) => Ok(node::Parts {
            profile: Profile::Embedded,
            roles: config.roles,
            place: config.data.display().to_string(),
            ownership: Arc::new(AllShards::new(stores.log.shard_count())),
            stores,
            projectors,
            archivers: Vec::new(),
            handler: Some(Arc::new(handler)),
        }),
        Err(error) => {
            node::stop_projectors(&projectors, &[]).await;
            let dir = config.data.display();
            let mut failure = Failure::new(Kind::Broken, error.code(), error.to_string());
            if error.code() != "UNAVAILABLE" {
                failure = failure.hint(format!("daybook verify --data {dir}"));
            }
            Err(failure)
        }
    }
}
