//! Settings of a server: flags, then environment, then `daybook.toml`, then defaults.

mod cluster;
mod file;
mod secret;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::failure::{Failure, Kind};
use file::File;

pub use cluster::{Bigtable, Cluster, ClusterArgs, Kafka, Postgres, S3};
pub use secret::Secret;

/// The file that is read where it is there and no other is named.
pub const FILE: &str = "daybook.toml";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What the parts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// One process and one folder; no servers.
    #[default]
    Embedded,
    /// Kafka, Bigtable, Postgres and an object store.
    Cluster,
}

/// What a process of a cluster does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// All of them.
    All,
    /// Decides commands: the writers of the shards that are given to it, and the topics of
    /// commands.
    Command,
    /// Makes the read models and the archive.
    Projector,
    /// Answers queries.
    Query,
}

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// See [`Role::Command`].
    pub command: bool,
    /// See [`Role::Projector`].
    pub projector: bool,
    /// See [`Role::Query`].
    pub query: bool,
}

impl Roles {
    /// All of them, where none is named.
    pub fn of(roles: &[Role]) -> Self {
        let all = roles.is_empty() || roles.contains(&Role::All);
        let has = |role| all || roles.contains(&role);
        Self {
            command: has(Role::Command),
            projector: has(Role::Projector),
            query: has(Role::Query),
        }
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        let roles = [
            (self.command, "command"),
            (self.projector, "projector"),
            (self.query, "query"),
        ];
        let named = roles.into_iter().filter(|(has, _)| *has);
        named.map(|(_, name)| name).collect()
    }
}

/// `daybook serve`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeArgs {
    /// The settings file; ./daybook.toml is read where it is there.
    #[arg(long, env = "DAYBOOK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What the parts are made of. [default: embedded]
    #[arg(long, env = "DAYBOOK_PROFILE", value_enum)]
    pub profile: Option<Profile>,

    /// What this process does in a cluster; may be repeated. [default: all]
    #[arg(
        long = "role",
        env = "DAYBOOK_ROLE",
        value_enum,
        value_name = "ROLE",
        value_delimiter = ','
    )]
    pub roles: Vec<Role>,

    /// What other nodes of a cluster reach this one's gRPC by. [default: as it listens]
    #[arg(long, env = "DAYBOOK_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,

    /// Where the parts of a cluster are.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// The data folder; made where it is not there. [default: ./daybook-data]
    #[arg(long, env = "DAYBOOK_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// Where gRPC is served. [default: 127.0.0.1:7420]
    #[arg(long, env = "DAYBOOK_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Where metrics, health and upkeep are served. [default: 127.0.0.1:7421]
    #[arg(long, env = "DAYBOOK_OPERATIONS_LISTEN", value_name = "ADDRESS")]
    pub operations_listen: Option<SocketAddr>,

    /// Shards of a new log; an existing one keeps its own. [default: 1]
    #[arg(long, env = "DAYBOOK_SHARDS", value_name = "N")]
    pub shards: Option<u32>,

    /// How log lines are written. [default: human]
    #[arg(long, env = "DAYBOOK_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// What is logged: error, warn, info, debug, trace, or per module. [default: info]
    #[arg(long, env = "DAYBOOK_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// The clock is right, however far it is ahead of the log's last record.
    #[arg(long, env = "DAYBOOK_ACCEPT_CLOCK")]
    pub accept_clock: bool,

    /// Go on with the topics that commands come from, though records that were never read are
    /// not there any more (INGESTION_GAP).
    #[arg(long, env = "DAYBOOK_ACCEPT_INGESTION_GAP")]
    pub accept_ingestion_gap: bool,

    /// A snapshot is made every so many records of a shard; 0 for never. [default: 1000000]
    #[arg(long, env = "DAYBOOK_SNAPSHOT_EVERY_RECORDS", value_name = "N")]
    pub snapshot_every_records: Option<u64>,
}

/// The settings, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the parts are made of.
    pub profile: Profile,
    /// What this process does.
    pub roles: Roles,
    /// Where the parts of a cluster are.
    pub cluster: Cluster,
    /// The data folder.
    pub data: PathBuf,
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where metrics, health and upkeep are served.
    pub operations_listen: SocketAddr,
    /// Shards of a new log; `None`: one, or as many as an existing log has.
    pub shards: Option<u32>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log: String,
    /// See [`ServeArgs::accept_clock`].
    pub accept_clock: bool,
    /// See [`ServeArgs::accept_ingestion_gap`].
    pub accept_ingestion_gap: bool,
    /// See [`ServeArgs::snapshot_every_records`].
    pub snapshot_every_records: u64,
}

