//! `daybook.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cluster::{
    BigtableSection, ClusterSection, KafkaSection, PostgresSection, S3Section, Sections,
};
use super::{FILE, LogFormat, Profile, Role};
use crate::client::failure::{Failure, Kind, did_you_mean};

/// `daybook.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) profile: Option<Profile>,
    pub(super) roles: Option<Vec<Role>>,
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) operations_listen: Option<SocketAddr>,
    pub(super) shards: Option<u32>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log: Option<String>,
    pub(super) accept_clock: Option<bool>,
    pub(super) snapshot_every_records: Option<u64>,
    #[serde(default)]
    cluster: ClusterSection,
    #[serde(default)]
    kafka: KafkaSection,
    #[serde(default)]
    postgres: PostgresSection,
    #[serde(default)]
    bigtable: BigtableSection,
    #[serde(default)]
    s3: S3Section,
}

/// All keys of all sections, for `did you mean`.
const FIELDS: &[&str] = &[
    "profile",
    "roles",
    "data",
    "listen",
    "operations_listen",
    "shards",
    "log_format",
    "log",
    "accept_clock",
    "snapshot_every_records",
    "name",
    "advertise",
    "servers",
    "topics",
    "tls",
    "ca_file",
    "certificate_file",
    "key_file",
    "sasl_mechanism",
    "username",
    "password",
    "password_file",
    "url",
    "url_file",
    "schema",
    "connections",
    "address",
    "project",
    "instance",
    "tables",
    "credentials_file",
    "endpoint",
    "region",
    "bucket",
    "folder",
    "access_key",
    "access_key_file",
    "secret_key",
    "secret_key_file",
    "[cluster]",
    "[kafka]",
    "[postgres]",
    "[bigtable]",
    "[s3]",
];

impl File {
    /// The file that was named, or the usual one where it is there.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, Failure> {
        match named {
            Some(path) => read(path),
            None if Path::new(FILE).exists() => read(Path::new(FILE)),
            None => Ok(Self::default()),
        }
    }

    pub(super) fn sections(&self) -> Sections {
        Sections {
            cluster: self.cluster.clone(),
            kafka: self.kafka.clone(),
            postgres: self.postgres.clone(),
            bigtable: self.bigtable.clone(),
            s3: self.s3.clone(),
        }
    }
}

fn read(path: &Path) -> Result<File, Failure> {
    let wrong = |message: String| Failure::new(Kind::Usage, "CONFIG_INVALID", message);
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        let field = text
            .lines()
            .nth(line.saturating_sub(1))
            .and_then(|line| line.split('=').next())
            .map(str::trim)
            .unwrap_or_default();
        // The message of the parser quotes no values, so no secret either.
        let failure = wrong(format!(
            "{}, line {line}, {field}: {}",
            path.display(),
            error.message()
        ));
        match did_you_mean(field, FIELDS.iter().copied()) {
            Some(near) if !FIELDS.contains(&field) => failure.hint(format!("did you mean {near}?")),
            _ => failure,
        }
    })
}
