//! Account history and the archive of the log in Bigtable.
//!
//! [`Bigtable::setup`] makes and checks the tables; [`Bigtable::open`] gives the two stores of
//! one log. Neither needs Bigtable to be there when it is opened: what cannot be reached answers
//! so, and is reached by itself when it is there again.

mod archive;
mod assemble;
mod client;
mod config;
mod error;
mod history;
mod key;
mod rows;
mod setup;

use std::fmt;
use std::sync::Arc;

use ports::archive::Archive;
use ports::history::History;
use schemas::record::LogId;

use archive::BigtableArchive;
use client::Client;
use history::BigtableHistory;

pub use config::{BigtableConfig, Endpoint, GoogleCredentials, TABLE_PREFIX};
pub use error::BigtableError;

/// What Bigtable keeps of one log.
#[derive(Clone)]
pub struct Bigtable {
    client: Arc<Client>,
    history: Arc<BigtableHistory>,
    archive: Arc<BigtableArchive>,
}

impl fmt::Debug for Bigtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.client.config;
        f.debug_struct("Bigtable").field("config", config).finish()
    }
}

impl Bigtable {
    /// Makes the tables and column families that are missing, and checks those that are there.
    /// Gives the names of what was made. May be run again at any time.
    ///
    /// # Errors
    /// [`BigtableError`] says which permission lacks, or what stands there that must not.
    pub async fn setup(config: &BigtableConfig) -> Result<Vec<String>, BigtableError> {
        let client = Client::new(config.clone());
        client.retried(|| client.create_tables()).await
    }

    /// What Bigtable keeps of the log `log_id`. Connections live on the runtime of the caller,
    /// and on no other, whoever uses them.
    pub async fn open(config: BigtableConfig, log_id: LogId) -> Self {
        let client = Client::new(config);
        let history = Arc::new(BigtableHistory {
            client: Arc::clone(&client),
            log_id,
        });
        let archive = Arc::new(BigtableArchive::open(Arc::clone(&client), log_id).await);
        Self {
            client,
            history,
            archive,
        }
    }

    /// Looks whether it can be reached and has its tables as they must be. The emulator's are
    /// made where they are missing.
    ///
    /// # Errors
    /// [`BigtableError`].
    pub async fn check(&self) -> Result<(), BigtableError> {
        match self.client.retried(|| self.client.check_tables()).await {
            Err(BigtableError::Lost) => Ok(()),
            checked => checked,
        }
    }

    /// The account history.
    pub fn history(&self) -> Arc<dyn History> {
        Arc::clone(&self.history) as _
    }

    /// The archive of the log.
    pub fn archive(&self) -> Arc<dyn Archive> {
        Arc::clone(&self.archive) as _
    }
}
