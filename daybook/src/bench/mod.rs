//! `daybook bench`: loads a server over gRPC like a busy client would, reports what it did and
//! what that cost, and then checks that every acknowledged transfer is in the books.

mod check;
mod ids;
mod load;
mod queries;
mod report;
mod target;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use schemas::proto::v1 as api;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;

pub use report::Report;

/// What to load a server with.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// A running server, such as http://127.0.0.1:7420. Without it a server is started in a
    /// temporary folder, and stopped at the end.
    #[arg(long, env = "DAYBOOK_BENCH_SERVER")]
    pub server: Option<String>,
    /// cluster: a server of the cluster profile runs already, on http://127.0.0.1:7420 where
    /// --server names no other.
    #[arg(long, value_enum, value_name = "PROFILE", conflicts_with_all = ["data", "shards"])]
    pub profile: Option<crate::serve::config::Profile>,
    /// Folder for the server that is started; must not exist. Kept afterwards.
    #[arg(long, conflicts_with = "server")]
    pub data: Option<PathBuf>,
    /// Shards of the server that is started.
    #[arg(long, default_value_t = 1, conflicts_with = "server")]
    pub shards: u32,
    /// Accounts to transfer between.
    #[arg(long, default_value_t = 10_000)]
    pub accounts: u32,
    /// Transfers in all.
    #[arg(long, default_value_t = 1_000_000)]
    pub transfers: u64,
    /// Transfers a request; 1 sends single calls.
    #[arg(long, default_value_t = 8_189)]
    pub batch: usize,
    /// Requests that each client keeps in flight.
    #[arg(long, default_value_t = 4)]
    pub in_flight: usize,
    /// Clients, each with a connection of its own.
    #[arg(long, default_value_t = 1)]
    pub clients: usize,
    /// Accounts that get more than their share.
    #[arg(long, default_value_t = 0)]
    pub hot_accounts: u32,
    /// Percent of transfers that touch a hot account.
    #[arg(long, default_value_t = 0)]
    pub hot_percent: u32,
    /// Percent of transfers made as holds and captured later; needs the friendly form.
    #[arg(long, default_value_t = 0)]
    pub holds: u32,
    /// Queries after the load: balances as of a moment and an account's last 20 postings, in turn.
    #[arg(long, default_value_t = 0)]
    pub queries: u64,
    /// Packed columns, or commands with names and decimal strings.
    #[arg(long, value_enum, default_value_t = Form::Friendly)]
    pub form: Form,
    /// Of the random numbers that choose accounts and amounts.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How transfers are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// `BatchTransfer`: account numbers, amounts, 16-byte ids.
    Packed,
    /// `BatchWrite` (or `Write`): names, decimal strings, UUID text.
    Friendly,
}

/// Why a benchmark did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The words on the command line contradict each other.
    #[error("{0}")]
    Usage(String),
    /// The server could not be started or reached.
    #[error("the server: {0}")]
    Server(String),
    /// A call failed.
    #[error("{call}: {status}")]
    Call {
        /// Which call.
        call: &'static str,
        /// What the server said.
        status: Box<tonic::Status>,
    },
    /// The books are not what was acknowledged.
    #[error("THE BOOKS ARE WRONG: {0}")]
    Wrong(String),
}

impl BenchError {
    fn call(call: &'static str) -> impl FnOnce(tonic::Status) -> Self {
        move |status| Self::Call {
            call,
            status: Box::new(status),
        }
    }
}

