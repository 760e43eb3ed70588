//! What each topic must be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::log::LogError;
use rdkafka::admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::reach::Listener;
use super::{Admin, Finding, PATIENCE, SetupOptions};
use crate::connection::Topics;
use crate::error::{is_refusal, log_error};

/// Copies of everything in production.
const REPLICAS: i32 = 3;
/// Copies that an acknowledged write has at least.
const IN_SYNC: i32 = 2;
/// The topic of the brokers' own that transactions are decided in.
const TRANSACTIONS: &str = "__transaction_state";

/// What a topic must be.
struct Wanted<'a> {
    name: &'a str,
    partitions: u32,
    /// Made with these, and held to them.
    config: &'static [(&'static str, &'static str)],
    /// Made with these; operators may choose others.
    chosen: &'static [(&'static str, &'static str)],
}

fn wanted(topics: &Topics, shard_count: u32) -> Vec<Wanted<'_>> {
    const KEPT: &[(&str, &str)] = &[
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "2000000"),
    ];
    const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];
    const DELETED: &[(&str, &str)] = &[("cleanup.policy", "delete")];
    const MONTH: &[(&str, &str)] = &[
        ("retention.ms", "2592000000"),
        ("max.message.bytes", "2000000"),
    ];
    const FOREVER: &[(&str, &str)] = &[("retention.ms", "-1"), ("max.message.bytes", "2000000")];
    const HOUR: &[(&str, &str)] = &[("retention.ms", "3600000"), ("segment.ms", "3600000")];
    let topic = |name, partitions, config, chosen| Wanted {
        name,
        partitions,
        config,
        chosen,
    };
    vec![
        topic(&topics.events, shard_count, KEPT, &[]),
        topic(&topics.outcomes, shard_count, DELETED, MONTH),
        topic(&topics.dead_letters, shard_count, DELETED, FOREVER),
        topic(&topics.deposits, shard_count, DELETED, MONTH),
        topic(&topics.withdrawals, shard_count, DELETED, MONTH),
        topic(&topics.transfers, shard_count, DELETED, MONTH),
        topic(&topics.owners, 1, COMPACTED, &[]),
        topic(&topics.identity, 1, COMPACTED, &[]),
        topic(&topics.confirmations, shard_count, DELETED, HOUR),
    ]
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}

/// The cluster as it says it is.
async fn metadata(admin: &Admin) -> Result<Metadata, LogError> {
    const DOING: &str = "asking the brokers what they hold";
    let admin = Arc::clone(admin);
    let asked = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let mut listening = None;
        loop {
            let asked = admin.inner().fetch_metadata(None, Duration::from_secs(3));
            let error = match asked {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let listener = match listening.take() {
                Some(listener) => listener,
                None => Listener::new(&admin.inner().context().0)?,
            };
            if let Some(verdict) = listener.verdict(DOING) {
                return Err(verdict);
            }
            if started.elapsed() >= PATIENCE {
                return Err(listener.explain(DOING, &error));
            }
            listening = Some(listener);
        }
    });
    asked
        .await
        .unwrap_or_else(|error| Err(LogError::Unavailable(error.to_string())))
}

