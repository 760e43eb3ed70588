//! `daybook demo`: the whole story in a minute, with real commands against a real server.

mod damage;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use schemas::proto::v1::{GetDecisionRequest, get_decision_request};

use crate::cli;
use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN};
use crate::client::rpc;
use crate::client::session::{ClientArgs, Session};
use crate::upkeep::{offline, show_verdict};
use server::Server;

/// `daybook demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// The folder; must not be there yet.
    #[arg(long, value_name = "FOLDER", default_value = "./daybook-demo")]
    data: PathBuf,

    /// Where the server listens; another port where this one is taken.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,

    /// Where its operations port listens; another port where this one is taken.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7421")]
    operations_listen: SocketAddr,

    /// Stop the server at the end instead of leaving it running.
    #[arg(long)]
    no_server: bool,
}

const LEDGER: &str = "main";
/// In a description, so that the byte that is flipped can be found in the file.
const RENT: &str = "rent for November";

struct Story {
    server: String,
    chapter: u32,
}

impl Story {
    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        output::line(format!("\n{BOLD}{}. {title}{BOLD:#}", self.chapter));
    }

    /// Shows a command and runs it.
    async fn run(&self, words: &[&str]) -> Result<(), Failure> {
        let shown: Vec<_> = words
            .iter()
            .map(|word| match word.contains([' ', '*']) {
                true => format!("'{word}'"),
                false => (*word).to_owned(),
            })
            .collect();
        output::line(format!("{DIM}$ daybook {}{DIM:#}", shown.join(" ")));
        let connection = ["--server", &self.server, "--ledger", LEDGER];
        cli::execute(words.iter().chain(&connection).copied()).await
    }

    /// Runs a command that must be refused with `code`, and shows the refusal.
    async fn refused(&self, words: &[&str], code: &str) -> Result<(), Failure> {
        match self.run(words).await {
            Err(failure) if &*failure.code == code => {
                output::line(failure.human());
                Ok(())
            }
            Err(failure) => Err(failure),
            Ok(()) => Err(Failure::broken(format!("this must be refused with {code}"))),
        }
    }

    async fn transaction(&self, key: &str) -> Result<String, Failure> {
        let session = Session::new(ClientArgs::of(&self.server, LEDGER));
        let request = GetDecisionRequest {
            ledger: LEDGER.to_owned(),
            by: Some(get_decision_request::By::IdempotencyKey(key.to_owned())),
        };
        let decision = session.call(rpc::GET_DECISION, request).await?;
        decision
            .transactions
            .into_iter()
            .next()
            .map(|transaction| transaction.id)
            .ok_or_else(|| Failure::broken(format!("key {key} made no transaction")))
    }
}

/// Tells the story.
///
/// # Errors
/// The folder is there already, the server cannot be started, or something did not go as told.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    if args.data.exists() {
        return Err(
            Failure::usage(format!("{} is there already", args.data.display()))
                .hint("if its server still runs, just use it: daybook account list")
                .hint(format!(
                    "or tell the story elsewhere: daybook demo --data {}-2",
                    args.data.display()
                )),
        );
    }
    let server = Server::start(&args.data, args.listen, args.operations_listen).await?;
    let mut story = Story {
        server: server.url(),
        chapter: 0,
    };
    output::line(format!(
        "{DIM}A server of its own runs at {}, with its books in {}.{DIM:#}",
        server.url(),
        args.data.display()
    ));
    // A failure drops the server, which stops it.
    tell(&mut story).await?;
    prove(&mut story, &args.data).await?;
    if args.no_server {
        return server.stop().await;
    }
    farewell(&story, server, &args.data);
    Ok(())
}

