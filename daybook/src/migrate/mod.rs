//! `daybook migrate`: carries the books over from one log to another.

mod place;
mod report;

use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use ledger_core::time::Timestamp;
use schemas::record::{LogId, LogSealed};
use shard_state::migrate::{self, Given, MigrateError, Options, carry, plan, seal};

use crate::client::failure::{Failure, Kind};
use crate::client::moment;
use crate::serve::config::ClusterPlace;
use crate::upkeep::verify_options;
use place::{Opened, Place};
use report::Done;

/// `daybook migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The source is sealed first: it takes no more records, and its server refuses to start and says
where the books went. Stop the server before. Killed at any moment, the same command goes on.
Keys keep their meaning; tokens and page tokens of the source are refused by the target.")]
pub struct MigrateArgs {
    /// Where the books are: a data folder, or `cluster`.
    #[arg(long, value_name = "FOLDER|cluster")]
    from: Place,
    /// Where they go: a new data folder, or `cluster` (after `daybook setup`).
    #[arg(long, value_name = "FOLDER|cluster", required_unless_present = "lost")]
    to: Option<Place>,
    /// Shards of a new folder; without it as many as the source has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    shards: Option<u32>,
    /// Only read the source, check its chains, and say what would be made.
    #[arg(long, conflicts_with = "abandon")]
    dry_run: bool,
    /// Give the migration up: close the target for ever, and open the source again. Refused when
    /// the target has served.
    #[arg(long)]
    abandon: bool,
    /// With --abandon: the target is lost, and nobody will ever serve it. Its log's id, as the
    /// source's seal names it.
    #[arg(long, value_name = "LOG", requires = "abandon", conflicts_with = "to")]
    lost: Option<String>,
    /// With --abandon: why, for the record.
    #[arg(
        long,
        value_name = "TEXT",
        requires = "abandon",
        default_value = "given up"
    )]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where the cluster is, for `cluster`.
    #[command(flatten)]
    cluster: ClusterPlace,
}

impl MigrateArgs {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// Carries the books over, or gives that up.
///
/// # Errors
/// It could not be done; doing it again goes on.
pub fn run(args: MigrateArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match (args.dry_run, args.abandon) {
            (true, _) => rehearse(&args).await,
            (_, true) => give_up(&args).await,
            _ => carry_over(&args).await,
        }
    })
}

fn now() -> Result<Timestamp, Failure> {
    let now = moment::now();
    now.seconds
        .checked_mul(1_000_000)
        .and_then(|micros| Timestamp::from_micros(micros + i64::from(now.nanos) / 1_000))
        .ok_or_else(|| Failure::broken("the clock is out of range"))
}

/// A place for people.
fn said(args: &MigrateArgs, place: &Place) -> String {
    let said = place.said(&args.cluster);
    said.unwrap_or_else(|_| "the cluster".to_owned())
}

fn target(args: &MigrateArgs) -> Result<&Place, Failure> {
    let target = args.to.as_ref();
    let target = target.ok_or_else(|| Failure::usage("say where the books go: --to"))?;
    match target.is_same(&args.from) {
        true => Err(Failure::usage("the books are there already")),
        false => Ok(target),
    }
}

async fn rehearse(args: &MigrateArgs) -> Result<(), Failure> {
    let target = target(args)?;
    let source = Opened::to_read(&args.from, &args.cluster).await?;
    let from = source.source();
    let shards = args.shards.unwrap_or(from.shard_count);
    let bar = bar(args.json, "read");
    let planned = plan(&from, shards, tell(&bar)).await;
    bar.finish_and_clear();
    source.close().await;
    let planned = planned.map_err(|error| failed(error, args))?;
    report::show_plan(&planned, &from, args, target);
    Ok(())
}

