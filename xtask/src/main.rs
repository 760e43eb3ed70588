//! Daybook's own tasks. `cargo xtask test` runs every check and test there is.

mod steps;
mod totals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Daybook's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints and every test; the last line says the totals.
    Test,
    /// Formatting and lints alone.
    Lint,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test => steps::lint().and_then(|()| steps::test()),
        Task::Lint => steps::lint(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("cargo xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
