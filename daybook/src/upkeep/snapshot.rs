//! `daybook snapshot`: create, list, restore.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_embedded::{Embedded, Options};
use adapter_object_store::ObjectSnapshots;
use clap::Subcommand;
use ledger_core::time::Timestamp;
use ports::snapshot::SnapshotStore;
use schemas::proto::v1::*;
use shard_state::Source;
use shard_state::build::build_snapshot;
use shard_state::recover;
use shard_state::restore::{Point, RestoreReport, restore};

use super::{PlaceArgs, runtime, snapshot_info};
use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN, RED, Table, cell};
use crate::client::{moment, rpc};
use crate::serve::embedded::{SNAPSHOTS, open_failure};
use crate::serve::node::build;

/// Snapshots of the state, and the way back to an earlier one.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Make a snapshot now, so that the next start is short.
    Create {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List the snapshots.
    List {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Restore the books to a new folder, as they are, or as of a record or a moment. The new
    /// folder's log is another one, which names this one as its parent.
    Restore {
        /// The folder to restore from; it may be served meanwhile.
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// The new folder.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
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
        json: bool,
    },
}

impl SnapshotCommand {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        match self {
            Self::Create { place } | Self::List { place } => place.json,
            Self::Restore { json, .. } => *json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// It could not be done.
pub fn run(command: SnapshotCommand) -> Result<(), Failure> {
    runtime()?.block_on(async {
        match command {
            SnapshotCommand::Create { place } => create(place).await,
            SnapshotCommand::List { place } => list(place).await,
            SnapshotCommand::Restore {
                data,
                to,
                sequence,
                shard,
                moment,
                json,
            } => {
                let point = match (sequence, moment) {
                    (Some(sequence), _) => Point::Sequence { shard, sequence },
                    (None, Some(text)) => Point::Moment(timestamp(&moment::parse(&text)?)?),
                    (None, None) => Point::Newest,
                };
                let report = restore_folder(&data, &to, point).await?;
                show_restored(&report, &data, &to, json);
                Ok(())
            }
        }
    })
}

fn timestamp(at: &prost_types::Timestamp) -> Result<Timestamp, Failure> {
    at.seconds
        .checked_mul(1_000_000)
        .and_then(|micros| Timestamp::from_micros(micros + i64::from(at.nanos) / 1_000))
        .ok_or_else(|| Failure::usage("the moment is out of range"))
}

fn store(folder: &Path) -> Result<Arc<dyn SnapshotStore>, Failure> {
    let store = ObjectSnapshots::local(&folder.join(SNAPSHOTS))
        .map_err(|error| Failure::broken(error.to_string()))?;
    Ok(Arc::new(store))
}

async fn infos(store: &dyn SnapshotStore, shards: u32) -> Result<Vec<SnapshotInfo>, Failure> {
    let mut all = Vec::new();
    for shard in 0..shards {
        let entries = store
            .list(shard)
            .await
            .map_err(|error| Failure::broken(error.to_string()))?;
        all.extend(entries.iter().map(|entry| snapshot_info(shard, entry)));
    }
    Ok(all)
}

async fn create(place: PlaceArgs) -> Result<(), Failure> {
    let snapshots = match &place.data {
        None => {
            let session = place.session();
            let reply = session
                .call(rpc::CREATE_SNAPSHOT, CreateSnapshotRequest {})
                .await?;
            reply.snapshots
        }
        Some(folder) => create_offline(folder).await?,
    };
    show(
        &place,
        snapshots,
        "nothing is recorded yet, so there is nothing to snapshot",
    );
    Ok(())
}

async fn create_offline(folder: &Path) -> Result<Vec<SnapshotInfo>, Failure> {
    let embedded = Embedded::open(folder, Options::default())
        .await
        .map_err(|error| open_failure(error, folder))?;
    let log = embedded.log();
    let store = store(folder)?;
    let mut made = Ok(());
    for shard in 0..log.shard_count() {
        let options = recover::Options {
            log_id: log.log_id(),
            shard,
            shard_count: log.shard_count(),
            until: None,
            hash_seed: rand::random(),
            projected: embedded.projection().watch(shard),
        };
        let built = build_snapshot(
            log.reader(),
            Arc::clone(&store),
            options,
            build(),
            Box::new(|_| {}),
        )
        .await;
        if let Err(error) = built {
            made = Err(Failure::new(Kind::Broken, error.code(), error.to_string())
                .hint(format!("daybook verify --data {}", folder.display())));
            break;
        }
    }
    let shards = log.shard_count();
    drop(log);
    embedded.close().await;
    made?;
    infos(store.as_ref(), shards).await
}

async fn list(place: PlaceArgs) -> Result<(), Failure> {
    let snapshots = match &place.data {
        None => {
            let session = place.session();
            let reply = session
                .call(rpc::LIST_SNAPSHOTS, ListSnapshotsRequest {})
                .await?;
            reply.snapshots
        }
        Some(folder) => {
            let embedded = Embedded::open_read_only(folder)
                .await
                .map_err(|error| open_failure(error, folder))?;
            let shards = embedded.log().shard_count();
            embedded.close().await;
            match folder.join(SNAPSHOTS).is_dir() {
                true => infos(store(folder)?.as_ref(), shards).await?,
                false => Vec::new(),
            }
        }
    };
    show(
        &place,
        snapshots,
        "no snapshots yet: daybook snapshot create",
    );
    Ok(())
}

fn show(place: &PlaceArgs, snapshots: Vec<SnapshotInfo>, empty: &str) {
    if place.json {
        output::json(&rpc::LIST_SNAPSHOTS.reply_json(&ListSnapshotsResponse { snapshots }));
        return;
    }
    let mut table = Table::new(&[">shard", ">record", "recorded", ">bytes", "name"]);
    for snapshot in &snapshots {
        table.row(vec![
            snapshot.shard.to_string().into(),
            cell(BOLD, snapshot.sequence.to_string()),
            moment::short(snapshot.recorded_at.as_ref()).into(),
            snapshot.bytes.to_string().into(),
            match snapshot.damaged {
                true => cell(RED, format!("{} (damaged)", snapshot.name)),
                false => cell(DIM, &snapshot.name),
            },
        ]);
    }
    table.print(empty);
}

async fn restore_folder(data: &Path, to: &Path, point: Point) -> Result<RestoreReport, Failure> {
    let taken =
        to.exists() && std::fs::read_dir(to).map_or(true, |mut entries| entries.next().is_some());
    if taken {
        return Err(Failure::usage(format!(
            "{} is there already; a restore makes a new folder",
            to.display()
        )));
    }
    let source = Embedded::open_read_only(data)
        .await
        .map_err(|error| open_failure(error, data))?;
    let shards = source.log().shard_count();
    let options = Options {
        shards: Some(shards),
        create: true,
        ..Default::default()
    };
    let target = match Embedded::open(to, options).await {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(open_failure(error, to));
        }
    };
    let now = timestamp(&moment::now())?;
    let restored = restore(
        &Source::of(source.log().as_ref()),
        target.log().as_ref(),
        point,
        rand::random(),
        now,
        |_, _| {},
    )
    .await;
    target.close().await;
    source.close().await;
    restored.map_err(|error| {
        // What stands there is refused by every writer, and of no use.
        let _ = std::fs::remove_dir_all(to);
        Failure::new(Kind::Refused, "NOT_RESTORED", error.to_string())
    })
}

fn show_restored(report: &RestoreReport, data: &Path, to: &Path, json: bool) {
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
        "{GREEN}restored{GREEN:#} {} to {CYAN}{}{CYAN:#}: log {}, whose parent is {}",
        data.display(),
        to.display(),
        report.log_id,
        report.parent
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
    output::line(format!(
        "  {DIM}try{DIM:#}      daybook serve --data {}",
        to.display()
    ));
}
