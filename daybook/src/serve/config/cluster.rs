//! Settings of the cluster profile: where Kafka, Postgres, Bigtable and the object store are.

use std::path::PathBuf;

use serde::Deserialize;

use super::secret::{Secret, secret};
use crate::client::failure::{Failure, Kind};

/// Where the parts of a cluster are, by flag or environment. Secrets have no flags, since
/// everybody on the machine could read them there.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster options")]
pub struct ClusterArgs {
    /// Names the cluster's topics, tables and folders; several may share the same servers.
    /// [default: daybook]
    #[arg(long, env = "DAYBOOK_CLUSTER", value_name = "NAME")]
    pub cluster: Option<String>,

    /// Kafka's bootstrap servers: host:port, more with commas. [default: 127.0.0.1:9092]
    #[arg(long, env = "DAYBOOK_KAFKA", value_name = "SERVERS")]
    pub kafka: Option<String>,

    /// Bigtable: host:port of an emulator, or https://bigtable.googleapis.com.
    /// [default: 127.0.0.1:8086]
    #[arg(long, env = "DAYBOOK_BIGTABLE", value_name = "ADDRESS")]
    pub bigtable: Option<String>,

    /// An S3-compatible store; the region's own of AWS where `[s3] endpoint` is "aws".
    /// [default: http://127.0.0.1:9000]
    #[arg(long, env = "DAYBOOK_S3", value_name = "URL")]
    pub s3: Option<String>,

    /// The bucket of the snapshots. [default: daybook]
    #[arg(long, env = "DAYBOOK_S3_BUCKET", value_name = "NAME")]
    pub s3_bucket: Option<String>,
}

/// `[cluster]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterSection {
    name: Option<String>,
    advertise: Option<String>,
}

/// `[kafka]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaSection {
    servers: Option<String>,
    topics: Option<String>,
    tls: Option<bool>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    sasl_mechanism: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

/// `[postgres]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostgresSection {
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    schema: Option<String>,
    connections: Option<u32>,
}

/// `[bigtable]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BigtableSection {
    address: Option<String>,
    project: Option<String>,
    instance: Option<String>,
    tables: Option<String>,
    credentials_file: Option<PathBuf>,
}

/// `[s3]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct S3Section {
    endpoint: Option<String>,
    region: Option<String>,
    bucket: Option<String>,
    folder: Option<String>,
    ca_file: Option<PathBuf>,
    access_key: Option<Secret>,
    access_key_file: Option<PathBuf>,
    secret_key: Option<Secret>,
    secret_key_file: Option<PathBuf>,
}

/// The one Bigtable that is reached by TLS.
const GOOGLE: &str = "https://bigtable.googleapis.com";

/// All sections of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sections {
    pub(super) cluster: ClusterSection,
    pub(super) kafka: KafkaSection,
    pub(super) postgres: PostgresSection,
    pub(super) bigtable: BigtableSection,
    pub(super) s3: S3Section,
}

/// Where the parts of a cluster are.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Names its topics, tables and folders.
    pub name: String,
    /// What other nodes reach this one's gRPC by; `None`: as it listens.
    pub advertise: Option<String>,
    /// The event log and the topics of commands.
    pub kafka: Kafka,
    /// The read models.
    pub postgres: Postgres,
    /// Account history and the log's archive.
    pub bigtable: Bigtable,
    /// Snapshots.
    pub s3: S3,
}

/// See [`Cluster::kafka`].
#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    /// Bootstrap servers.
    pub servers: String,
    /// What the name of every topic, group and transactional id begins with.
    pub topics: String,
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// Who signed the brokers' certificates; the system's own authorities without.
    pub ca_file: Option<PathBuf>,
    /// This node's certificate, where brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`; none without.
    pub sasl_mechanism: Option<String>,
    /// For SASL.
    pub username: Option<String>,
    /// For SASL.
    pub password: Option<Secret>,
}

/// See [`Cluster::postgres`].
#[derive(Debug, Clone, PartialEq)]
pub struct Postgres {
    /// With user, password, host, database and `sslmode`.
    pub url: Secret,
    /// The schema that holds the read models.
    pub schema: String,
    /// Connections at most.
    pub connections: u32,
}

/// See [`Cluster::bigtable`].
#[derive(Debug, Clone, PartialEq)]
pub struct Bigtable {
    /// `host:port` of an emulator, or an `https://` address.
    pub address: String,
    /// Google's project.
    pub project: String,
    /// The instance.
    pub instance: String,
    /// What every table's name begins with.
    pub tables: String,
    /// A service account's key; the machine's own identity without.
    pub credentials_file: Option<PathBuf>,
}

