//! The pinned versions of the servers: `infra/versions.toml`.

use std::path::Path;

use serde::Deserialize;

use super::{StackError, files};

/// What is pinned.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Versions {
    /// Apache Kafka.
    pub kafka: Kafka,
    /// The Bigtable emulator.
    pub bigtable: GoModule,
    /// MinIO.
    pub minio: GoModule,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// What the Dockerfile builds with.
    pub images: Images,
}

/// Kafka's pins.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kafka {
    /// Of the broker.
    pub version: String,
    /// Of what it logs through.
    pub slf4j: String,
    /// Of the Maven plugin that copies the jars.
    pub dependency_plugin: String,
}

/// A server that is built from a Go module.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GoModule {
    /// What `go install` takes.
    pub module: String,
    /// At which version.
    pub version: String,
}

/// PostgreSQL's pins.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Postgres {
    /// The least major version that is taken from the system, and the one that is preferred.
    pub major: u32,
    /// The image's tag.
    pub version: String,
}

/// Base images.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Images {
    /// Builds Daybook.
    pub rust: String,
    /// Builds the servers that come as Go source.
    pub golang: String,
    /// Runs them.
    pub runtime: String,
}

impl Versions {
    /// Reads `infra/versions.toml` under `root`.
    ///
    /// # Errors
    /// [`StackError::Versions`] where it is not as it should be.
    pub fn read(root: &Path) -> Result<Self, StackError> {
        let path = root.join("infra/versions.toml");
        toml::from_str(&files::read(&path)?).map_err(|error| StackError::Versions {
            path,
            reason: error.to_string(),
        })
    }
}
