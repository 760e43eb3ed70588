//! `daybook snapshot`: create, list; restoring is in a file of its own.

use std::path::Path;
use std::sync::Arc;

use adapter_embedded::{Embedded, Options};
use adapter_object_store::ObjectSnapshots;
use clap::Subcommand;
use ports::log::EventLog;
use ports::projection::Projection;
use ports::snapshot::SnapshotStore;
use schemas::proto::v1::*;
use shard_state::build::build_snapshot;
use shard_state::recover;

use super::restore::RestoreArgs;
use super::{PlaceArgs, runtime, snapshot_info};
use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, DIM, RED, Table, cell};
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
    /// Restore the books to a new folder or cluster, as they are, or as of a record or a moment.
    /// The new log is another one, which names this one as its parent.
    Restore(Box<RestoreArgs>),
}

impl SnapshotCommand {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        match self {
            Self::Create { place } | Self::List { place } => place.json,
            Self::Restore(args) => args.json,
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
            SnapshotCommand::Restore(args) => super::restore::run(*args).await,
        }
    })
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
        None if place.is_cluster() => create_cluster(&place).await?,
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
    let projection = embedded.projection();
    let made = make(log.as_ref(), &store, projection.as_ref()).await;
    let shards = log.shard_count();
    drop((log, projection));
    embedded.close().await;
    made.map_err(|failure| failure.hint(format!("daybook verify --data {}", folder.display())))?;
    infos(store.as_ref(), shards).await
}

/// Makes a snapshot of every shard.
async fn make(
    log: &dyn EventLog,
    store: &Arc<dyn SnapshotStore>,
    projection: &dyn Projection,
) -> Result<(), Failure> {
    for shard in 0..log.shard_count() {
        let options = recover::Options {
            log_id: log.log_id(),
            shard,
            shard_count: log.shard_count(),
            until: None,
            hash_seed: rand::random(),
            projected: projection.watch(shard),
        };
        let built = build_snapshot(
            log.reader(),
            Arc::clone(store),
            options,
            build(),
            Box::new(|_| {}),
        );
        built
            .await
            .map_err(|error| Failure::new(Kind::Broken, error.code(), error.to_string()))?;
    }
    Ok(())
}

#[cfg(feature = "cluster")]
async fn create_cluster(place: &PlaceArgs) -> Result<Vec<SnapshotInfo>, Failure> {
    let opened = super::open_cluster(place).await?;
    let stores = opened.stores.clone();
    let log = stores.log.as_ref();
    let made = make(log, &stores.snapshots, stores.projection.as_ref()).await;
    let listed = match made {
        Ok(()) => infos(stores.snapshots.as_ref(), log.shard_count()).await,
        Err(failure) => Err(failure.hint("daybook verify --profile cluster")),
    };
    drop(stores);
    opened.close().await;
    listed
}

#[cfg(feature = "cluster")]
async fn list_cluster(place: &PlaceArgs) -> Result<Vec<SnapshotInfo>, Failure> {
    let opened = super::open_cluster(place).await?;
    let shards = opened.stores.log.shard_count();
    let listed = infos(opened.stores.snapshots.as_ref(), shards).await;
    opened.close().await;
    listed
}

#[cfg(not(feature = "cluster"))]
async fn create_cluster(_: &PlaceArgs) -> Result<Vec<SnapshotInfo>, Failure> {
    Err(crate::serve::cluster::without_feature())
}

#[cfg(not(feature = "cluster"))]
async fn list_cluster(_: &PlaceArgs) -> Result<Vec<SnapshotInfo>, Failure> {
    Err(crate::serve::cluster::without_feature())
}

async fn list(place: PlaceArgs) -> Result<(), Failure> {
    let snapshots = match &place.data {
        None if place.is_cluster() => list_cluster(&place).await?,
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
