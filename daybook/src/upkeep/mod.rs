//! Upkeep: `daybook replay`, `snapshot` and `verify`, against a running server or a folder.

mod check;
mod deep;
mod replay;
mod restore;
mod setup;
mod snapshot;
mod trim;
mod verify;

use ports::snapshot::SnapshotEntry;
use schemas::proto::v1::{Finding, SnapshotInfo, VerifySummary};
use shard_state::verify::{ExpectedHead, Options, Report};

pub use check::{CheckError, check};
pub use deep::{Deep, DeepError, Found};
pub use replay::{ReplayArgs, run as replay};
pub use setup::{SetupArgs, run as setup};
pub use snapshot::{SnapshotCommand, run as snapshot};
pub use trim::{TrimArgs, run as trim};
pub use verify::{Verdict, VerifyArgs, offline, run as verify, show as show_verdict};

use crate::client::failure::Failure;
use crate::client::session::{ClientArgs, Session};
use crate::serve::config::{ClusterPlace, Profile};

/// Where upkeep is done: on a folder that no server has open, or through a server's operations
/// port.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaceArgs {
    /// A data folder; without it a running server does the work.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<std::path::PathBuf>,

    /// The operations port of the server.
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_OPERATIONS",
        value_name = "URL",
        default_value = "http://127.0.0.1:7421"
    )]
    pub operations: String,

    /// cluster: work on the stores themselves, with the settings of `daybook serve`, instead of
    /// through a server.
    #[arg(long, value_enum, value_name = "PROFILE", conflicts_with = "data")]
    pub profile: Option<Profile>,

    /// Where a cluster is.
    #[command(flatten)]
    pub cluster: ClusterPlace,

    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

impl PlaceArgs {
    /// Whether the stores of a cluster are worked on.
    fn is_cluster(&self) -> bool {
        self.profile == Some(Profile::Cluster)
    }

    fn session(&self) -> Session {
        Session::of_operations(ClientArgs {
            json: self.json,
            timeout: std::time::Duration::from_secs(3_600),
            ..ClientArgs::of(&self.operations, "")
        })
    }
}

/// Reads heads that were kept elsewhere.
///
/// # Errors
/// One is not of the form `ledger@sequence:hash`.
pub fn verify_options(expect_heads: &[String]) -> Result<Options, String> {
    Ok(Options {
        expect_heads: expect_heads
            .iter()
            .map(|text| text.parse::<ExpectedHead>())
            .collect::<Result<_, _>>()?,
        hash_seed: rand::random(),
    })
}

/// A snapshot as the API lists it.
pub fn snapshot_info(shard: u32, entry: &SnapshotEntry) -> SnapshotInfo {
    let manifest = entry.manifest.as_ref();
    SnapshotInfo {
        shard,
        sequence: manifest.map_or(0, |manifest| manifest.sequence),
        recorded_at: manifest.map(|manifest| prost_types::Timestamp {
            seconds: manifest.recorded_at.div_euclid(1_000_000),
            nanos: (manifest.recorded_at.rem_euclid(1_000_000) * 1_000) as i32,
        }),
        bytes: entry.bytes,
        name: entry.name.clone(),
        damaged: manifest.is_none(),
    }
}

/// What verification found, as the API says it.
pub fn findings(report: &Report) -> Vec<Finding> {
    report
        .findings
        .iter()
        .map(|finding| Finding {
            code: finding.code.to_owned(),
            ledger: finding
                .ledger
                .as_ref()
                .map(|ledger| ledger.to_string())
                .unwrap_or_default(),
            sequence: finding.sequence.unwrap_or_default(),
            ledger_sequence: finding.ledger_sequence.unwrap_or_default(),
            message: finding.message.clone(),
        })
        .collect()
}

/// How much was verified, as the API says it.
pub fn summary(report: &Report) -> VerifySummary {
    let summary = &report.summary;
    let mut checks = vec![
        format!(
            "{} records: hash chain, contiguous sequences, debits = credits for each asset, \
             resulting balances",
            summary.records
        ),
        format!(
            "{} snapshots against the state recomputed from zero",
            summary.snapshots
        ),
    ];
    for (shard, at) in summary.compared_at.iter().enumerate() {
        checks.push(match at {
            Some(at) => format!("read models of shard {shard} at record {at}"),
            None => format!("shard {shard} has no read models to compare"),
        });
    }
    checks.push(format!(
        "{} accounts and {} transactions of the read models, row by row",
        summary.view_accounts, summary.view_transactions
    ));
    if summary.expected_heads > 0 {
        checks.push(format!(
            "{} heads that were kept elsewhere",
            summary.expected_heads
        ));
    }
    checks.extend(
        summary
            .left_out
            .iter()
            .map(|why| format!("left out: {why}")),
    );
    VerifySummary {
        clean: report.is_clean(),
        records: summary.records,
        ledgers: summary.ledgers,
        accounts: summary.accounts,
        transactions: summary.transactions,
        checks,
        heads: summary
            .heads
            .iter()
            .map(|(ledger, head)| format!("{ledger}@{}:{}", head.ledger_sequence, head.hash))
            .collect(),
    }
}

/// The stores of the cluster that `place` names, for work beside its servers.
#[cfg(feature = "cluster")]
async fn open_cluster(place: &PlaceArgs) -> Result<crate::serve::cluster::open::Opened, Failure> {
    use crate::serve::cluster::{open, settings};
    let (cluster, _) = place.cluster.load()?;
    let connection = adapter_kafka::Connection::new(settings::kafka(&cluster)?);
    let kafka = open::open_log(&connection, None, None).await?;
    open::open(&cluster, kafka, None).await
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
