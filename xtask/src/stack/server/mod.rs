//! The servers of a stack, one module each.

mod bigtable;
mod kafka;
mod minio;
mod postgres;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::ports::Ports;
use super::versions::Versions;
use super::{StackError, Tls, tools};

/// The name and password that the stack's servers take; they listen on 127.0.0.1 alone.
pub const USER: &str = "daybook";
/// Its password.
pub const PASSWORD: &str = "daybook-local";

/// One of the servers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// Apache Kafka.
    Kafka,
    /// The Bigtable emulator.
    Bigtable,
    /// PostgreSQL.
    Postgres,
    /// MinIO.
    Minio,
}

/// What a server needs to know of its stack.
#[derive(Debug)]
pub struct Place<'a> {
    /// The project's root, with its configuration files under `infra/`.
    pub root: &'a Path,
    /// The server's own folder.
    pub folder: &'a Path,
    /// The stack's ports.
    pub ports: Ports,
    /// What is pinned.
    pub versions: &'a Versions,
    /// What was fetched.
    pub cache: &'a Cache,
    /// Certificates, where the servers have TLS.
    pub tls: Option<Tls>,
}

impl Server {
    /// All of them, those that take longest to start first.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Minio, Self::Bigtable];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Bigtable => "bigtable",
            Self::Postgres => "postgres",
            Self::Minio => "minio",
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(self, ports: Ports) -> u16 {
        match self {
            Self::Kafka => ports.kafka(),
            Self::Bigtable => ports.bigtable(),
            Self::Postgres => ports.postgres(),
            Self::Minio => ports.minio(),
        }
    }

    /// The version that is pinned.
    #[must_use]
    pub fn version(self, versions: &Versions) -> String {
        match self {
            Self::Kafka => versions.kafka.version.clone(),
            Self::Bigtable => versions.bigtable.version.clone(),
            Self::Postgres => versions.postgres.major.to_string(),
            Self::Minio => versions.minio.version.clone(),
        }
    }

    /// What is missing on this machine to start it.
    #[must_use]
    pub fn missing(self, versions: &Versions, cache: &Cache) -> Vec<String> {
        let fetched = cache.holds(self.name(), &self.version(versions));
        let go = || {
            (!fetched)
                .then(|| {
                    tools::missing(
                        "go",
                        "builds the Bigtable emulator and MinIO",
                        tools::GET_GO,
                    )
                })
                .flatten()
        };
        match self {
            Self::Kafka => {
                let maven = (!fetched)
                    .then(|| tools::missing("mvn", "fetches Kafka", tools::GET_MAVEN))
                    .flatten();
                let java = tools::missing("java", "runs Kafka", tools::GET_JAVA);
                java.into_iter().chain(maven).collect()
            }
            Self::Bigtable | Self::Minio => go().into_iter().collect(),
            Self::Postgres => postgres::missing(versions).into_iter().collect(),
        }
    }

    /// Fetches or builds it, unless that was done before.
    ///
    /// # Errors
    /// [`StackError`] when it cannot be had.
    pub fn fetch(
        self,
        versions: &Versions,
        cache: &Cache,
        say: &dyn Fn(&str),
    ) -> Result<(), StackError> {
        match self {
            Self::Kafka => cache.kafka(&versions.kafka, say).map(drop),
            Self::Bigtable => cache.go(self.name(), &versions.bigtable, say).map(drop),
            Self::Minio => cache.go(self.name(), &versions.minio, say).map(drop),
            Self::Postgres => Ok(()),
        }
    }

    /// Writes its configuration, makes its data folder where there is none, and says how to start it.
    ///
    /// # Errors
    /// [`StackError`] when that cannot be done.
    pub fn prepare(self, place: &Place<'_>) -> Result<Command, StackError> {
        match self {
            Self::Kafka => kafka::prepare(place),
            Self::Bigtable => bigtable::prepare(place),
            Self::Postgres => postgres::prepare(place),
            Self::Minio => minio::prepare(place),
        }
    }

    /// Whether it takes requests.
    #[must_use]
    pub fn is_ready(self, place: &Place<'_>) -> bool {
        match self {
            Self::Kafka => super::probe::kafka(kafka::probed(place)),
            Self::Bigtable => super::probe::grpc(place.ports.bigtable()),
            Self::Postgres => postgres::is_ready(place),
            Self::Minio => minio::is_ready(place),
        }
    }

    /// The signal by which it ends in order, without waiting for its clients.
    #[must_use]
    pub const fn end_signal(self) -> Signal {
        match self {
            // Postgres takes SIGTERM as "when all clients have gone".
            Self::Postgres => Signal::INT,
            _ => Signal::TERM,
        }
    }

    /// How often it is started again when it ends before it is ready. Postgres refuses to start as
    /// long as a process of its killed predecessor still lives.
    #[must_use]
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Postgres => 5,
            _ => 1,
        }
    }

    /// Folders of it outside the stack's own, to be removed with it.
    #[must_use]
    pub fn folders_elsewhere(self, folder: &Path) -> Vec<PathBuf> {
        match self {
            Self::Postgres => postgres::folders_elsewhere(folder),
            _ => Vec::new(),
        }
    }

    /// The variables by which programs find it.
    #[must_use]
    pub fn env(self, ports: Ports) -> Vec<(&'static str, String)> {
        let at = format!("127.0.0.1:{}", self.port(ports));
        match self {
            Self::Kafka => {
                let lanes: Vec<String> = ports
                    .lanes()
                    .iter()
                    .map(|lane| format!("{}={}", lane.proxy, lane.broker))
                    .collect();
                vec![
                    ("DAYBOOK_KAFKA", at),
                    ("DAYBOOK_KAFKA_LANES", lanes.join(",")),
                ]
            }
            Self::Bigtable => vec![("DAYBOOK_BIGTABLE", at)],
            Self::Postgres => vec![(
                "DAYBOOK_POSTGRES",
                format!("postgres://{USER}:{PASSWORD}@{at}/{USER}"),
            )],
            Self::Minio => vec![
                ("DAYBOOK_S3", format!("http://{at}")),
                ("DAYBOOK_S3_ACCESS_KEY", USER.to_owned()),
                ("DAYBOOK_S3_SECRET_KEY", PASSWORD.to_owned()),
            ],
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kafka => "Kafka",
            Self::Bigtable => "the Bigtable emulator",
            Self::Postgres => "Postgres",
            Self::Minio => "MinIO",
        })
    }
}
