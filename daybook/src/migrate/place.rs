//! Where books are: a data folder, or the cluster.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use adapter_embedded::{Embedded, Options};
use adapter_object_store::ObjectSnapshots;
use ports::log::EventLog;
use ports::snapshot::SnapshotStore;
use shard_state::Source;

use crate::client::failure::Failure;
use crate::serve::config::ClusterPlace;
use crate::serve::embedded::{SNAPSHOTS, open_failure};

/// A place, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A data folder.
    Folder(PathBuf),
    /// The cluster that flags, environment and file say.
    Cluster,
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "cluster" => Self::Cluster,
            folder => Self::Folder(PathBuf::from(folder)),
        })
    }
}

impl Place {
    /// The folder, where it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Cluster => None,
        }
    }

    /// As it is put on record, for people.
    ///
    /// # Errors
    /// The settings of the cluster are not right.
    pub(super) fn said(&self, cluster: &ClusterPlace) -> Result<String, Failure> {
        Ok(match self {
            Self::Folder(folder) => std::path::absolute(folder)
                .unwrap_or_else(|_| folder.clone())
                .display()
                .to_string(),
            Self::Cluster => {
                let (cluster, _) = cluster.load()?;
                format!("cluster {} (Kafka {})", cluster.name, cluster.kafka.servers)
            }
        })
    }

    /// Whether both are the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(a), Self::Folder(b)) => {
                let real = |path: &Path| std::fs::canonicalize(path).ok();
                a == b || real(a).is_some_and(|a| real(b) == Some(a))
            }
            (Self::Cluster, Self::Cluster) => true,
            _ => false,
        }
    }
}

/// What a log is kept in.
enum Medium {
    Folder(Embedded),
    #[cfg(feature = "cluster")]
    Cluster(Option<crate::serve::cluster::open::Opened>),
}

/// A log, opened.
pub(super) struct Opened {
    /// The log.
    pub(super) log: Arc<dyn EventLog>,
    /// Its snapshots, which shorten replay.
    pub(super) store: Option<Arc<dyn SnapshotStore>>,
    medium: Medium,
}

impl Opened {
    /// To be read alone, beside whoever serves it.
    pub(super) async fn to_read(place: &Place, cluster: &ClusterPlace) -> Result<Self, Failure> {
        let Place::Folder(folder) = place else {
            return whole(cluster).await;
        };
        let embedded = Embedded::open_read_only(folder).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        Ok(Self::folder(embedded, None))
    }

    /// One that is there already, to be written; nobody serves it.
    pub(super) async fn to_write(place: &Place, cluster: &ClusterPlace) -> Result<Self, Failure> {
        let Place::Folder(folder) = place else {
            return whole(cluster).await;
        };
        let embedded = Embedded::open(folder, Options::default()).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        let store: Option<Arc<dyn SnapshotStore>> = match folder.join(SNAPSHOTS).is_dir() {
            true => ObjectSnapshots::local(&folder.join(SNAPSHOTS))
                .ok()
                .map(|store| Arc::new(store) as Arc<dyn SnapshotStore>),
            false => None,
        };
        Ok(Self::folder(embedded, store))
    }

    /// One that is carried into. A folder is made where it is not there, with so many shards;
    /// one that is there, or a cluster, must have as many where they were asked for.
    pub(super) async fn to_fill(
        place: &Place,
        cluster: &ClusterPlace,
        shards: u32,
        asked: bool,
    ) -> Result<Self, Failure> {
        let Place::Folder(folder) = place else {
            let opened = log_alone(cluster).await?;
            let found = opened.log.shard_count();
            if asked && found != shards {
                opened.close().await;
                return Err(Failure::usage(format!(
                    "the cluster was set up with {found} shards, and {shards} were asked for"
                )));
            }
            return Ok(opened);
        };
        let is_new = Embedded::is_new(folder).map_err(|error| open_failure(error, folder))?;
        let options = Options {
            shards: (is_new || asked).then_some(shards),
            create: is_new,
            ..Options::default()
        };
        let embedded = Embedded::open(folder, options).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        Ok(Self::folder(embedded, None))
    }

    fn folder(embedded: Embedded, store: Option<Arc<dyn SnapshotStore>>) -> Self {
        Self {
            log: embedded.log(),
            store,
            medium: Medium::Folder(embedded),
        }
    }

    /// The whole of it, to be read.
    pub(super) fn source(&self) -> Source {
        Source::of(self.log.as_ref())
    }

    /// What the medium's own check of every page finds.
    pub(super) async fn check_pages(&self) -> Result<Vec<String>, Failure> {
        match &self.medium {
            Medium::Folder(embedded) => {
                let found = embedded.check_log_pages().await;
                found.map_err(|error| Failure::broken(error.to_string()))
            }
            #[cfg(feature = "cluster")]
            Medium::Cluster(_) => Ok(Vec::new()),
        }
    }

    /// Ends.
    pub(super) async fn close(self) {
        drop(self.log);
        match self.medium {
            Medium::Folder(embedded) => embedded.close().await,
            #[cfg(feature = "cluster")]
            Medium::Cluster(Some(opened)) => opened.close().await,
            #[cfg(feature = "cluster")]
            Medium::Cluster(None) => {}
        }
    }
}

/// The cluster's log with its archive, and its snapshots.
#[cfg(feature = "cluster")]
async fn whole(cluster: &ClusterPlace) -> Result<Opened, Failure> {
    use crate::serve::cluster::open::{open, open_log};
    let (cluster, _) = cluster.load()?;
    let connection =
        adapter_kafka::Connection::new(crate::serve::cluster::settings::kafka(&cluster)?);
    let kafka = open_log(&connection, None, None).await?;
    let opened = open(&cluster, kafka, None).await?;
    Ok(Opened {
        log: Arc::clone(&opened.stores.log),
        store: Some(Arc::clone(&opened.stores.snapshots)),
        medium: Medium::Cluster(Some(opened)),
    })
}

/// The cluster's log alone: nothing else is there yet.
#[cfg(feature = "cluster")]
async fn log_alone(cluster: &ClusterPlace) -> Result<Opened, Failure> {
    use crate::serve::cluster::open::open_log;
    let (cluster, _) = cluster.load()?;
    let connection =
        adapter_kafka::Connection::new(crate::serve::cluster::settings::kafka(&cluster)?);
    let kafka = open_log(&connection, None, None).await?;
    Ok(Opened {
        log: kafka,
        store: None,
        medium: Medium::Cluster(None),
    })
}

#[cfg(not(feature = "cluster"))]
async fn whole(_: &ClusterPlace) -> Result<Opened, Failure> {
    Err(crate::serve::cluster::without_feature())
}

#[cfg(not(feature = "cluster"))]
async fn log_alone(_: &ClusterPlace) -> Result<Opened, Failure> {
    Err(crate::serve::cluster::without_feature())
}
