//! Daybook's own tasks. `cargo xtask test` runs every check and test there is, `cargo xtask stack`
//! starts the servers that the cluster profile runs on.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{stack, steps};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Daybook's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints and every test, those on real servers too; the last line says the totals.
    Test,
    /// Formatting and lints alone.
    Lint,
    /// The local stack: real Kafka, Bigtable emulator, Postgres and MinIO, without containers.
    Stack {
        #[command(flatten)]
        which: stack::cli::Which,
        #[command(subcommand)]
        action: stack::cli::Action,
    },
}

fn main() -> ExitCode {
    let outcome: Result<bool, Box<dyn std::error::Error>> = match Cli::parse().task {
        Task::Test => steps::check().map(|()| true).map_err(Into::into),
        Task::Lint => steps::lint().map(|()| true).map_err(Into::into),
        Task::Stack { which, action } => stack::cli::run(&which, action).map_err(Into::into),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("cargo xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