/// What is wrong with the cluster itself.
pub(super) async fn cluster(admin: &Admin, wished: SetupOptions) -> Result<Vec<Finding>, LogError> {
    let metadata = metadata(admin).await?;
    let mut findings = Vec::new();
    if wished.single_broker {
        return Ok(findings);
    }
    let mut found = |what: String| {
        findings.push(Finding {
            subject: "cluster".to_owned(),
            what,
        });
    };
    let brokers = metadata.brokers().len();
    if brokers < REPLICAS as usize {
        found(format!(
            "it has {brokers} broker(s), and {REPLICAS} copies of everything are wanted; \
             --single-broker does with less, which is not safe against a loss of power"
        ));
    }
    let Some(broker) = metadata.brokers().first() else {
        return Ok(findings);
    };
    let config = match describe(admin, &[ResourceSpecifier::Broker(broker.id())]).await {
        Ok(mut described) => described.pop(),
        // What this user may not ask is said by [`check`].
        Err(error) if error.rdkafka_error_code().is_some_and(is_refusal) => None,
        Err(error) => return Err(log_error("asking how the brokers are configured", &error)),
    };
    let Some(Ok(config)) = config else {
        return Ok(findings);
    };
    let made = topic_of(&metadata, TRANSACTIONS);
    let replicas =
        made.and_then(|topic| topic.partitions().iter().map(|p| p.replicas().len()).min());
    match replicas {
        Some(replicas) if (replicas as i32) < REPLICAS => found(format!(
            "{TRANSACTIONS} has {replicas} copies of a partition, and {REPLICAS} are wanted"
        )),
        Some(_) => {}
        None => {
            if let Some(factor) = number(&config, "transaction.state.log.replication.factor")
                && factor < i64::from(REPLICAS)
            {
                found(format!(
                    "transaction.state.log.replication.factor is {factor}, and {REPLICAS} is wanted"
                ));
            }
        }
    }
    if let Some(in_sync) = number(&config, "transaction.state.log.min.isr")
        && in_sync < i64::from(IN_SYNC)
    {
        found(format!(
            "transaction.state.log.min.isr is {in_sync}, and {IN_SYNC} is wanted"
        ));
    }
    Ok(findings)
}

fn topic_of<'a>(
    metadata: &'a Metadata,
    name: &str,
) -> Option<&'a rdkafka::metadata::MetadataTopic> {
    metadata
        .topics()
        .iter()
        .find(|topic| topic.name() == name && !topic.partitions().is_empty())
}

fn number(config: &ConfigResource, name: &str) -> Option<i64> {
    config.get(name)?.value.as_deref()?.parse().ok()
}

async fn describe(
    admin: &Admin,
    resources: &[ResourceSpecifier<'_>],
) -> Result<Vec<Result<ConfigResource, RDKafkaErrorCode>>, KafkaError> {
    admin.describe_configs(resources, &options()).await
}

/// Makes the topics that are missing, and gives their names.
pub(super) async fn create(
    admin: &Admin,
    topics: &Topics,
    wished: SetupOptions,
    findings: &mut Vec<Finding>,
) -> Result<Vec<String>, LogError> {
    let there = metadata(admin).await?;
    let (replicas, in_sync) = match wished.single_broker {
        true => (1, "1".to_owned()),
        false => (REPLICAS, IN_SYNC.to_string()),
    };
    let wanted = wanted(topics, wished.shard_count);
    let missing: Vec<_> = wanted
        .iter()
        .filter(|topic| topic_of(&there, topic.name).is_none())
        .collect();
    let new: Vec<_> = missing
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(replicas);
            let mut new = NewTopic::new(topic.name, topic.partitions as i32, replication)
                .set("min.insync.replicas", &in_sync)
                .set("unclean.leader.election.enable", "false");
            for (name, value) in topic.config.iter().chain(topic.chosen) {
                new = new.set(name, value);
            }
            new
        })
        .collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let results = admin
        .create_topics(&new, &options())
        .await
        .map_err(|error| log_error("making topics", &error))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            // Another setup came first; what it made is checked like anything else.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => findings.push(Finding {
                subject: name,
                what: match is_refusal(code) {
                    true => "this user may not make it: grant Create on the topic".to_owned(),
                    false => format!("it could not be made: {code}"),
                },
            }),
        }
    }
    Ok(created)
}

