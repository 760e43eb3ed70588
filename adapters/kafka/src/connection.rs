//! What every client of the brokers begins with: the address, the keys, the names.

use std::fmt;
use std::sync::Arc;

use ports::log::SideTopic;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::KafkaConfig;

/// Names of the topics of one log, its prefix included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// The event log: one partition per shard.
    pub events: Arc<str>,
    /// What became of every command that came by a topic: one partition per shard.
    pub outcomes: Arc<str>,
    /// Records that are no commands: one partition per shard.
    pub dead_letters: Arc<str>,
    /// Deposits to be decided: one partition per shard.
    pub deposits: Arc<str>,
    /// Withdrawals to be decided: one partition per shard.
    pub withdrawals: Arc<str>,
    /// Transfers to be decided: one partition per shard.
    pub transfers: Arc<str>,
    /// Who serves which shard, and where: compacted, a hint for routing only.
    pub owners: Arc<str>,
    /// Which log this is: one partition, written once.
    pub identity: Arc<str>,
    /// Control records by which an idle writer proves that it was not deposed: one partition per
    /// shard, kept for an hour. They are no history, so they do not stand in the log.
    pub confirmations: Arc<str>,
}

impl Topics {
    /// The names behind `prefix`.
    pub fn new(prefix: &str) -> Self {
        let name = |name: &str| Arc::from(format!("{prefix}{name}"));
        Self {
            events: name("daybook.events"),
            outcomes: name("daybook.outcomes"),
            dead_letters: name("daybook.dead-letters"),
            deposits: name("deposits"),
            withdrawals: name("withdrawals"),
            transfers: name("transfers"),
            owners: name("daybook.owners"),
            identity: name("daybook.log"),
            confirmations: name("daybook.confirmations"),
        }
    }

    /// The three topics that commands come from.
    pub fn ingestion(&self) -> [&Arc<str>; 3] {
        [&self.deposits, &self.withdrawals, &self.transfers]
    }

    /// The name of a topic beside the log.
    pub fn side(&self, topic: SideTopic) -> &Arc<str> {
        match topic {
            SideTopic::Outcomes => &self.outcomes,
            SideTopic::DeadLetters => &self.dead_letters,
        }
    }
}

/// How clients are made. Clones are cheap, and nothing is connected by it.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    config: KafkaConfig,
    topics: Topics,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.config.fmt(f)
    }
}

impl Connection {
    /// Clients as `config` says.
    pub fn new(config: KafkaConfig) -> Self {
        let topics = Topics::new(&config.prefix);
        Self {
            inner: Arc::new(Inner { config, topics }),
        }
    }

    /// The names of the topics.
    pub fn topics(&self) -> &Topics {
        &self.inner.topics
    }

    /// What it was made with.
    pub fn config(&self) -> &KafkaConfig {
        &self.inner.config
    }

    /// The transactional id of a shard's writer.
    pub fn transactional_id(&self, shard: u32) -> String {
        format!("{}daybook-shard-{shard}", self.inner.config.prefix)
    }

    /// The consumer group whose members own the shards.
    pub fn owners_group(&self) -> String {
        format!("{}daybook-owners", self.inner.config.prefix)
    }

    /// The group that readers of the log name. They never join it and commit nothing, but
    /// librdkafka assigns no partitions to a consumer without one.
    pub(crate) fn readers_group(&self) -> String {
        format!("{}daybook-readers", self.inner.config.prefix)
    }

    /// A configuration with everything that reaching the brokers needs, to be added to.
    pub fn client(&self) -> ClientConfig {
        let config = &self.inner.config;
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &config.bootstrap_servers)
            .set(
                "client.id",
                match config.client_id.is_empty() {
                    true => "daybook",
                    false => &config.client_id,
                },
            )
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("allow.auto.create.topics", "false")
            // Connections that fail are told at this level, and the writer counts them.
            .set_log_level(RDKafkaLogLevel::Info);
        let protocol = match (&config.tls, &config.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &config.tls {
            let files = [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.certificate_file),
                ("ssl.key.location", &tls.key_file),
            ];
            for (property, file) in files {
                if let Some(file) = file {
                    client.set(property, file.to_string_lossy());
                }
            }
            if let Some(password) = &tls.key_password {
                client.set("ssl.key.password", password.reveal());
            }
        }
        if let Some(sasl) = &config.sasl {
            client
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", sasl.password.reveal());
        }
        for (property, value) in &config.properties {
            client.set(property, value.reveal());
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sasl, Secret, Tls};

    #[test]
    fn security_is_what_was_configured() {
        let plain = Connection::new(KafkaConfig::default()).client();
        assert_eq!(plain.get("security.protocol"), Some("plaintext"));
        let safe = Connection::new(KafkaConfig {
            tls: Some(Tls {
                ca_file: Some("/etc/ca.pem".into()),
                ..Tls::default()
            }),
            sasl: Some(Sasl {
                mechanism: "SCRAM-SHA-512".to_owned(),
                username: "daybook".to_owned(),
                password: Secret::new("hunter2"),
            }),
            ..KafkaConfig::default()
        });
        let client = safe.client();
        assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(client.get("ssl.ca.location"), Some("/etc/ca.pem"));
        assert_eq!(client.get("sasl.password"), Some("hunter2"));
        assert!(!format!("{safe:?}").contains("hunter2"));
        assert!(client.create_native_config().is_ok(), "librdkafka takes it");
    }

    #[test]
    fn a_prefix_stands_before_every_name() {
        let connection = Connection::new(KafkaConfig {
            prefix: "test-".to_owned(),
            ..KafkaConfig::default()
        });
        let topics = connection.topics();
        assert_eq!(&*topics.events, "test-daybook.events");
        assert_eq!(&*topics.deposits, "test-deposits");
        assert_eq!(
            topics.side(SideTopic::DeadLetters),
            &Arc::from("test-daybook.dead-letters")
        );
        assert_eq!(connection.transactional_id(3), "test-daybook-shard-3");
    }
}
