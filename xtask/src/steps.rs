//! The steps of a check, each a command whose failure ends the run with its name.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::totals::Totals;

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The command could not be started at all.
    #[error("{step}: cannot start {program}: {source}")]
    Start {
        /// The step.
        step: &'static str,
        /// What was to be run.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It ran, and said no.
    #[error("{step} failed ({status})")]
    Failed {
        /// The step.
        step: &'static str,
        /// How it ended.
        status: String,
    },
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(step: &'static str, mut command: Command) -> Result<(), StepError> {
    announce(step);
    let started = Instant::now();
    let status = command.status().map_err(|source| StepError::Start {
        step,
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    finish(step, started, status)
}

fn announce(step: &str) {
    anstream::eprintln!("==> {step}");
}

fn finish(
    step: &'static str,
    started: Instant,
    status: std::process::ExitStatus,
) -> Result<(), StepError> {
    anstream::eprintln!("<== {step}: {status}, {:.0?}", started.elapsed());
    if status.success() {
        Ok(())
    } else {
        Err(StepError::Failed {
            step,
            status: status.to_string(),
        })
    }
}

/// Formatting, then clippy with warnings denied.
///
/// # Errors
/// [`StepError`] of the first that says no.
pub fn lint() -> Result<(), StepError> {
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    run("formatting", format)?;
    let mut clippy = cargo();
    clippy.args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]);
    run("lints", clippy)
}

/// Every test of the workspace. Prints the totals last.
///
/// # Errors
/// [`StepError`] when any test fails or cannot be built.
pub fn test() -> Result<(), StepError> {
    let step = "tests";
    announce(step);
    let started = Instant::now();
    let mut command = cargo();
    // Whole-process tests of other packages start the binary from the target folder, so it has
    // to be there before any test runs.
    let mut binary = cargo();
    binary.args(["build", "--locked", "--package", "daybook"]);
    run("the binary", binary)?;
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|source| StepError::Start {
        step,
        program: "cargo".into(),
        source,
    })?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            totals.add_line(&line);
            anstream::println!("{line}");
        }
    }
    let status = child.wait().map_err(|source| StepError::Start {
        step,
        program: "cargo".into(),
        source,
    })?;
    let outcome = finish(step, started, status);
    anstream::println!("{totals}");
    outcome
}
