//! The command line.

mod account;
mod audit;
mod decision_view;
mod info;
mod ledger;
mod limits;
mod options;
mod pages;
mod postings;
mod read;
mod receipt;
mod transaction;
mod transaction_view;

pub use account::TypeArg;
pub use options::strong;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::failure::{Failure, Kind};
use crate::client::output;
use crate::client::session::{ClientArgs, Session};

/// The exit statuses, as `daybook --help` shows them.
const EXIT_CODES: &str = "\
Exit status:
  0  done
  1  refused by the rules, or a check found something wrong
  2  the command line, a file or a request is malformed
  3  the server cannot be reached or did not answer in time
  4  the data folder is in use by another process
  5  something broke: a disk, a file, the server";

/// An event-sourced double-entry ledger engine.
///
/// Start a server with `daybook serve`, or see the whole story in a minute with `daybook demo`.
#[derive(Debug, Parser)]
#[command(name = "daybook", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(disable_help_subcommand = true, propagate_version = true)]
pub struct Cli {
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value = "auto", hide = true)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a ledger from a folder.
    Serve(Box<crate::serve::config::ServeArgs>),
    /// Ledgers: create, get, list, update, close and reopen the books.
    #[command(visible_alias = "ledgers")]
    Ledger {
        #[command(flatten)]
        client: ClientArgs,
        #[command(subcommand)]
        command: ledger::LedgerCommand,
    },
    /// Accounts: open, get, list, update, freeze, unfreeze, close, reopen.
    #[command(visible_alias = "accounts")]
    Account {
        #[command(flatten)]
        client: ClientArgs,
        #[command(subcommand)]
        command: account::AccountCommand,
    },
    /// Transactions: create, get, list, update, capture, void, reverse.
    #[command(visible_aliases = ["tx", "transactions"])]
    Transaction {
        #[command(flatten)]
        client: ClientArgs,
        #[command(subcommand)]
        command: transaction::TransactionCommand,
    },
    /// The balance of an account, or sums over a pattern.
    Balance {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        args: read::BalanceArgs,
    },
    /// The statement of an account.
    Statement {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        args: read::StatementArgs,
    },
    /// The trial balance of the ledger.
    TrialBalance {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        args: read::TrialBalanceArgs,
    },
    /// Decisions on record: one with all that is known, many, or the head of the chain.
    Audit {
        #[command(flatten)]
        client: ClientArgs,
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Decisions, a line each; -f follows them.
    Log {
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        args: audit::LogArgs,
    },
    /// The server itself.
    Server {
        #[command(flatten)]
        client: ClientArgs,
        #[command(subcommand)]
        command: info::ServerCommand,
    },
    /// The whole story in a minute, with a server of its own.
    Demo(crate::demo::DemoArgs),
    /// Import transactions or accounts from CSV files of any size.
    Import(Box<crate::import::ImportArgs>),
    /// Make the read models again from the log, beside the live ones; compare, and switch.
    Replay(crate::upkeep::ReplayArgs),
    /// Snapshots: create, list, restore to a new folder.
    Snapshot {
        #[command(subcommand)]
        command: crate::upkeep::SnapshotCommand,
    },
    /// Remove from a cluster's topic what two good snapshots and the archive hold.
    Trim(Box<crate::upkeep::TrimArgs>),
    /// Make topics, tables, schema and bucket of a cluster, or check those that are there.
    Setup(Box<crate::upkeep::SetupArgs>),
    /// Check everything against everything; names the first damaged record.
    Verify(crate::upkeep::VerifyArgs),
    /// Send deposits, withdrawals and transfers, through kills and losses, and prove that each has
    /// exactly one outcome and stands in all books exactly once.
    Load(Box<crate::load::LoadArgs>),
    /// Carry the books over from one place to another, byte for byte: to another number of
    /// shards, from a folder to the cluster, and back.
    Migrate(Box<crate::migrate::MigrateArgs>),
    /// Load a server, report what it did and what that cost, and prove that nothing was lost.
    Bench(Box<crate::bench::BenchArgs>),
    /// What a code means, and what to do.
    Explain {
        /// The code, such as INSUFFICIENT_FUNDS.
        code: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Completions of a shell: daybook completions bash > /etc/bash_completion.d/daybook
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let json = cli.command.json();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                output::note(failure.json());
            } else {
                output::note(failure.human());
            }
            ExitCode::from(failure.kind as u8)
        }
    }
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Self::Ledger { client, .. }
            | Self::Account { client, .. }
            | Self::Transaction { client, .. }
            | Self::Balance { client, .. }
            | Self::Statement { client, .. }
            | Self::TrialBalance { client, .. }
            | Self::Audit { client, .. }
            | Self::Log { client, .. }
            | Self::Server { client, .. } => client.json,
            Self::Explain { json, .. } => *json,
            Self::Bench(args) => args.json,
            Self::Import(args) => args.client.json,
            Self::Replay(args) => args.json(),
            Self::Snapshot { command } => command.json(),
            Self::Verify(args) => args.json(),
            Self::Migrate(args) => args.json(),
            Self::Setup(args) => args.json,
            Self::Load(args) => args.json(),
            Self::Trim(args) => args.json(),
            Self::Demo(_) | Self::Serve(_) | Self::Completions { .. } => false,
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Explain { code, json } => info::explain(&code, json),
        Command::Completions { shell } => {
            info::completions(shell);
            Ok(())
        }
        Command::Bench(args) => bench(&args),
        Command::Serve(args) => crate::serve::run(&args),
        Command::Replay(args) => crate::upkeep::replay(args),
        Command::Snapshot { command } => crate::upkeep::snapshot(command),
        Command::Verify(args) => crate::upkeep::verify(args),
        Command::Migrate(args) => crate::migrate::run(*args),
        Command::Setup(args) => crate::upkeep::setup(&args),
        Command::Load(args) => crate::load::run(*args),
        Command::Trim(args) => crate::upkeep::trim(&args),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(call(command))
        }
    }
}

