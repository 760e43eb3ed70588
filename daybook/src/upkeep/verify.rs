//! `daybook verify`.

use std::path::Path;
use std::sync::Arc;

use adapter_embedded::Embedded;
use adapter_object_store::ObjectSnapshots;
use indicatif::{ProgressBar, ProgressStyle};
use ports::snapshot::SnapshotStore;
use schemas::proto::v1::{Finding, VerifyProgress, VerifyRequest, VerifySummary};
use shard_state::Source;

use super::{PlaceArgs, findings, runtime, summary, verify_options};
use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, DIM, GREEN, RED};
use crate::client::rpc;
use crate::serve::embedded::{SNAPSHOTS, open_failure};

/// `daybook verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// A head that was kept elsewhere (`daybook audit head`): the log must pass through it.
    #[arg(long, value_name = "LEDGER@RECORD:HASH")]
    expect_head: Vec<String>,
    /// Hold the log's archive and every row of the account history against the log, too, where
    /// they are stores of their own (a cluster).
    #[arg(long)]
    deep: bool,
}

impl VerifyArgs {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        self.place.json
    }
}

/// What was found.
pub struct Verdict {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub summary: VerifySummary,
}

/// Verifies a folder, or what a server serves.
///
/// # Errors
/// Something is wrong with the books (exit status 1), or verification could not be done.
pub fn run(args: VerifyArgs) -> Result<(), Failure> {
    let json = args.place.json;
    let bar = match json {
        true => ProgressBar::hidden(),
        false => progress_bar(),
    };
    let verdict = runtime()?.block_on(async {
        match &args.place.data {
            Some(folder) => offline(folder, &args.expect_head, &bar).await,
            None if args.place.is_cluster() => cluster(&args, &bar).await,
            None => online(&args, &bar).await,
        }
    });
    bar.finish_and_clear();
    let verdict = verdict?;
    if json {
        let reply = VerifyProgress {
            findings: verdict.findings.clone(),
            summary: Some(verdict.summary.clone()),
            ..Default::default()
        };
        output::json(&rpc::VERIFY.reply_json(&reply));
    } else {
        show(&verdict);
    }
    match verdict.findings.first() {
        None if verdict.summary.clean => Ok(()),
        None => Err(Failure::new(Kind::Refused, "NOT_CLEAN", "the books are not clean")),
        Some(first) => Err(Failure::new(Kind::Refused, &first.code, describe(first))
            .hint(match &args.place.data {
                Some(folder) if first.code == "READ_MODELS_UNUSABLE" => format!(
                    "build them again from the log: daybook replay --data {}",
                    folder.display()
                ),
                Some(folder) => format!(
                    "daybook snapshot restore --data {} --to NEW-FOLDER restores all before the damage",
                    folder.display()
                ),
                None => "read models and snapshots are made from the log: daybook replay, daybook snapshot create".to_owned(),
            })),
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} records  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn describe(finding: &Finding) -> String {
    let mut place = Vec::new();
    if !finding.ledger.is_empty() {
        place.push(format!("ledger {}", finding.ledger));
    }
    if finding.ledger_sequence > 0 {
        place.push(format!("record {} of the ledger", finding.ledger_sequence));
    }
    if finding.sequence > 0 {
        place.push(format!("record {} of the shard", finding.sequence));
    }
    match place.is_empty() {
        true => finding.message.clone(),
        false => format!("{}: {}", place.join(", "), finding.message),
    }
}

/// Prints a verdict.
pub fn show(verdict: &Verdict) {
    let summary = &verdict.summary;
    for finding in &verdict.findings {
        output::line(format!(
            "{RED}{}{RED:#} {}",
            finding.code,
            describe(finding)
        ));
    }
    output::line(match summary.clean && verdict.findings.is_empty() {
        true => format!("{GREEN}clean{GREEN:#} {DIM}everything agrees with everything{DIM:#}"),
        false => format!("{RED}not clean{RED:#}"),
    });
    output::line(format!(
        "  {BOLD}{}{BOLD:#} records, {} ledgers, {} accounts, {} transactions",
        summary.records, summary.ledgers, summary.accounts, summary.transactions
    ));
    for check in &summary.checks {
        output::line(format!("  {DIM}checked{DIM:#}  {check}"));
    }
    for head in &summary.heads {
        output::line(format!("  {DIM}head{DIM:#}     {head}"));
    }
}

/// Verifies a folder that may, but need not, be served.
///
/// # Errors
/// It could not be done. What is damaged is a finding, where it can be read at all.
pub async fn offline(
    folder: &Path,
    expect_heads: &[String],
    bar: &ProgressBar,
) -> Result<Verdict, Failure> {
    let options = verify_options(expect_heads).map_err(Failure::usage)?;
    let embedded = Embedded::open_read_only(folder)
        .await
        .map_err(|error| open_failure(error, folder))?;
    let snapshots = folder.join(SNAPSHOTS);
    let store: Option<Arc<dyn SnapshotStore>> = match snapshots.is_dir() {
        true => Some(Arc::new(
            ObjectSnapshots::local(&snapshots).map_err(|e| Failure::broken(e.to_string()))?,
        )),
        false => None,
    };
    let views = embedded.has_views().then(|| embedded.views());
    let source = Source::of(embedded.log().as_ref());
    let told = {
        let bar = bar.clone();
        move |at: shard_state::verify::Progress| {
            bar.set_length(at.end);
            bar.set_position(at.sequence);
            bar.set_message(format!("shard {}", at.shard));
        }
    };
    let report = shard_state::verify::verify(&source, store, views, &options, told).await;
    let pages = embedded.check_log_pages().await;
    let view_pages = embedded.check_view_pages().await;
    embedded.close().await;
    let report = report.map_err(|error| Failure::broken(error.to_string()))?;
    let mut verdict = Verdict {
        findings: findings(&report),
        summary: summary(&report),
    };
    let pages = pages.unwrap_or_else(|error| vec![error.to_string()]);
    verdict
        .findings
        .extend(pages.into_iter().map(|page| Finding {
            code: "LOG_DAMAGED".to_owned(),
            message: format!("the file log.db: {page}"),
            ..Default::default()
        }));
    let view_pages = view_pages.unwrap_or_else(|error| vec![error.to_string()]);
    verdict
        .findings
        .extend(view_pages.into_iter().map(|page| Finding {
            code: "READ_MODELS_UNUSABLE".to_owned(),
            message: format!("the read models: {page}"),
            ..Default::default()
        }));
    verdict.summary.clean = verdict.findings.is_empty();
    Ok(verdict)
}

/// Verifies the stores of a cluster, which may be served meanwhile.
#[cfg(feature = "cluster")]
async fn cluster(args: &VerifyArgs, bar: &ProgressBar) -> Result<Verdict, Failure> {
    let options = verify_options(&args.expect_head).map_err(Failure::usage)?;
    let opened = super::open_cluster(&args.place).await?;
    let told = {
        let bar = bar.clone();
        move |at: shard_state::verify::Progress| {
            bar.set_length(at.end);
            bar.set_position(at.sequence);
            bar.set_message(format!("shard {}", at.shard));
        }
    };
    let verdict = super::check(&opened.stores, &options, args.deep, told).await;
    opened.close().await;
    verdict.map_err(|error| Failure::broken(error.to_string()))
}

#[cfg(not(feature = "cluster"))]
async fn cluster(_: &VerifyArgs, _: &ProgressBar) -> Result<Verdict, Failure> {
    Err(crate::serve::cluster::without_feature())
}

async fn online(args: &VerifyArgs, bar: &ProgressBar) -> Result<Verdict, Failure> {
    let session = args.place.session();
    let request = VerifyRequest {
        expect_heads: args.expect_head.clone(),
        deep: args.deep,
    };
    let mut stream = session.stream(rpc::VERIFY, request).await?;
    let mut found = Vec::new();
    while let Some(progress) = stream
        .message()
        .await
        .map_err(|status| Failure::from_status(&status))?
    {
        bar.set_length(progress.target_sequence);
        bar.set_position(progress.sequence);
        found.extend(progress.findings);
        if let Some(summary) = progress.summary {
            return Ok(Verdict {
                findings: found,
                summary,
            });
        }
    }
    Err(Failure::broken("the server ended without a verdict"))
}
