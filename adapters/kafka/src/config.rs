//! How the brokers are reached.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How the brokers are reached, and what Daybook's topics are called there.
#[derive(Debug, Clone, Default)]
pub struct KafkaConfig {
    /// `host:port`, several with commas between them.
    pub bootstrap_servers: String,
    /// How this process calls itself in the brokers' logs and quotas.
    pub client_id: String,
    /// Stands before every topic, transactional id and group of this log, so that several logs
    /// can live on one cluster. Mostly empty.
    pub prefix: String,
    /// TLS; without it the connection is not encrypted.
    pub tls: Option<Tls>,
    /// How this process proves who it is.
    pub sasl: Option<Sasl>,
    /// Properties of librdkafka that are set on every client, for what has no field here.
    pub properties: BTreeMap<String, Secret>,
}

/// TLS towards the brokers.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates of those who are trusted (PEM); the system's without.
    pub ca_file: Option<PathBuf>,
    /// This process's own certificate (PEM), where the brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
}

/// SASL towards the brokers.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// Their password.
    pub password: Secret,
}

/// A text that no log shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever it was meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let config = KafkaConfig {
            sasl: Some(Sasl {
                mechanism: "PLAIN".to_owned(),
                username: "daybook".to_owned(),
                password: Secret::new("hunter2"),
            }),
            tls: Some(Tls {
                key_password: Some(Secret::new("hunter3")),
                ..Tls::default()
            }),
            properties: BTreeMap::from([("x".to_owned(), Secret::new("hunter4"))]),
            ..KafkaConfig::default()
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("daybook"));
    }
}