/// Runs a command of the client within this process, as the demo does.
///
/// # Errors
/// As the command.
pub(crate) async fn execute<'a>(words: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let cli = Cli::try_parse_from(std::iter::once("daybook").chain(words))
        .map_err(|error| Failure::usage(error.to_string()))?;
    Box::pin(call(cli.command)).await
}

fn bench(args: &crate::bench::BenchArgs) -> Result<(), Failure> {
    use crate::bench::BenchError;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime
        .block_on(crate::bench::run(args))
        .map_err(|error| match error {
            BenchError::Usage(why) => Failure::usage(why),
            BenchError::Wrong(why) => Failure::new(Kind::Refused, "BOOKS_WRONG", why),
            BenchError::Server(why) => Failure::new(Kind::Unavailable, "UNAVAILABLE", why),
            BenchError::Call { call, status } => {
                let mut failure = Failure::from_status(&status);
                failure.message = format!("{call}: {}", failure.message);
                failure
            }
        })?;
    if args.json {
        output::json(&serde_json::to_value(&report).map_err(|e| Failure::broken(e.to_string()))?);
    } else {
        output::line(report);
    }
    Ok(())
}

/// Commands against a running server.
async fn call(command: Command) -> Result<(), Failure> {
    match command {
        Command::Ledger { client, command } => ledger::run(&Session::new(client), command).await,
        Command::Account { client, command } => account::run(&Session::new(client), command).await,
        Command::Transaction { client, command } => {
            transaction::run(&Session::new(client), command).await
        }
        Command::Balance { client, args } => read::balance(&Session::new(client), args).await,
        Command::Statement { client, args } => read::statement(&Session::new(client), args).await,
        Command::TrialBalance { client, args } => {
            read::trial_balance(&Session::new(client), args).await
        }
        Command::Audit { client, command } => audit::run(&Session::new(client), command).await,
        Command::Log { client, args } => audit::log(&Session::new(client), args).await,
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Import(args) => crate::import::run(*args).await,
        Command::Server { client, command } => info::server(&Session::new(client), command).await,
        Command::Explain { .. }
        | Command::Completions { .. }
        | Command::Bench(_)
        | Command::Serve(_)
        | Command::Replay(_)
        | Command::Snapshot { .. }
        | Command::Migrate(_)
        | Command::Setup(_)
        | Command::Load(_)
        | Command::Trim(_)
        | Command::Verify(_) => unreachable!("run has answered these"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
