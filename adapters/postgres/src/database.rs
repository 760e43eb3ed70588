//! Connections to Postgres.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;

use crate::config::PostgresConfig;
use crate::failure::{Cause, Failure};
use crate::setup::OpenError;

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// To answer queries.
    Queries,
    /// To load facts.
    Facts,
    /// To write.
    Apply,
}

/// The connections, and the names of what they reach.
pub(crate) struct Database {
    options: PgConnectOptions,
    /// The schema, without quotes.
    pub(crate) schema: String,
    /// See [`PostgresConfig::answer_timeout`].
    pub(crate) answer_timeout: Duration,
    queries: PgPool,
    facts: PgPool,
    apply: PgPool,
    /// The runtime that connections are opened on. A rebuild runs on one of its own, which ends;
    /// a connection that was opened there would end with it.
    pub(crate) home: Handle,
}

impl Database {
    /// Opens nothing yet. Must be called on the runtime that lives as long as this does.
    pub(crate) fn new(config: &PostgresConfig) -> Result<Self, OpenError> {
        let options = config.options()?;
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.acquire_timeout)
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            schema: config.schema.clone(),
            answer_timeout: config.answer_timeout,
            queries: pool(config.query_connections),
            facts: pool(config.facts_connections),
            apply: pool(config.apply_connections),
            options,
            home: Handle::current(),
        })
    }

    /// The channel that is told when a checkpoint moved or a generation was switched.
    pub(crate) fn channel(&self) -> &str {
        &self.schema
    }

    /// What a connection beside the pools is opened with.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A connection. An idle one is given without asking whether it still lives, unless
    /// `tested`.
    pub(crate) async fn acquire(
        &self,
        lane: Lane,
        tested: bool,
    ) -> Result<PoolConnection<Postgres>, Failure> {
        let pool = match lane {
            Lane::Queries => &self.queries,
            Lane::Facts => &self.facts,
            Lane::Apply => &self.apply,
        };
        if !tested && let Some(connection) = pool.try_acquire() {
            return Ok(connection);
        }
        let opening = pool.acquire();
        match self.home.spawn(opening).await {
            Ok(opened) => Ok(opened?),
            // The runtime is ending.
            Err(_) => Err(sqlx::Error::PoolClosed.into()),
        }
    }

    /// A connection of its own, beside the pools.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
        let options = self.options.clone();
        let opening = self.home.spawn(async move { options.connect().await });
        match opening.await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(sqlx::Error::PoolClosed.into()),
        }
    }

    /// Closes all connections of the pools; waits for those in use.
    pub(crate) async fn close(&self) {
        for pool in [&self.queries, &self.facts, &self.apply] {
            pool.close().await;
        }
    }
}

/// How often a call was tried.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    lost: u32,
    conflicts: u32,
    missing: u32,
}

impl Tries {
    /// Whether the next connection is to be tested first.
    pub(crate) fn tested(&self) -> bool {
        self.lost > 0
    }

    /// Whether it was tried before.
    pub(crate) fn again(&self) -> bool {
        self.lost + self.conflicts + self.missing > 0
    }

    /// Whether what failed for `cause` is worth another try.
    pub(crate) fn worth(&mut self, cause: Cause) -> bool {
        let (count, most) = match cause {
            Cause::Lost => (&mut self.lost, 1),
            Cause::Conflict => (&mut self.conflicts, 5),
            Cause::Missing => (&mut self.missing, 2),
            _ => return false,
        };
        *count += 1;
        *count <= most
    }
}

/// Ends a connection that is no pool's, politely where it can be.
pub(crate) async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection to Postgres was not closed cleanly");
    }
}
