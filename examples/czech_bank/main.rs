//! Real records of a Czech bank through Daybook: imported over gRPC, then checked against the
//! balances that the bank itself printed.
//!
//! Exit status: 0 all is as it should be; 1 the figures differ, or the engine refused rows;
//! 2 the files cannot be read, or the server refuses the calls; 75 the server went away (run the
//! same command again: nothing is lost, nothing is booked twice).
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod books;
mod check;
mod figures;
mod files;
mod import;
mod lines;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::figures::{Figures, grouped};
use crate::files::Bank;
use crate::import::{Counts, Importer};
use crate::lines::{FilesError, Refused};
use crate::server::{Server, ServerError};

/// Imports the PKDD'99 files of a Czech bank and checks every account's balance at the end of
/// every day with transactions against the one that the bank printed.
#[derive(Debug, Parser)]
#[command(name = "czech-bank")]
struct Options {
    /// The folder with trans.asc.gz, account.asc.gz, disp.asc.gz and client.asc.gz (or *.asc)
    folder: PathBuf,
    /// The server's address
    #[arg(long, env = "DAYBOOK_SERVER", default_value = examples::DEFAULT_SERVER)]
    server: String,
    /// The ledger; created where it is not there
    #[arg(long, default_value = "czech-bank")]
    ledger: String,
    /// Send the transactions in a random order, the same for the same seed
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Import nothing
    #[arg(long, conflicts_with = "import_only")]
    check_only: bool,
    /// Check nothing
    #[arg(long)]
    import_only: bool,
    /// Commands in one call
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=8_190))]
    batch: u16,
    /// Calls that wait for their answer at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure::Files(error)) => {
            eprintln!("czech-bank: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Server(ServerError::Away(reason))) => {
            eprintln!(
                "czech-bank: the server at {} does not answer: {reason}",
                options.server
            );
            eprintln!(
                "What was acknowledged is in its log, and no row will be booked twice. Start the \
                 server on the same folder again (daybook serve), then run the same command:\n  {}",
                std::env::args().collect::<Vec<_>>().join(" ")
            );
            ExitCode::from(75)
        }
        Err(Failure::Server(error)) => {
            eprintln!("czech-bank: {error}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Whether all was as it should be.
async fn run(options: &Options) -> Result<bool, Failure> {
    let mut bank = files::read(&options.folder)?;
    println!("Files in {}", options.folder.display());
    println!("  accounts      {:>7}", grouped(bank.accounts.len()));
    println!("  transactions  {:>7}", grouped(bank.transactions.len()));
    println!("  refused rows  {:>7}", grouped(bank.refused.len()));
    print_refused(&bank.refused);
    if let Some(seed) = options.shuffle {
        bank.transactions.shuffle(&mut StdRng::seed_from_u64(seed));
        println!("  in random order, seed {seed}");
    }

    let server = Server::connect(&options.server, &options.ledger).await?;
    let imported = options.check_only || import_all(options, &server, &bank).await?;
    let checked = options.import_only || check_all(options, &server, &bank).await?;
    Ok(imported && checked)
}

/// Whether the engine took every row.
async fn import_all(options: &Options, server: &Server, bank: &Bank) -> Result<bool, ServerError> {
    println!("Import to {}, ledger {}", options.server, options.ledger);
    let importer = Importer {
        server,
        batch: options.batch.into(),
        in_flight: options.in_flight.into(),
    };
    // Accounts first: a transaction needs both of its own.
    let chart = importer.chart().await?;
    let accounts = importer.accounts(&bank.accounts).await?;
    let started = std::time::Instant::now();
    let transactions = importer.transactions(&bank.transactions).await?;
    let seconds = started.elapsed().as_secs_f64();
    print_counts("bank's own", &chart);
    print_counts("accounts", &accounts);
    print_counts("transactions", &transactions);
    println!("  in {seconds:.1} s");
    for counts in [&chart, &accounts, &transactions] {
        print_refused(&counts.refused);
    }
    Ok([chart, accounts, transactions]
        .iter()
        .all(|counts| counts.refused.is_empty()))
}

/// Whether the figures are those that are known, and the books balance.
async fn check_all(options: &Options, server: &Server, bank: &Bank) -> Result<bool, ServerError> {
    println!("Check: the engine's balance at the end of each day against the printed ones");
    let figures = check::figures(server, &bank.transactions, options.in_flight.into()).await?;
    println!("{figures}");
    let known = match Figures::expected(bank.transactions.len()) {
        Some(expected) if expected == figures => {
            println!("  These are exactly the figures of a computation outside Daybook.");
            true
        }
        Some(expected) => {
            println!("  THEY DIFFER from a computation outside Daybook, which found\n{expected}");
            false
        }
        None => {
            println!("  (No figures are known for these files.)");
            true
        }
    };
    println!("Books");
    for (name, balance) in check::own_side(server).await? {
        println!("  {name:<24} {:>18} CZK", figures::crowns(balance));
    }
    let balanced = check::books_balance(server).await?;
    println!(
        "  debits {} credits",
        if balanced { "=" } else { "ARE NOT" }
    );
    Ok(known && balanced)
}

fn print_counts(what: &str, counts: &Counts) {
    println!(
        "  {what:<13} {:>7} booked, {} repeated, {} refused",
        grouped(counts.booked),
        grouped(counts.repeated),
        grouped(counts.refused.len()),
    );
}

fn print_refused(refused: &[Refused]) {
    const SHOWN_MAX: usize = 20;
    for row in refused.iter().take(SHOWN_MAX) {
        println!("    {row}");
    }
    if refused.len() > SHOWN_MAX {
        println!("    and {} more", grouped(refused.len() - SHOWN_MAX));
    }
}
