//! `daybook import`: double-entry CSV into a ledger, streaming and of any size.
//!
//! The key of each transaction is the file's own, so an import that was cut off is simply run
//! again: what was decided before is answered again, and nothing is booked twice. Commands go
//! through one `WriteStream`, which decides them in the order of the file.

mod accounts;
mod pattern;
mod pump;
mod report;
mod rows;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger_core::asset::Asset;
use schemas::proto::v1::{Command, ListAccountsRequest};
use tokio::sync::mpsc;

use crate::cli::strong;
use crate::client::failure::{Failure, Kind};
use crate::client::output;
use crate::client::rpc;
use crate::client::session::{ClientArgs, Session};
use pattern::TypeRule;
use report::Report;

/// Accounts whose names and assets are kept in memory while importing.
const KNOWN_ACCOUNTS_MAX: usize = 1_000_000;
/// Rows that wait between the reader of the file and the sender.
const READ_AHEAD: usize = 4_096;

const COLUMNS: &str = "\
Columns of a file of transactions (in any order; the first line names them):
  key           unique in the ledger; what makes a repeated import harmless
  transaction   rows that follow each other with the same value are one transaction; the key is
                that of its first row, or this value where there is no key column
  effective_at  2026-11-23T10:00:00Z or 2026-11-23; the engine's time when empty
  from          the debit account
  to            the credit account
  amount        12.50
  asset         USD (ISO 4217) or CODE/EXPONENT; the account's own when empty
  description   a text
  record_only   a reason: balance and velocity limits are passed by
  metadata.KEY  an entry of metadata

Columns of a file of accounts (daybook import accounts FILE):
  name, asset, type (asset, liability, equity, income, expense, memo),
  minimum, maximum, per_transaction (12.50), metadata.KEY";

/// `daybook import`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = COLUMNS)]
pub struct ImportArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    file: Option<FileArgs>,
    /// Open accounts that are not there yet: PATTERN=TYPE, such as 'customers:**=liability'.
    /// The first that matches counts.
    #[arg(long, value_name = "PATTERN=TYPE")]
    open_accounts: Vec<TypeRule>,
    #[command(subcommand)]
    command: Option<ImportCommand>,
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The CSV file; - is standard input.
    file: PathBuf,
    /// Write every refused row to this CSV file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Commands that may be on their way at once.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Open accounts from a CSV file.
    Accounts {
        #[command(flatten)]
        file: FileArgs,
    },
}

/// Something of the file, ready to be sent or refused already.
pub(crate) enum Item {
    /// A command, and the lines that it stands for.
    Send {
        lines: Lines,
        command: Box<Command>,
        purpose: Purpose,
    },
    /// Lines that make no command.
    Refuse {
        lines: Lines,
        key: String,
        why: String,
    },
    /// The file has been read up to this byte.
    Read(u64),
    /// The file cannot be read any further.
    Broken(String),
}

/// Lines of the file: the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    first: u64,
    last: u64,
}

impl Lines {
    fn one(line: u64) -> Self {
        Self {
            first: line,
            last: line,
        }
    }
}

/// What a command is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The rows themselves.
    Rows,
    /// Opens an account that rows need; it may be there already.
    OpenAccount,
}

/// Runs the command.
///
/// # Errors
/// The file cannot be read, the server does not answer, or rows were refused.
pub async fn run(args: ImportArgs) -> Result<(), Failure> {
    let session = Session::new(args.client);
    let json = session.args.json;
    let (file, of_accounts) = match (args.command, args.file) {
        (Some(ImportCommand::Accounts { file }), _) => (file, true),
        (None, Some(file)) => (file, false),
        (None, None) => {
            return Err(Failure::usage("name the CSV file to import")
                .hint("daybook import FILE.csv, or daybook import accounts FILE.csv"));
        }
    };
    let (input, size) = open(&file.file)?;
    let known = match of_accounts {
        true => HashMap::new(),
        false => known_accounts(&session).await?,
    };
    let bar = progress_bar(size, json);
    let mut report = Report::new(file.report.as_deref())?;
    let (sent, items) = mpsc::channel(READ_AHEAD);
    let ledger = session.ledger();
    let rules = args.open_accounts;
    // The reader ends by itself when the channel is closed.
    std::thread::Builder::new()
        .name("csv".to_owned())
        .spawn(move || match of_accounts {
            true => accounts::read(input, &ledger, &sent),
            false => rows::Reader::new(&ledger, rules, known).read(input, &sent),
        })?;
    let window = file.in_flight as usize;
    let pumped = pump::pump(&session, items, window, &mut report, &bar).await;
    bar.finish_and_clear();
    report.close()?;
    if json {
        output::json(&report.json());
    } else {
        report.print();
    }
    pumped?;
    match report.refused() {
        0 => Ok(()),
        refused => Err(Failure::new(
            Kind::Refused,
            "ROWS_REFUSED",
            format!("{refused} rows (or groups of rows) were refused; all others are in the books"),
        )
        .hint(
            "correct them, give them new keys, and import the file again: nothing is booked twice",
        )),
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let file =
        File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let size = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(file), size))
}

fn progress_bar(size: Option<u64>, hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
    let template = "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// The accounts that are there, as far as memory allows.
async fn known_accounts(session: &Session) -> Result<HashMap<Box<str>, Asset>, Failure> {
    let mut known = HashMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListAccountsRequest {
            ledger: session.ledger(),
            pattern: "**".to_owned(),
            page_size: 1_000,
            page_token,
            consistency: strong(),
            ..Default::default()
        };
        let reply = session.call(rpc::LIST_ACCOUNTS, request).await?;
        for account in reply.accounts {
            if let Ok(asset) = Asset::parse(&account.asset) {
                known.insert(account.name.into_boxed_str(), asset);
            }
        }
        page_token = reply
            .page
            .map(|page| page.next_page_token)
            .unwrap_or_default();
        if page_token.is_empty() || known.len() >= KNOWN_ACCOUNTS_MAX {
            return Ok(known);
        }
    }
}

/// The key of the command that opens an account of this name for an import: the same each time.
pub(crate) fn open_key(name: &str) -> String {
    format!("open:{}", &blake3::hash(name.as_bytes()).to_hex()[..40])
}
