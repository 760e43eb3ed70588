//! `daybook snapshot restore`: the books as they are, or as they were, in a new log.

use std::path::{Path, PathBuf};

use adapter_embedded::{Embedded, Options};
use ledger_core::time::Timestamp;
use shard_state::Source;
use shard_state::restore::{Point, RestoreReport, restore};

use crate::client::failure::{Failure, Kind};
use crate::client::moment;
use crate::client::output::{self, CYAN, DIM, GREEN};
use crate::serve::config::{ClusterPlace, Profile};
use crate::serve::embedded::open_failure;

/// `daybook snapshot restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The folder to restore from; it may be served meanwhile.
    #[arg(long, value_name = "FOLDER", required_unless_present = "profile")]
    data: Option<PathBuf>,

    /// cluster: restore from the cluster that the settings of `daybook serve` name; it may be
    /// served meanwhile.
    #[arg(long, value_enum, value_name = "PROFILE", conflicts_with = "data")]
    profile: Option<Profile>,

    /// Where a cluster is.
    #[command(flatten)]
    cluster: ClusterPlace,

    /// The new folder.
    #[arg(
        long,
        value_name = "FOLDER",
        required_unless_present = "to_cluster",
        conflicts_with = "to_cluster"
    )]
    to: Option<PathBuf>,

    /// The name of the new cluster, on the same servers: its topics, schema, tables and folder
    /// are made.
    #[arg(long, value_name = "NAME")]
    to_cluster: Option<String>,

    /// One broker without replicas will do for the new cluster.
    #[arg(long, requires = "to_cluster")]
    single_broker: bool,

    /// Up to this record of the shard.
    #[arg(long, value_name = "RECORD", conflicts_with = "moment")]
    sequence: Option<u64>,

    /// The shard that --sequence is about.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "sequence")]
    shard: u32,

    /// Up to this moment of recording.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    moment: Option<String>,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Restores.
///
/// # Errors
/// Nothing usable was made then.
pub async fn run(args: RestoreArgs) -> Result<(), Failure> {
    let point = match (args.sequence, &args.moment) {
        (Some(sequence), _) => Point::Sequence {
            shard: args.shard,
            sequence,
        },
        (None, Some(text)) => Point::Moment(timestamp(&moment::parse(text)?)?),
        (None, None) => Point::Newest,
    };
    let (report, from) = match &args.data {
        Some(data) => {
            let source = Embedded::open_read_only(data)
                .await
                .map_err(|error| open_failure(error, data))?;
            let restored = to_target(&args, &Source::of(source.log().as_ref()), point).await;
            source.close().await;
            (restored?, data.display().to_string())
        }
        None => from_cluster(&args, point).await?,
    };
    let (to, next) = match (&args.to, &args.to_cluster) {
        (Some(folder), _) => (
            folder.display().to_string(),
            format!("daybook serve --data {}", folder.display()),
        ),
        (None, name) => {
            let name = name.clone().unwrap_or_default();
            let next = format!("daybook serve --profile cluster --cluster {name}");
            (format!("cluster {name}"), next)
        }
    };
    show_restored(&report, &from, &to, &next, args.json);
    Ok(())
}

async fn to_target(
    args: &RestoreArgs,
    source: &Source,
    point: Point,
) -> Result<RestoreReport, Failure> {
    match (&args.to, &args.to_cluster) {
        (Some(folder), _) => restore_folder(source, folder, point).await,
        (None, Some(name)) => restore_cluster(args, source, name, point).await,
        (None, None) => Err(Failure::usage("say --to FOLDER or --to-cluster NAME")),
    }
}

#[cfg(feature = "cluster")]
async fn from_cluster(
    args: &RestoreArgs,
    point: Point,
) -> Result<(RestoreReport, String), Failure> {
    let (cluster, _) = args.cluster.load()?;
    let log = crate::serve::cluster::open::open_whole(&cluster).await?;
    let restored = to_target(args, &Source::of(log.as_ref()), point).await?;
    Ok((restored, format!("cluster {}", cluster.name)))
}

#[cfg(not(feature = "cluster"))]
async fn from_cluster(_: &RestoreArgs, _: Point) -> Result<(RestoreReport, String), Failure> {
    Err(crate::serve::cluster::without_feature())
}

