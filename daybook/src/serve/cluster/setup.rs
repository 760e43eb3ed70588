//! Makes and checks what a cluster's parts live in.

use adapter_bigtable::Bigtable;
use adapter_kafka::Connection;
use adapter_kafka::setup::{SetupError, SetupOptions, setup as kafka};
use adapter_postgres::Postgres;
use schemas::record::LogId;

use super::patience::Trouble;
use super::settings;
use crate::client::failure::{Failure, Kind};
use crate::serve::config::Cluster;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Shards of a new log, and what an existing one must have.
    pub shards: u32,
    /// Whether one broker without replicas will do.
    pub single_broker: bool,
    /// Id of a new log that continues another; at random without.
    pub log_id: Option<LogId>,
}

/// What was done to one part.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Step {
    /// Which part.
    pub part: &'static str,
    /// Where it is.
    pub place: String,
    /// What was made.
    pub made: Vec<String>,
    /// What was there and is as it must be.
    pub found: Vec<String>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Done {
    /// The log.
    pub log_id: String,
    /// Its shards.
    pub shards: u32,
    /// Part by part.
    pub steps: Vec<Step>,
}

/// Makes topics, tables, schema and bucket where they are missing, and checks those that are
/// there. May be run again at any time.
///
/// # Errors
/// Something cannot be reached, may not be made, or is not as it must be; what was made before
/// stays, and the next setup goes on from there.
pub async fn setup(cluster: &Cluster, wanted: Wanted) -> Result<Done, Failure> {
    let connection = Connection::new(settings::kafka(cluster)?);
    let options = SetupOptions {
        shard_count: wanted.shards,
        single_broker: wanted.single_broker,
        log_id: wanted.log_id,
    };
    let made = kafka(&connection, options)
        .await
        .map_err(|error| match error {
            SetupError::Log(error) => Trouble::from(error).failure(),
            refused @ SetupError::Refused(_) => {
                let failure = Failure::new(Kind::Refused, "NOT_SET_UP", refused.to_string());
                match wanted.single_broker {
                    true => failure,
                    false => failure.hint(
                        "one broker, for development: --single-broker (not safe against a loss \
                         of power)",
                    ),
                }
            }
        })?;
    let mut steps = Vec::new();
    let topics = connection.topics();
    let all = [
        &topics.events,
        &topics.deposits,
        &topics.withdrawals,
        &topics.transfers,
        &topics.outcomes,
        &topics.dead_letters,
        &topics.owners,
        &topics.identity,
        &topics.confirmations,
    ];
    steps.push(Step {
        part: "kafka",
        place: cluster.kafka.servers.clone(),
        found: all
            .into_iter()
            .filter(|topic| !made.created.iter().any(|created| **created == ***topic))
            .map(|topic| topic.to_string())
            .collect(),
        made: made.created.clone(),
        unchecked: made.unchecked.iter().map(ToString::to_string).collect(),
    });
    let tables = Bigtable::setup(&settings::bigtable(cluster))
        .await
        .map_err(|error| Trouble::from(error).failure())?;
    steps.push(Step {
        part: "bigtable",
        place: cluster.bigtable.address.clone(),
        found: match tables.is_empty() {
            true => vec![format!("tables {}-*", cluster.bigtable.tables)],
            false => Vec::new(),
        },
        made: tables,
        unchecked: Vec::new(),
    });
    Postgres::setup(&settings::postgres(cluster), made.log_id, made.shard_count)
        .await
        .map_err(|error| Trouble::from(error).failure())?;
    steps.push(Step {
        part: "postgres",
        // Without the URL: it has the password.
        place: format!("schema {}", cluster.postgres.schema),
        made: Vec::new(),
        found: vec!["made or upgraded as this build needs it".to_owned()],
        unchecked: Vec::new(),
    });
    let bucket_made = settings::s3(cluster)?
        .setup()
        .await
        .map_err(|error| Trouble::from(error).failure())?;
    let bucket = format!("bucket {}", cluster.s3.bucket);
    let (made_bucket, found_bucket) = match bucket_made {
        true => (vec![bucket], Vec::new()),
        false => (Vec::new(), vec![bucket]),
    };
    steps.push(Step {
        part: "s3",
        place: cluster
            .s3
            .endpoint
            .clone()
            .unwrap_or_else(|| "AWS".to_owned()),
        made: made_bucket,
        found: found_bucket,
        unchecked: Vec::new(),
    });
    Ok(Done {
        log_id: made.log_id.to_string(),
        shards: made.shard_count,
        steps,
    })
}