/// Checks every topic: partitions, copies, configuration.
pub(super) async fn check(
    admin: &Admin,
    topics: &Topics,
    wished: SetupOptions,
    findings: &mut Vec<Finding>,
    unchecked: &mut Vec<Finding>,
) -> Result<(), LogError> {
    let wanted = wanted(topics, wished.shard_count);
    let names: Vec<_> = wanted.iter().map(|topic| topic.name).collect();
    let metadata = settled(admin, &names).await?;
    let mut found = |subject: &str, what: String| {
        findings.push(Finding {
            subject: subject.to_owned(),
            what,
        });
    };
    for topic in &wanted {
        let Some(there) = topic_of(&metadata, topic.name) else {
            found(topic.name, "it is not there".to_owned());
            continue;
        };
        let partitions = there.partitions().len();
        if partitions != topic.partitions as usize {
            found(
                topic.name,
                format!(
                    "it has {partitions} partition(s), and must have {}",
                    topic.partitions
                ),
            );
        }
        let copies = there.partitions().iter().map(|p| p.replicas().len()).min();
        if !wished.single_broker && copies.is_some_and(|copies| (copies as i32) < REPLICAS) {
            found(
                topic.name,
                format!(
                    "it has {} copies of a partition, and must have {REPLICAS}",
                    copies.unwrap_or(0)
                ),
            );
        }
    }
    let resources: Vec<_> = names
        .iter()
        .map(|name| ResourceSpecifier::Topic(name))
        .collect();
    let described = match describe(admin, &resources).await {
        Ok(described) => described,
        Err(error) if error.rdkafka_error_code().is_some_and(is_refusal) => Vec::new(),
        Err(error) => return Err(log_error("asking how the topics are configured", &error)),
    };
    for (n, topic) in wanted.iter().enumerate() {
        match described.get(n) {
            Some(Ok(config)) => {
                for (name, must) in topic.config {
                    compare(config, name, must, |what| found(topic.name, what));
                }
                if !wished.single_broker {
                    compare(config, "unclean.leader.election.enable", "false", |what| {
                        found(topic.name, what);
                    });
                    if let Some(in_sync) = number(config, "min.insync.replicas")
                        && in_sync < i64::from(IN_SYNC)
                    {
                        let what =
                            format!("min.insync.replicas is {in_sync}, and {IN_SYNC} is wanted");
                        found(topic.name, what);
                    }
                }
            }
            Some(Err(code)) if !is_refusal(*code) => {
                found(
                    topic.name,
                    format!("its configuration cannot be read: {code}"),
                );
            }
            _ => unchecked.push(Finding {
                subject: topic.name.to_owned(),
                what: "this user may not read its configuration: grant DescribeConfigs to have \
                       it checked"
                    .to_owned(),
            }),
        }
    }
    Ok(())
}

fn compare(config: &ConfigResource, name: &str, must: &str, found: impl FnOnce(String)) {
    let Some(is) = config.get(name).and_then(|entry| entry.value.as_deref()) else {
        return;
    };
    let good = match (name, is.parse::<i64>(), must.parse::<i64>()) {
        ("max.message.bytes", Ok(is), Ok(must)) => is >= must,
        _ => is == must,
    };
    if !good {
        found(format!("{name} is {is}, and must be {must}"));
    }
}

/// The cluster once all topics of `names` that are there have leaders.
async fn settled(admin: &Admin, names: &[&str]) -> Result<Metadata, LogError> {
    let started = Instant::now();
    loop {
        let metadata = metadata(admin).await?;
        let ready = names.iter().all(|name| {
            topic_of(&metadata, name)
                .is_some_and(|topic| topic.partitions().iter().all(|p| p.leader() >= 0))
        });
        if ready || started.elapsed() > PATIENCE {
            return Ok(metadata);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Refuses where a topic is not there.
pub(super) async fn present(admin: &Admin, topics: &Topics) -> Result<(), LogError> {
    let metadata = metadata(admin).await?;
    let missing: Vec<_> = wanted(topics, 1)
        .iter()
        .filter(|topic| topic_of(&metadata, topic.name).is_none())
        .map(|topic| topic.name.to_owned())
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(LogError::Unusable(format!(
            "topics are missing, or hidden from this user: {}; run daybook setup",
            missing.join(", ")
        ))),
    }
}

/// Refuses where a topic does not have the partitions of a log with `shard_count` shards.
pub(super) async fn partitions(
    admin: &Admin,
    topics: &Topics,
    shard_count: u32,
) -> Result<(), LogError> {
    let metadata = metadata(admin).await?;
    for topic in wanted(topics, shard_count) {
        let partitions =
            topic_of(&metadata, topic.name).map_or(0, |there| there.partitions().len());
        if partitions != topic.partitions as usize {
            return Err(LogError::Unusable(format!(
                "topic {} has {partitions} partition(s), and the log has {shard_count} shards",
                topic.name
            )));
        }
    }
    Ok(())
}
