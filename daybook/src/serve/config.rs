//! Settings of a server: flags, then environment, then `daybook.toml`, then defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::failure::{Failure, Kind, did_you_mean};

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

/// `daybook serve`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeArgs {
    /// The settings file; ./daybook.toml is read where it is there.
    #[arg(long, env = "DAYBOOK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

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

    /// A snapshot is made every so many records of a shard; 0 for never. [default: 1000000]
    #[arg(long, env = "DAYBOOK_SNAPSHOT_EVERY_RECORDS", value_name = "N")]
    pub snapshot_every_records: Option<u64>,
}

/// `daybook.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    operations_listen: Option<SocketAddr>,
    shards: Option<u32>,
    log_format: Option<LogFormat>,
    log: Option<String>,
    accept_clock: Option<bool>,
    snapshot_every_records: Option<u64>,
}

/// The settings, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
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
        let file = match &args.config {
            Some(path) => read(path)?,
            None if Path::new(FILE).exists() => read(Path::new(FILE))?,
            None => File::default(),
        };
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
        Ok(Self {
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
            snapshot_every_records: args
                .snapshot_every_records
                .or(file.snapshot_every_records)
                .unwrap_or(1_000_000),
        })
    }
}

const FIELDS: &[&str] = &[
    "data",
    "listen",
    "operations_listen",
    "shards",
    "log_format",
    "log",
    "accept_clock",
    "snapshot_every_records",
];

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
    }
}
