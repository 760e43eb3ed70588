//! Read models in Postgres: what the projector writes, and queries and analysts read.
//!
//! They live in a schema of their own (`daybook` unless said otherwise). The tables stand in a
//! schema per *generation* beside it (`daybook_g1`, `daybook_g2`, …), so that a rebuild fills
//! tables of its own while the live ones serve; `daybook.generations` says which one is live,
//! and the views in `daybook`, which people and their tools read, show the live one. A switch
//! renames the old generation's schema in the same transaction that makes the new one live: any
//! statement that still names the old one fails, in whatever process, and is asked again of the
//! new one. So nobody reads a generation that is not live, and nobody has to ask first.
//!
//! Account history is no table here: it goes to [`ports::history::History`], within
//! [`Projection::apply`](ports::projection::Projection::apply), before the rows are committed.

mod accounts;
mod apply;
mod compare;
mod config;
mod copy;
mod database;
mod digest;
mod facts;
mod failure;
mod follow;
mod generation;
mod ledgers;
mod models;
mod places;
mod rebuild;
mod rows;
mod schema;
mod setup;
mod transactions;
mod values;
mod views;
mod wire;

use std::sync::Arc;

use ports::history::History;
use ports::projection::{Projection, ProjectionError, ProjectionSwitch};
use ports::views::{FactsSource, Views};
use schemas::record::LogId;

pub use config::PostgresConfig;
pub use setup::OpenError;

use models::ReadModels;

/// The read models of a log.
pub struct Postgres {
    models: Arc<ReadModels>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("schema", &self.models.schema())
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Makes or upgrades the schema, its tables and views; gives those who may read the schema
    /// the right to read the live generation. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn setup(
        config: &PostgresConfig,
        log_id: LogId,
        shard_count: u32,
    ) -> Result<(), OpenError> {
        setup::run(config, log_id, shard_count).await
    }

    /// Removes the schema, every generation and all that depends on them. The log can make them
    /// again.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn remove(config: &PostgresConfig) -> Result<(), OpenError> {
        setup::remove(config).await
    }

    /// Opens the read models of the log `log_id`, which [`Self::setup`] made. What an earlier
    /// version of Daybook made is opened too, but answers [`ProjectionError::Unusable`] until a
    /// rebuild is switched to.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        config: &PostgresConfig,
        log_id: LogId,
        shard_count: u32,
        history: Arc<dyn History>,
    ) -> Result<Self, OpenError> {
        let models = setup::open(config, log_id, shard_count, history, true).await?;
        Ok(Self {
            models: Arc::new(models),
        })
    }

    /// Opens them for reading alone, which needs no right but to read: whatever would write
    /// answers [`ProjectionError::Unavailable`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_read_only(
        config: &PostgresConfig,
        log_id: LogId,
        shard_count: u32,
        history: Arc<dyn History>,
    ) -> Result<Self, OpenError> {
        let models = setup::open(config, log_id, shard_count, history, false).await?;
        Ok(Self {
            models: Arc::new(models),
        })
    }

    /// To be written.
    pub fn projection(&self) -> Arc<dyn Projection> {
        self.models.clone()
    }

    /// To be rebuilt.
    pub fn switch(&self) -> Arc<dyn ProjectionSwitch> {
        Arc::new(rebuild::Switch(self.models.clone()))
    }

    /// To be read.
    pub fn views(&self) -> Arc<dyn Views> {
        self.models.clone()
    }

    /// To load facts.
    pub fn facts(&self) -> Arc<dyn FactsSource> {
        self.models.clone()
    }

    /// Whether Postgres answers now.
    ///
    /// # Errors
    /// [`ProjectionError::Unavailable`] says why it does not.
    pub async fn reachable(&self) -> Result<(), ProjectionError> {
        self.models.reachable().await
    }

    /// Ends following the checkpoints and closes all connections; waits for those in use.
    pub async fn close(&self) {
        self.models.close().await;
    }
}
