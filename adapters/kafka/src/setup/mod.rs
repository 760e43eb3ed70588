//! Making and checking the topics that a log lives in.

mod identity;
mod reach;
mod topics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ports::log::LogError;
use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use schemas::limits::CLUSTER_SHARDS_MAX;
use schemas::record::LogId;

use crate::connection::Connection;
use crate::error::log_error;
pub use identity::Identity;

/// How long a question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What [`setup`] is to make, or to find.
#[derive(Debug, Clone, Copy)]
pub struct SetupOptions {
    /// Shards of the log: partitions of its topics. It never changes.
    pub shard_count: u32,
    /// Whether one broker without replicas will do. What such a broker acknowledged is not safe
    /// against a loss of power: Kafka does not wait for the disk.
    pub single_broker: bool,
    /// Id of a new log, where it continues one that is elsewhere; at random without.
    pub log_id: Option<LogId>,
}

/// Something about the cluster that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The topic, or the cluster.
    pub subject: String,
    /// What is wrong, and what it must be.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

/// What [`setup`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub log_id: LogId,
    /// Its shards.
    pub shard_count: u32,
    /// Topics that were made; the others were there.
    pub created: Vec<String>,
    /// What could not be checked, since this user may not ask.
    pub unchecked: Vec<Finding>,
}

/// Why there is no log to work with.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The cluster or a topic is not as it must be. Nothing that was there was changed.
    #[error("Kafka is not as it must be:\n{}", list(.0))]
    Refused(Vec<Finding>),
    /// The brokers could not be asked.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn list(findings: &[Finding]) -> String {
    let lines: Vec<_> = findings.iter().map(|found| format!("- {found}")).collect();
    lines.join("\n")
}

/// Makes the topics of the log that are missing, checks those that are there, and writes or
/// checks which log it is. Can be run again at any time, and by several at once.
///
/// # Errors
/// [`SetupError::Refused`] lists all that is wrong.
pub async fn setup(connection: &Connection, options: SetupOptions) -> Result<Report, SetupError> {
    if options.shard_count == 0 || options.shard_count > CLUSTER_SHARDS_MAX {
        return Err(SetupError::Refused(vec![Finding {
            subject: "shards".to_owned(),
            what: format!(
                "{} were asked for: 1 to {CLUSTER_SHARDS_MAX}",
                options.shard_count
            ),
        }]));
    }
    let admin = admin(connection)?;
    let mut findings = topics::cluster(&admin, options).await?;
    if !findings.is_empty() {
        return Err(SetupError::Refused(findings));
    }
    let created = topics::create(&admin, connection.topics(), options, &mut findings).await?;
    if !findings.is_empty() {
        return Err(SetupError::Refused(findings));
    }
    let mut unchecked = Vec::new();
    topics::check(
        &admin,
        connection.topics(),
        options,
        &mut findings,
        &mut unchecked,
    )
    .await?;
    if !findings.is_empty() {
        return Err(SetupError::Refused(findings));
    }
    let identity = identity::agree(connection, options).await?;
    if identity.shard_count != options.shard_count {
        findings.push(Finding {
            subject: connection.topics().identity.to_string(),
            what: format!(
                "the log has {} shards, which never changes, and {} were asked for",
                identity.shard_count, options.shard_count
            ),
        });
    }
    if let Some(log_id) = options.log_id
        && log_id != identity.log_id
    {
        findings.push(Finding {
            subject: connection.topics().identity.to_string(),
            what: format!(
                "log {} lives here, and {log_id} was asked for",
                identity.log_id
            ),
        });
    }
    match findings.is_empty() {
        true => Ok(Report {
            log_id: identity.log_id,
            shard_count: identity.shard_count,
            created,
            unchecked,
        }),
        false => Err(SetupError::Refused(findings)),
    }
}

/// Which log the topics hold, where they are there and have its partitions.
///
/// # Errors
/// [`LogError::Unusable`] says what is missing or wrong.
pub async fn check(connection: &Connection) -> Result<Identity, LogError> {
    let admin = admin(connection)?;
    topics::present(&admin, connection.topics()).await?;
    let identity = identity::read(connection).await?.ok_or_else(|| {
        LogError::Unusable(format!(
            "no log was made in topic {}: run daybook setup",
            connection.topics().identity
        ))
    })?;
    topics::partitions(&admin, connection.topics(), identity.shard_count).await?;
    Ok(identity)
}

/// A client that makes and asks about topics.
pub(crate) type Admin = Arc<AdminClient<MadeBy>>;

/// What an admin client was made with.
pub(crate) struct MadeBy(Connection);

impl ClientContext for MadeBy {}

/// See [`Admin`].
pub(crate) fn admin(connection: &Connection) -> Result<Admin, LogError> {
    connection
        .client()
        .create_with_context(MadeBy(connection.clone()))
        .map(Arc::new)
        .map_err(|error| log_error("reaching the brokers", &error))
}
