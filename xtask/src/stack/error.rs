//! What can go wrong with the local stack.

use std::path::PathBuf;

/// The stack could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Tools are not there; each with how to get it.
    #[error("the stack needs what is not here:{}", list(.0))]
    Missing(Vec<String>),
    /// `infra/versions.toml` cannot be read.
    #[error("{path}: {reason}")]
    Versions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Program {
        /// Which.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program that should have done a piece of work said no.
    #[error("{what} failed ({status}){}", tail(.output))]
    Failed {
        /// The work.
        what: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A server ended, or did not answer in time.
    #[error("{server} {what}; the end of its log {log}:{}", tail(.output))]
    NotReady {
        /// Which.
        server: String,
        /// What it did.
        what: String,
        /// Where its log lies.
        log: PathBuf,
        /// The end of its log.
        output: String,
    },
    /// Somebody else listens on a port that was asked for.
    #[error("port {port} ({what}) is taken: choose another --port-base, or none")]
    PortTaken {
        /// The port.
        port: u16,
        /// What it was to be for.
        what: &'static str,
    },
    /// There is no room for all the ports.
    #[error("no free block of ports between {from} and {to}: set --port-base")]
    NoPorts {
        /// First that was tried.
        from: u16,
        /// Last that was tried.
        to: u16,
    },
    /// A server does not end.
    #[error("{server} (process {pid}) does not end")]
    WillNotEnd {
        /// Which.
        server: String,
        /// Its process.
        pid: u32,
    },
    /// There is no stack there.
    #[error("no stack at {0}: start one with cargo xtask stack up")]
    NoStack(PathBuf),
    /// The environment names no stack.
    #[error(
        "DAYBOOK_STACK_DIR is not set: start the stack with cargo xtask stack up, and \
         eval \"$(cargo xtask stack env)\""
    )]
    NotNamed,
    /// A server of the stack is not running.
    #[error("{0} is not running")]
    NotRunning(String),
    /// The stack was made without TLS, which it cannot be given later.
    #[error(
        "the stack at {0} was made without TLS: cargo xtask stack down --wipe, or another --name"
    )]
    NoTls(PathBuf),
    /// No certificate could be made.
    #[error("a certificate could not be made: {0}")]
    Certificate(String),
    /// A line of output could not be written.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

fn list(missing: &[String]) -> String {
    missing.iter().map(|line| format!("\n  - {line}")).collect()
}

fn tail(output: &str) -> String {
    if output.trim().is_empty() {
        return String::new();
    }
    output
        .trim_end()
        .lines()
        .map(|line| format!("\n  | {line}"))
        .collect()
}