/// See [`Cluster::s3`].
#[derive(Debug, Clone, PartialEq)]
pub struct S3 {
    /// Its address; `None`: AWS's own for the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// The folder in the bucket.
    pub folder: String,
    /// Who signed its certificate; the usual authorities without.
    pub ca_file: Option<PathBuf>,
    /// The key's id; the machine's own identity without.
    pub access_key: Option<Secret>,
    /// The key.
    pub secret_key: Option<Secret>,
}

impl Bigtable {
    /// Whether it is an emulator, which takes no credentials.
    pub fn is_emulator(&self) -> bool {
        !self.address.starts_with("https://")
    }
}

impl Cluster {
    /// Brings flags, environment, file and defaults together.
    ///
    /// # Errors
    /// A secret's file cannot be read, or a value is out of range.
    pub(super) fn decide(
        args: &ClusterArgs,
        advertise: Option<String>,
        sections: Sections,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let Sections {
            cluster,
            kafka,
            postgres,
            bigtable,
            s3,
        } = sections;
        let pick = |flag: &Option<String>, file: Option<String>, default: &str| {
            let said = flag.clone().or(file);
            said.unwrap_or_else(|| default.to_owned())
        };
        let name = pick(&args.cluster, cluster.name, "daybook");
        check_name(&name)?;
        let endpoint = pick(&args.s3, s3.endpoint, "http://127.0.0.1:9000");
        let connections = postgres.connections.unwrap_or(14);
        if connections < 7 {
            return Err(invalid("[postgres] connections: at least 7 are needed"));
        }
        let address = pick(&args.bigtable, bigtable.address, "127.0.0.1:8086");
        if address.starts_with("https://") && address.trim_end_matches('/') != GOOGLE {
            return Err(invalid(format!(
                "[bigtable] address {address}: by https:// Google's own is reached, {GOOGLE}; an \
                 emulator is host:port"
            )));
        }
        Ok(Self {
            advertise: advertise.or(cluster.advertise),
            kafka: Kafka {
                servers: pick(&args.kafka, kafka.servers, "127.0.0.1:9092"),
                // The default cluster has the topics that its users expect: `deposits`.
                topics: kafka.topics.unwrap_or_else(|| match name.as_str() {
                    "daybook" => String::new(),
                    other => format!("{other}."),
                }),
                tls: kafka.tls.unwrap_or(false),
                ca_file: kafka.ca_file,
                certificate_file: kafka.certificate_file,
                key_file: kafka.key_file,
                sasl_mechanism: kafka.sasl_mechanism,
                username: kafka.username,
                password: secret(
                    environment,
                    "DAYBOOK_KAFKA_PASSWORD",
                    kafka.password,
                    kafka.password_file,
                )?,
            },
            postgres: Postgres {
                url: secret(
                    environment,
                    "DAYBOOK_POSTGRES",
                    postgres.url,
                    postgres.url_file,
                )?
                .unwrap_or_else(|| Secret::new("postgres://daybook@127.0.0.1:5432/daybook")),
                schema: postgres.schema.unwrap_or_else(|| name.clone()),
                connections,
            },
            bigtable: Bigtable {
                address,
                project: bigtable.project.unwrap_or_else(|| "daybook".to_owned()),
                instance: bigtable.instance.unwrap_or_else(|| "daybook".to_owned()),
                tables: bigtable.tables.unwrap_or_else(|| name.clone()),
                credentials_file: bigtable.credentials_file,
            },
            s3: S3 {
                endpoint: (endpoint != "aws").then_some(endpoint),
                region: s3.region.unwrap_or_else(|| "us-east-1".to_owned()),
                bucket: pick(&args.s3_bucket, s3.bucket, "daybook"),
                folder: s3.folder.unwrap_or_else(|| name.clone()),
                ca_file: s3.ca_file,
                access_key: secret(
                    environment,
                    "DAYBOOK_S3_ACCESS_KEY",
                    s3.access_key,
                    s3.access_key_file,
                )?,
                secret_key: secret(
                    environment,
                    "DAYBOOK_S3_SECRET_KEY",
                    s3.secret_key,
                    s3.secret_key_file,
                )?,
            },
            name,
        })
    }
}

/// A name that topics, tables, schemas and folders may all have.
fn check_name(name: &str) -> Result<(), Failure> {
    let fits = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits && (1..=40).contains(&name.len()) && name.as_bytes()[0].is_ascii_lowercase() {
        return Ok(());
    }
    Err(invalid(format!(
        "{name:?} is no name of a cluster: a to z, 0 to 9 and _, a letter first, 40 at most"
    )))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Usage, "CONFIG_INVALID", message)
}