/// Runs the benchmark.
///
/// # Errors
/// [`BenchError`]; [`BenchError::Wrong`] when anything acknowledged is not in the books.
pub async fn run(args: &BenchArgs) -> Result<Report, BenchError> {
    if args.holds > 0 && args.form == Form::Packed {
        return Err(BenchError::Usage(
            "--holds needs --form friendly: the packed form has no holds".into(),
        ));
    }
    if args.accounts < 2 || args.batch == 0 || args.in_flight == 0 || args.clients == 0 {
        return Err(BenchError::Usage(
            "at least 2 accounts, and 1 of batch, in-flight and clients".into(),
        ));
    }
    if args.batch > ledger_core::limits::BATCH_COMMANDS_MAX {
        return Err(BenchError::Usage(format!(
            "--batch is at most {}",
            ledger_core::limits::BATCH_COMMANDS_MAX
        )));
    }
    let target = target::Target::reach(args).await?;
    let ledger = format!("bench-{}", uuid::Uuid::now_v7().simple());
    let channel = target.connect().await?;
    set_up(channel.clone(), &ledger, args.accounts).await?;

    let disk_before = target.disk();
    let started = Instant::now();
    let loaded = load::run(args, &target, &ledger).await?;
    let acknowledged_in = started.elapsed();
    wait_until_visible(channel.clone(), &ledger, &loaded.last_token).await?;
    let visible_in = started.elapsed();
    let memory = target.memory().await;
    let disk_after = target.disk();
    let queried = queries::run(args, channel.clone(), &ledger).await?;
    let checked = check::run(args, channel, &ledger, &loaded).await?;

    let report = Report::new(
        args,
        loaded,
        acknowledged_in,
        visible_in,
        memory,
        disk_before.zip(disk_after),
        queried,
        checked,
    );
    target.stop().await?;
    Ok(report)
}

/// For microseconds up to an hour.
fn histogram() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .expect("3 significant figures over these bounds are allowed")
}

fn account_name(number: u32) -> String {
    format!("accounts:{number:07}")
}

async fn set_up(
    channel: tonic::transport::Channel,
    ledger: &str,
    accounts: u32,
) -> Result<(), BenchError> {
    use api::command::Operation;
    let mut commands = CommandServiceClient::new(channel);
    let create = |operation| api::Command {
        idempotency_key: uuid::Uuid::now_v7().to_string(),
        ledger: ledger.to_owned(),
        operation: Some(operation),
        ..api::Command::default()
    };
    commands
        .write(create(
            Operation::CreateLedger(api::CreateLedger::default()),
        ))
        .await
        .map_err(BenchError::call("create the ledger"))?;
    let numbers: Vec<u32> = (1..=accounts).collect();
    for stretch in numbers.chunks(8_000) {
        let request = api::BatchWriteRequest {
            commands: stretch
                .iter()
                .map(|number| {
                    create(Operation::OpenAccount(api::OpenAccount {
                        name: account_name(*number),
                        asset: "USD/2".into(),
                        r#type: api::AccountType::Liability.into(),
                        ..api::OpenAccount::default()
                    }))
                })
                .collect(),
        };
        let reply = commands
            .batch_write(request)
            .await
            .map_err(BenchError::call("open the accounts"))?
            .into_inner();
        for (number, outcome) in stretch.iter().zip(reply.outcomes) {
            match outcome.outcome {
                // The packed form names accounts by number, and counts on this.
                Some(api::outcome::Outcome::Receipt(receipt))
                    if receipt.account_number == *number => {}
                other => {
                    return Err(BenchError::Server(format!("account {number}: {other:?}")));
                }
            }
        }
    }
    Ok(())
}

async fn wait_until_visible(
    channel: tonic::transport::Channel,
    ledger: &str,
    token: &str,
) -> Result<(), BenchError> {
    use api::consistency::Consistency;
    let mut queries = QueryServiceClient::new(channel);
    let started = Instant::now();
    loop {
        let mut request = tonic::Request::new(api::ListPostingsRequest {
            ledger: ledger.to_owned(),
            account: account_name(1),
            page_size: 1,
            consistency: Some(api::Consistency {
                consistency: Some(Consistency::AtLeast(token.to_owned())),
            }),
            ..api::ListPostingsRequest::default()
        });
        request.set_timeout(std::time::Duration::from_secs(30));
        match queries.list_postings(request).await {
            Ok(_) => return Ok(()),
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::Unavailable
                        | tonic::Code::DeadlineExceeded
                        | tonic::Code::Cancelled
                ) && started.elapsed().as_secs() < 600 => {}
            Err(status) => return Err(BenchError::call("wait until visible")(status)),
        }
    }
}