#[cfg(feature = "cluster")]
async fn restore_cluster(
    args: &RestoreArgs,
    source: &Source,
    name: &str,
    point: Point,
) -> Result<RestoreReport, Failure> {
    use crate::serve::cluster::setup::{Wanted, setup};
    use crate::serve::cluster::{open, settings};

    let place = ClusterPlace {
        cluster: crate::serve::config::ClusterArgs {
            cluster: Some(name.to_owned()),
            ..args.cluster.cluster.clone()
        },
        ..args.cluster.clone()
    };
    let (cluster, _) = place.load()?;
    let wanted = Wanted {
        shards: source.shard_count,
        single_broker: args.single_broker,
        log_id: None,
    };
    setup(&cluster, wanted).await?;
    let connection = adapter_kafka::Connection::new(settings::kafka(&cluster)?);
    let target = open::open_log(&connection, None, None).await?;
    let now = timestamp(&moment::now())?;
    restore(
        source,
        target.as_ref(),
        point,
        rand::random(),
        now,
        |_, _| {},
    )
    .await
    .map_err(|error| {
        Failure::new(Kind::Refused, "NOT_RESTORED", error.to_string())
            .hint("a restore makes a new cluster: choose a name that no other has")
    })
}

#[cfg(not(feature = "cluster"))]
async fn restore_cluster(
    _: &RestoreArgs,
    _: &Source,
    _: &str,
    _: Point,
) -> Result<RestoreReport, Failure> {
    Err(crate::serve::cluster::without_feature())
}

fn timestamp(at: &prost_types::Timestamp) -> Result<Timestamp, Failure> {
    at.seconds
        .checked_mul(1_000_000)
        .and_then(|micros| Timestamp::from_micros(micros + i64::from(at.nanos) / 1_000))
        .ok_or_else(|| Failure::usage("the moment is out of range"))
}

async fn restore_folder(
    source: &Source,
    to: &Path,
    point: Point,
) -> Result<RestoreReport, Failure> {
    if !Embedded::is_new(to).map_err(|error| open_failure(error, to))? {
        return Err(Failure::usage(format!(
            "{} is there already; a restore makes a new folder",
            to.display()
        )));
    }
    let options = Options {
        shards: Some(source.shard_count),
        create: true,
        ..Default::default()
    };
    let target = Embedded::open(to, options)
        .await
        .map_err(|error| open_failure(error, to))?;
    let now = timestamp(&moment::now())?;
    let restored = restore(
        source,
        target.log().as_ref(),
        point,
        rand::random(),
        now,
        |_, _| {},
    )
    .await;
    target.close().await;
    restored.map_err(|error| {
        // What stands there is refused by every writer, and of no use.
        let _ = std::fs::remove_dir_all(to);
        Failure::new(Kind::Refused, "NOT_RESTORED", error.to_string())
    })
}

fn show_restored(report: &RestoreReport, from: &str, to: &str, next: &str, json: bool) {
    if json {
        let shards: Vec<_> = report
            .shards
            .iter()
            .map(|shard| {
                serde_json::json!({
                    "shard": shard.shard,
                    "sequence": shard.kept.map(|(sequence, _)| sequence),
                    "record_hash": shard.kept.map(|(_, hash)| hash.to_string()),
                    "left_behind": shard.left_behind,
                })
            })
            .collect();
        output::json(&serde_json::json!({
            "log_id": report.log_id.to_string(),
            "parent": report.parent.to_string(),
            "shards": shards,
        }));
        return;
    }
    output::line(format!(
        "{GREEN}restored{GREEN:#} {from} to {CYAN}{to}{CYAN:#}: log {}, whose parent is {}",
        report.log_id, report.parent
    ));
    for shard in &report.shards {
        let kept = match &shard.kept {
            Some((sequence, hash)) => format!("kept up to record {sequence} ({hash})"),
            None => "nothing so early: begins anew".to_owned(),
        };
        output::line(format!(
            "  {DIM}shard {}{DIM:#}  {kept}, {} left behind",
            shard.shard, shard.left_behind
        ));
    }
    output::line(format!("  {DIM}try{DIM:#}      {next}"));
}
