//! `daybook audit` and `daybook log`.

use std::time::Duration;

use clap::Subcommand;
use schemas::proto::v1::*;

use super::decision_view as view;
use super::options::{LimitArgs, time};
use super::pages::{more_hint, pages, pages_to_show, to_show};
use crate::client::failure::Failure;
use crate::client::output::{self, DIM};
use crate::client::session::Session;
use crate::client::{moment, rpc};

/// Which records.
#[derive(Debug, Clone, clap::Args)]
pub struct FilterArgs {
    /// Those that touch this account.
    #[arg(long)]
    account: Option<String>,
    /// Only refusals with this code.
    #[arg(long, value_name = "CODE")]
    code: Vec<String>,
    /// Only what happened.
    #[arg(long, conflicts_with = "rejections_only")]
    events_only: bool,
    /// Only what was refused.
    #[arg(long)]
    rejections_only: bool,
    /// From this record of the ledger.
    #[arg(long, value_name = "RECORD", default_value_t = 0)]
    from: u64,
    /// Recorded from this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

impl FilterArgs {
    fn wire(&self) -> Option<RecordFilter> {
        Some(RecordFilter {
            account: self.account.clone().unwrap_or_default(),
            codes: self.code.clone(),
            events_only: self.events_only,
            rejections_only: self.rejections_only,
        })
    }
}

/// Audit: every decision, the refused ones too.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// All that is known about one decision.
    Decision {
        /// By its key.
        #[arg(long, group = "by", required = true)]
        key: Option<String>,
        /// By the transaction that it made.
        #[arg(long, group = "by", required = true, value_name = "ID")]
        transaction: Option<String>,
        /// By its number in the ledger.
        #[arg(long, group = "by", required = true)]
        record: Option<u64>,
    },
    /// Records of the ledger, oldest first.
    Records {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// The head of the ledger's chain: keep it elsewhere, and hold us to it with
    /// `daybook verify --expect-head`.
    Head {
        /// Of all ledgers and of the engine's own chains, a line each.
        #[arg(long)]
        all: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn run(session: &Session, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Decision {
            key,
            transaction,
            record,
        } => {
            use get_decision_request::By;
            let by = match (key, transaction, record) {
                (Some(key), _, _) => By::IdempotencyKey(key),
                (_, Some(id), _) => By::TransactionId(id),
                (_, _, record) => By::LedgerSequence(record.unwrap_or_default()),
            };
            let request = GetDecisionRequest {
                ledger: session.ledger(),
                by: Some(by),
            };
            if let Some(decision) = to_show(session, rpc::GET_DECISION, request).await? {
                view::show(&decision);
            }
            Ok(())
        }
        AuditCommand::Records { filter, limit } => records(session, filter, limit).await,
        AuditCommand::Head { all: false } => {
            let request = GetHeadRequest {
                ledger: session.ledger(),
            };
            let Some(head) = to_show(session, rpc::GET_HEAD, request).await? else {
                return Ok(());
            };
            show_head(&head);
            output::note(format!(
                "{DIM}recorded {}; keep this line elsewhere, and later: daybook verify --expect-head LINE{DIM:#}",
                moment::exact(head.recorded_at.as_ref())
            ));
            Ok(())
        }
        AuditCommand::Head { all: true } => heads(session).await,
    }
}

fn show_head(head: &Head) {
    output::line(format!(
        "{}@{}:{}",
        head.ledger, head.ledger_sequence, head.record_hash
    ));
}

/// The heads of all ledgers and of the engine's own chains, each as it is when its turn comes.
async fn heads(session: &Session) -> Result<(), Failure> {
    let request = |page_size, page_token| ListLedgersRequest {
        page_size,
        page_token,
    };
    let Some(all) = pages(session, rpc::LIST_LEDGERS, usize::MAX, request).await? else {
        return Ok(());
    };
    let Some(info) = session
        .ask(rpc::GET_SERVER_INFO, GetServerInfoRequest {})
        .await?
    else {
        return Ok(());
    };
    let shards = info.shards.iter();
    let own = shards.map(|shard| format!("daybook:shard:{}", shard.shard));
    let ledgers = all.ledgers.into_iter().map(|ledger| ledger.name);
    for ledger in own.chain(ledgers) {
        let request = GetHeadRequest { ledger };
        let head = session.call(rpc::GET_HEAD, request).await?;
        if session.args.json {
            output::json_line(&rpc::GET_HEAD.reply_json(&head));
        } else {
            show_head(&head);
        }
    }
    if !session.args.json {
        output::note(format!(
            "{DIM}keep these lines elsewhere, and later: daybook verify --expect-head LINE, once for each{DIM:#}"
        ));
    }
    Ok(())
}

async fn records(session: &Session, filter: FilterArgs, limit: LimitArgs) -> Result<(), Failure> {
    let recorded_from = time(&filter.since)?;
    let request = |page_size, page_token| ListRecordsRequest {
        ledger: session.ledger(),
        from_ledger_sequence: filter.from,
        recorded_from,
        filter: filter.wire(),
        page_size,
        page_token,
    };
    let Some(all) = pages_to_show(session, rpc::LIST_RECORDS, &limit, request).await? else {
        return Ok(());
    };
    for decision in &all.decisions {
        output::line(view::log_line(decision, false));
    }
    more_hint(&all);
    Ok(())
}

/// `daybook log`.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// Stay, and show decisions as they come.
    #[arg(short, long)]
    follow: bool,
    /// Of all ledgers, the engine's own chains too.
    #[arg(long)]
    all: bool,
    /// Only what comes from now on.
    #[arg(long, requires = "follow")]
    from_now: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Shows decisions, a line each; follows and resumes where a connection was lost.
///
/// # Errors
/// What the server said no to, or that it did not answer for `--retry-for`.
pub async fn log(session: &Session, args: LogArgs) -> Result<(), Failure> {
    let mut request = WatchRecordsRequest {
        ledger: match args.all {
            true => String::new(),
            false => session.ledger(),
        },
        from_ledger_sequence: args.filter.from,
        recorded_from: time(&args.filter.since)?,
        filter: args.filter.wire(),
        follow: args.follow,
        from_now: args.from_now,
        resume_after: String::new(),
    };
    if session.args.show_rpc {
        session.show(rpc::WATCH_RECORDS, &request);
        return Ok(());
    }
    let mut lost_since = None;
    loop {
        let failure = match watch(session, &args, &mut request).await {
            Ok(()) => return Ok(()),
            Err((failure, seen)) => {
                if seen {
                    lost_since = None;
                }
                failure
            }
        };
        let since = *lost_since.get_or_insert_with(std::time::Instant::now);
        // The first connection must be there; a later one may come back.
        let resumable = failure.retryable || !request.resume_after.is_empty();
        let gone = failure.kind == crate::client::failure::Kind::Unavailable;
        if !(resumable && gone) || since.elapsed() > session.args.retry_for {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn watch(
    session: &Session,
    args: &LogArgs,
    request: &mut WatchRecordsRequest,
) -> Result<(), (Failure, bool)> {
    let mut seen = false;
    let mut stream = session
        .stream(rpc::WATCH_RECORDS, request.clone())
        .await
        .map_err(|failure| (failure, seen))?;
    loop {
        match stream.message().await {
            Ok(None) => return Ok(()),
            Ok(Some(reply)) => {
                seen = true;
                if session.args.json {
                    output::json_line(&rpc::WATCH_RECORDS.reply_json(&reply));
                } else if let Some(decision) = &reply.decision {
                    output::line(view::log_line(decision, args.all));
                }
                request.resume_after = reply.resume_token;
                request.from_now = false;
                request.from_ledger_sequence = 0;
                request.recorded_from = None;
            }
            Err(status) => return Err((Failure::from_status(&status), seen)),
        }
    }
}
