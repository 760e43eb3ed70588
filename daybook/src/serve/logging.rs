//! Log lines of a server: for people or as JSON, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use super::config::{Config, LogFormat};
use crate::client::failure::{Failure, Kind};

/// Starts logging for the whole process.
///
/// # Errors
/// The filter cannot be read.
pub fn start(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        Failure::new(
            Kind::Usage,
            "CONFIG_INVALID",
            format!("log {:?} is not a filter: {error}", config.log),
        )
        .hint("write info, debug, or info,command_handler=debug")
    })?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Human => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_target(false)
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::broken(error.to_string()))
}
