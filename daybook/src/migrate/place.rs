//! Where books are: a data folder, or the cluster.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use adapter_embedded::{Embedded, Options};
use adapter_object_store::ObjectSnapshots;
use ports::log::EventLog;
use ports::snapshot::SnapshotStore;

use crate::client::failure::Failure;
use crate::serve::embedded::{SNAPSHOTS, open_failure};

/// A place, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A data folder.
    Folder(PathBuf),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

impl Place {
    /// The folder, where it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
        }
    }

    /// As it is put on record, for people.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Folder(folder) => std::path::absolute(folder)
                .unwrap_or_else(|_| folder.clone())
                .display()
                .to_string(),
        }
    }

    /// Whether both are the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(a), Self::Folder(b)) => {
                let real = |path: &Path| std::fs::canonicalize(path).ok();
                a == b || real(a).is_some_and(|a| real(b) == Some(a))
            }
        }
    }
}

/// A log, opened.
pub(super) struct Opened {
    /// The log.
    pub(super) log: Arc<dyn EventLog>,
    /// Its snapshots, which shorten replay.
    pub(super) store: Option<Arc<dyn SnapshotStore>>,
    embedded: Embedded,
}

impl Opened {
    /// To be read alone, beside whoever serves it.
    pub(super) async fn to_read(place: &Place) -> Result<Self, Failure> {
        let Place::Folder(folder) = place;
        let embedded = Embedded::open_read_only(folder).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        Ok(Self::of(embedded, None))
    }

    /// One that is there already, to be written; nobody serves it.
    pub(super) async fn to_write(place: &Place) -> Result<Self, Failure> {
        let Place::Folder(folder) = place;
        let embedded = Embedded::open(folder, Options::default()).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        let store: Option<Arc<dyn SnapshotStore>> = match folder.join(SNAPSHOTS).is_dir() {
            true => ObjectSnapshots::local(&folder.join(SNAPSHOTS))
                .ok()
                .map(|store| Arc::new(store) as Arc<dyn SnapshotStore>),
            false => None,
        };
        Ok(Self::of(embedded, store))
    }

    /// One that is made where it is not there; `shards` counts where it is new, and must fit
    /// where it was `asked` for.
    pub(super) async fn to_make(place: &Place, shards: u32, asked: bool) -> Result<Self, Failure> {
        let Place::Folder(folder) = place;
        let is_new = !folder.exists()
            || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        let options = Options {
            shards: (is_new || asked).then_some(shards),
            create: is_new,
            ..Options::default()
        };
        let embedded = Embedded::open(folder, options).await;
        let embedded = embedded.map_err(|error| open_failure(error, folder))?;
        Ok(Self::of(embedded, None))
    }

    fn of(embedded: Embedded, store: Option<Arc<dyn SnapshotStore>>) -> Self {
        Self {
            log: embedded.log(),
            store,
            embedded,
        }
    }

    /// What the medium's own check of every page finds.
    pub(super) async fn check_pages(&self) -> Result<Vec<String>, Failure> {
        let found = self.embedded.check_log_pages().await;
        found.map_err(|error| Failure::broken(error.to_string()))
    }

    /// Ends.
    pub(super) async fn close(self) {
        drop(self.log);
        self.embedded.close().await;
    }
}