async fn tell(story: &mut Story) -> Result<(), Failure> {
    story.chapter("A ledger, and accounts for the bank and its customers");
    story
        .run(&["ledger", "create", "--description", "demo bank"])
        .await?;
    let accounts: [&[&str]; 4] = [
        &["bank:cash", "--asset", "USD", "--type", "asset"],
        &[
            "customers:ada",
            "--asset",
            "USD",
            "--type",
            "liability",
            "--minimum",
            "0",
        ],
        &[
            "customers:bob",
            "--asset",
            "USD",
            "--type",
            "liability",
            "--minimum",
            "0",
        ],
        &["merchants:cafe", "--asset", "USD", "--type", "liability"],
    ];
    for account in accounts {
        let words: Vec<_> = ["account", "open"].iter().chain(account).copied().collect();
        story.run(&words).await?;
    }

    story.chapter("Deposits: cash comes in (debit), and we owe it to the customer (credit)");
    for (customer, amount) in [
        ("customers:ada", "100.00 USD"),
        ("customers:bob", "50.00 USD"),
    ] {
        story
            .run(&[
                "transaction",
                "create",
                "--from",
                "bank:cash",
                "--to",
                customer,
                amount,
            ])
            .await?;
    }

    story.chapter("Ada pays Bob; the key makes it safe to repeat");
    let transfer = [
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "customers:bob",
        "30.00 USD",
        "--description",
        RENT,
        "--key",
        "rent-november",
    ];
    story.run(&transfer).await?;
    output::line(format!(
        "{DIM}Once more, as if the answer had been lost:{DIM:#}"
    ));
    story.run(&transfer).await?;

    story.chapter("Bob wants more than he has: the rules say no, and that is on record too");
    story
        .refused(
            &[
                "transaction",
                "create",
                "--from",
                "customers:bob",
                "--to",
                "bank:cash",
                "500.00 USD",
                "--key",
                "too-much",
            ],
            "INSUFFICIENT_FUNDS",
        )
        .await?;

    story.chapter("A hold at the café, captured in part; the rest is released");
    story
        .run(&[
            "transaction",
            "create",
            "--from",
            "customers:ada",
            "--to",
            "merchants:cafe",
            "20.00 USD",
            "--hold",
            "--expires-in",
            "7d",
            "--key",
            "cafe-hold",
        ])
        .await?;
    let hold = story.transaction("cafe-hold").await?;
    story
        .run(&["transaction", "capture", &hold, "15.00 USD", "--final"])
        .await?;

    story.chapter("A third of the rent comes back: a reversal is a transaction of its own");
    let rent = story.transaction("rent-november").await?;
    story
        .run(&["transaction", "reverse", &rent, "10.00 USD"])
        .await?;

    story.chapter("Ada's statement, and the books as a whole");
    story.run(&["statement", "customers:ada"]).await?;
    story.run(&["trial-balance"]).await?;
    story.run(&["log"]).await
}

async fn prove(story: &mut Story, folder: &Path) -> Result<(), Failure> {
    story.chapter("Verify: hash chains, sums, and read models against a replay from zero");
    output::line(format!("{DIM}$ daybook verify{DIM:#}"));
    let verdict = offline(folder, &[], &ProgressBar::hidden()).await?;
    show_verdict(&verdict);
    if !verdict.summary.clean {
        return Err(Failure::new(
            Kind::Refused,
            "NOT_CLEAN",
            "the books must be clean here",
        ));
    }

    story.chapter("Somebody flips one byte in a copy of the file");
    let copy = damage::copy_with_one_byte_flipped(folder, RENT.as_bytes()).await?;
    output::line(format!(
        "{DIM}{}, byte {}: {:?} became {:?}{DIM:#}",
        copy.file, copy.offset, copy.before, copy.after
    ));
    output::line(format!("{DIM}$ daybook verify --data COPY{DIM:#}"));
    let verdict = offline(copy.folder(), &[], &ProgressBar::hidden()).await?;
    show_verdict(&verdict);
    match verdict.findings.is_empty() {
        true => Err(Failure::broken("the flipped byte was not found")),
        false => Ok(()),
    }
}

fn farewell(story: &Story, server: Server, folder: &Path) {
    let suffix = match story.server.ends_with(":7420") {
        true => String::new(),
        false => format!(" --server {}", story.server),
    };
    let pid = server.leave();
    output::line(format!(
        "\n{GREEN}That was the story.{GREEN:#} The server lives on: process {BOLD}{pid}{BOLD:#}, folder {}.",
        folder.display()
    ));
    output::line("Try:");
    for command in ["account list", "audit decision --key too-much", "log -f"] {
        output::line(format!("  {CYAN}daybook {command}{suffix}{CYAN:#}"));
    }
    output::line(format!(
        "{DIM}Stop it with: kill {pid}. Start it again with: daybook serve --data {}{DIM:#}",
        folder.display()
    ));
}
