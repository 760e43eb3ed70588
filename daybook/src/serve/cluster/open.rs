//! Opens the stores of a cluster.

use std::sync::Arc;

use adapter_bigtable::Bigtable;
use adapter_kafka::{ClaimGate, Connection, KafkaLog};
use adapter_object_store::ObjectSnapshots;
use adapter_postgres::Postgres;
use ports::log::EventLog;

use super::log::WholeLog;
use super::patience::{Trouble, patiently};
use super::settings;
use crate::client::failure::Failure;
use crate::serve::config::Cluster;
use crate::serve::node::Stores;
use crate::serve::operations::Waiting;

/// The stores of a cluster, opened.
pub struct Opened {
    /// By port.
    pub stores: Stores,
    /// The log's own medium, without the archive.
    pub kafka: Arc<KafkaLog>,
    postgres: Arc<Postgres>,
}

/// The log alone.
///
/// # Errors
/// It is not there, or not as it must be.
pub async fn open_log(
    connection: &Connection,
    gate: Option<Arc<dyn ClaimGate>>,
    waiting: Option<&Waiting>,
) -> Result<Arc<KafkaLog>, Failure> {
    let open = || KafkaLog::open(connection.clone(), gate.clone());
    patiently("Kafka", waiting, open).await.map(Arc::new)
}

/// The whole of the log, the archive included, for who needs nothing else.
///
/// # Errors
/// It is not there, or not as it must be.
pub async fn open_whole(cluster: &Cluster) -> Result<Arc<dyn EventLog>, Failure> {
    let connection = Connection::new(settings::kafka(cluster)?);
    let kafka = open_log(&connection, None, None).await?;
    let bigtable = Bigtable::open(settings::bigtable(cluster), kafka.log_id()).await;
    let archive = bigtable.archive();
    Ok(Arc::new(WholeLog::new(kafka, archive.as_ref())))
}

/// All of them. With `waiting` what cannot be reached is waited for.
///
/// # Errors
/// A store is not there, or not as it must be.
pub async fn open(
    cluster: &Cluster,
    kafka: Arc<KafkaLog>,
    waiting: Option<&Waiting>,
) -> Result<Opened, Failure> {
    let (log_id, shard_count) = (kafka.log_id(), kafka.shard_count());
    // Not waited for: it answers by itself when it is there.
    let bigtable = Bigtable::open(settings::bigtable(cluster), log_id).await;
    match bigtable.check().await.map_err(Trouble::from) {
        Ok(()) => {}
        Err(Trouble::Later(why)) if waiting.is_some() => {
            tracing::warn!(%why, "Bigtable cannot be reached yet; the read models wait for it");
        }
        Err(trouble) => return Err(trouble.failure()),
    }
    let config = settings::postgres(cluster);
    let postgres = patiently("Postgres", waiting, || {
        Postgres::open(&config, log_id, shard_count, bigtable.history())
    })
    .await?;
    let snapshots = ObjectSnapshots::s3(&settings::s3(cluster)?)
        .map_err(|error| Failure::broken(error.to_string()))?;
    let own = kafka.reader();
    let log: Arc<dyn EventLog> = Arc::clone(&kafka) as _;
    let archive = bigtable.archive();
    Ok(Opened {
        stores: Stores {
            log: Arc::new(WholeLog::new(log, archive.as_ref())),
            own,
            projection: postgres.projection(),
            switch: postgres.switch(),
            views: postgres.views(),
            facts: postgres.facts(),
            snapshots: Arc::new(snapshots),
            history: Some(bigtable.history()),
            archive: Some(archive),
        },
        kafka,
        postgres: Arc::new(postgres),
    })
}

impl Opened {
    /// Closes all connections.
    pub async fn close(self) {
        let Self {
            stores, postgres, ..
        } = self;
        drop(stores);
        postgres.close().await;
    }
}