async fn give_up(args: &MigrateArgs) -> Result<(), Failure> {
    let source = Opened::to_write(&args.from, &args.cluster).await?;
    let given = match (&args.lost, &args.to) {
        (Some(lost), _) => LogId::parse(lost)
            .map(|log_id| (Some(log_id), None))
            .map_err(|why| Failure::usage(why.to_string())),
        (None, Some(to)) => Opened::to_write(to, &args.cluster)
            .await
            .map(|to| (None, Some(to))),
        (None, None) => Err(Failure::usage("say --to, or --lost")),
    };
    let (lost, target) = match given {
        Ok(given) => given,
        Err(failure) => {
            source.close().await;
            return Err(failure);
        }
    };
    let given = match (&target, lost) {
        (Some(target), _) => Given::Log(target.log.as_ref()),
        (None, lost) => Given::Lost(lost.unwrap_or(LogId([0; 16]))),
    };
    let done = migrate::abandon(
        source.log.as_ref(),
        source.store.clone(),
        &said(args, &args.from),
        given,
        &args.reason,
        now()?,
    )
    .await;
    let log_id = source.log.log_id();
    source.close().await;
    if let Some(target) = target {
        target.close().await;
    }
    let reopened = done.map_err(|error| failed(error, args))?;
    report::show_given_up(reopened, log_id, args);
    Ok(())
}

async fn carry_over(args: &MigrateArgs) -> Result<(), Failure> {
    let to = target(args)?;
    let source = Opened::to_write(&args.from, &args.cluster).await?;
    let shards = args.shards.unwrap_or(source.log.shard_count());
    let target = match Opened::to_fill(to, &args.cluster, shards, args.shards.is_some()).await {
        Ok(target) => target,
        Err(failure) => {
            source.close().await;
            return Err(failure);
        }
    };
    let done = between(args, to, &source, &target).await;
    let pages = target.check_pages().await;
    source.close().await;
    target.close().await;
    let done = done?;
    report::show_done(&done, args, to);
    match (done.report.findings.first(), pages?.first()) {
        (None, None) => Ok(()),
        (Some(finding), _) => Err(Failure::new(
            Kind::Refused,
            finding.code,
            finding.to_string(),
        )),
        (_, Some(page)) => Err(Failure::new(Kind::Refused, "LOG_DAMAGED", page)),
    }
}

async fn between(
    args: &MigrateArgs,
    to: &Place,
    source: &Opened,
    target: &Opened,
) -> Result<Done, Failure> {
    migrate::check_target(target.log.as_ref(), source.log.log_id())
        .await
        .map_err(|error| failed(error, args))?;
    let to_there = LogSealed {
        moved_to: target.log.log_id(),
        place: Arc::from(to.said(&args.cluster)?),
    };
    let sealed = seal(source.log.as_ref(), source.store.clone(), &to_there, now()?)
        .await
        .map_err(|error| failed(error, args))?;
    let from = source.source();
    let options = Options::new(now()?, rand::random());
    let bar = bar(args.json, "carried over");
    let carried = carry(&from, &sealed, target.log.as_ref(), options, tell(&bar)).await;
    let carried = match carried {
        Ok(carried) => carried,
        Err(error) => {
            bar.finish_and_clear();
            return Err(failed(error, args));
        }
    };
    bar.set_message("verified");
    let heads: Vec<String> = carried
        .heads
        .iter()
        .map(|(ledger, head)| format!("{ledger}@{}:{}", head.ledger_sequence, head.hash))
        .collect();
    let options = verify_options(&heads).map_err(Failure::broken)?;
    let told = {
        let bar = bar.clone();
        move |at: shard_state::verify::Progress| {
            bar.set_length(at.end);
            bar.set_position(at.sequence);
        }
    };
    let into = target.source();
    let report = shard_state::verify::verify(&into, None, None, &options, told).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::broken(error.to_string()))?;
    Ok(Done { carried, report })
}

fn bar(hidden: bool, what: &'static str) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let template = "{bar:30} {pos}/{len} records {msg}  {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

fn tell(bar: &ProgressBar) -> impl FnMut(u64, u64) + Send + use<> {
    let bar = bar.clone();
    move |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    }
}

fn failed(error: MigrateError, args: &MigrateArgs) -> Failure {
    let code = error.code();
    let kind = match code {
        "LOG_SEALED" | "NOT_MIGRATED" => Kind::Refused,
        "UNAVAILABLE" => Kind::Unavailable,
        "LOG_LOCKED" => Kind::Locked,
        _ => Kind::Broken,
    };
    let failure = Failure::new(kind, code, error.to_string());
    let from = args.from.folder().map(Path::display);
    match (&error, from) {
        (MigrateError::Source(_), Some(from)) => {
            failure.hint(format!("daybook verify --data {from}"))
        }
        _ => failure,
    }
}