impl Config {
    /// Brings flags, environment, file and defaults together.
    ///
    /// # Errors
    /// The file cannot be read, or says something that is not understood: names file, line and
    /// field.
    pub fn load(args: &ServeArgs) -> Result<Self, Failure> {
        let file = File::find(args.config.as_deref())?;
        let shards = args.shards.or(file.shards);
        if shards == Some(0) {
            let place = match args.shards {
                Some(_) => "--shards (or DAYBOOK_SHARDS)".to_owned(),
                None => {
                    let file = args.config.as_deref().unwrap_or(Path::new(FILE));
                    format!("{}, shards", file.display())
                }
            };
            return Err(Failure::new(
                Kind::Usage,
                "CONFIG_INVALID",
                format!("{place}: a log has at least 1 shard"),
            ));
        }
        let pick = |flag: Option<SocketAddr>, file: Option<SocketAddr>, port: u16| {
            flag.or(file)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let roles = match args.roles.is_empty() {
            true => file.roles.clone().unwrap_or_default(),
            false => args.roles.clone(),
        };
        let environment = |name: &str| std::env::var(name).ok();
        Ok(Self {
            profile: args.profile.or(file.profile).unwrap_or_default(),
            roles: Roles::of(&roles),
            cluster: Cluster::decide(
                &args.cluster,
                args.advertise.clone(),
                file.sections(),
                &environment,
            )?,
            data: args
                .data
                .clone()
                .or(file.data)
                .unwrap_or_else(|| "./daybook-data".into()),
            listen: pick(args.listen, file.listen, 7420),
            operations_listen: pick(args.operations_listen, file.operations_listen, 7421),
            shards,
            log_format: args
                .log_format
                .or(file.log_format)
                .unwrap_or(LogFormat::Human),
            log: args
                .log
                .clone()
                .or(file.log)
                .unwrap_or_else(|| "info".to_owned()),
            accept_clock: args.accept_clock || file.accept_clock.unwrap_or(false),
            // Of one start: it is not to be forgotten in a file.
            accept_ingestion_gap: args.accept_ingestion_gap,
            snapshot_every_records: args
                .snapshot_every_records
                .or(file.snapshot_every_records)
                .unwrap_or(1_000_000),
        })
    }
}

/// Where upkeep finds a cluster: the same file and flags as `daybook serve`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClusterPlace {
    /// The settings file; ./daybook.toml is read where it is there.
    #[arg(long, env = "DAYBOOK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the parts of a cluster are.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

impl ClusterPlace {
    /// Brings flags, environment, file and defaults together; gives the number of shards that
    /// the file names, too.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<(Cluster, Option<u32>), Failure> {
        let file = File::find(self.config.as_deref())?;
        let environment = |name: &str| std::env::var(name).ok();
        let cluster = Cluster::decide(&self.cluster, None, file.sections(), &environment)?;
        Ok((cluster, file.shards))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daybook.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&ServeArgs {
            config: Some(path),
            listen: Some("127.0.0.1:9".parse().unwrap()),
            ..Default::default()
        })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let config = load("listen = '127.0.0.1:1'\nshards = 3\n").unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.shards, Some(3));
        assert_eq!(config.operations_listen.port(), 7421);
    }

    #[test]
    fn what_is_not_understood_is_named_by_file_line_and_field() {
        let failure = load("shards = 1\nlisen = '127.0.0.1:1'\n").unwrap_err();
        assert!(
            failure.message.contains("daybook.toml, line 2, lisen"),
            "{failure}"
        );
        assert_eq!(failure.hints, ["did you mean listen?"]);
        let failure = load("shards = 'two'\n").unwrap_err();
        assert!(failure.message.contains("line 1, shards"), "{failure}");
        assert!(load("shards = 0\n").is_err());
        let failure = load("[kafka]\nserver = 'a:1'\n").unwrap_err();
        assert!(failure.message.contains("line 2, server"), "{failure}");
        assert_eq!(failure.hints, ["did you mean servers?"]);
    }

    #[test]
    fn a_cluster_is_read_by_sections_and_its_secrets_are_not_shown() {
        let config = load(
            "profile = 'cluster'\nroles = ['command', 'query']\n[cluster]\nname = 'books'\n\
             [postgres]\nurl = 'postgres://u:hush@h/d'\n[s3]\nendpoint = 'aws'\n\
             access_key = 'hush'\nsecret_key = 'hush'\n",
        )
        .unwrap();
        assert_eq!(config.profile, Profile::Cluster);
        assert_eq!(config.roles.names(), ["command", "query"]);
        let cluster = &config.cluster;
        assert_eq!(cluster.kafka.topics, "books.");
        assert_eq!(cluster.postgres.schema, "books");
        assert_eq!(cluster.s3.endpoint, None);
        assert!(!format!("{config:?}").contains("hush"));
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/daybook.toml");
        let shared = load(&std::fs::read_to_string(shared).unwrap()).unwrap();
        assert_eq!(shared.profile, Profile::Cluster);
        assert_eq!(shared.cluster.kafka.topics, "");
        let failure = load("[bigtable]\naddress = 'https://tables.example'\n").unwrap_err();
        assert!(failure.message.contains("tables.example"), "{failure}");
        assert!(load("[bigtable]\naddress = 'https://bigtable.googleapis.com/'\n").is_ok());
        let failure = load("[cluster]\nname = 'Big Books'\n").unwrap_err();
        assert!(failure.message.contains("no name"), "{failure}");
    }
}
