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
    Test {
        /// The tests alone, without formatting and lints.
        #[arg(long)]
        no_lints: bool,
    },
    /// Formatting and lints alone.
    Lint,
    /// The failure tests in a loop, in an order and at moments of chance, on a stack of their own.
    Chaos {
        /// How long they go on hurting servers.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
        /// Has the same chances again; every run prints its own.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
    },
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
        Task::Test { no_lints } => steps::check(!no_lints).map(|()| true).map_err(Into::into),
        Task::Lint => steps::lint().map(|()| true).map_err(Into::into),
        Task::Chaos { minutes, seed } => steps::chaos(minutes, seed)
            .map(|()| true)
            .map_err(Into::into),
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
