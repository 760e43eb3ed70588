//! `daybook trim`: takes from a cluster's topic what two good snapshots and the archive hold.

use super::PlaceArgs;
use crate::client::failure::Failure;

/// Remove from the events topic what two verified snapshots cover and the archive, read back and
/// compared byte for byte, holds. Reads go on: what was trimmed is read from the archive.
#[derive(Debug, clap::Args)]
pub struct TrimArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Records of each shard that stay in the topic, at least.
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000_000)]
    keep: u64,

    /// Check everything and say what would be removed; remove nothing.
    #[arg(long)]
    dry_run: bool,
}

impl TrimArgs {
    /// True when the output is for machines.
    pub fn json(&self) -> bool {
        self.place.json
    }
}

/// Trims a cluster's log.
///
/// # Errors
/// Something cannot be reached, or is not as it must be: nothing of that shard was removed then.
#[cfg(feature = "cluster")]
pub fn run(args: &TrimArgs) -> Result<(), Failure> {
    super::runtime()?.block_on(cluster::run(args))
}

/// Says that the profile is not in this build.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cluster"))]
pub fn run(_: &TrimArgs) -> Result<(), Failure> {
    Err(crate::serve::cluster::without_feature())
}

#[cfg(feature = "cluster")]
mod cluster {
    use ports::archive::read_back;
    use ports::snapshot::SnapshotStore;
    use schemas::record;
    use shard_state::build::KEPT_SNAPSHOTS;
    use shard_state::snapshot::{self, Place};

    use super::TrimArgs;
    use crate::client::failure::{Failure, Kind};
    use crate::client::output::{self, BOLD, DIM, GREEN};
    use crate::serve::cluster::open::Opened;

    #[derive(serde::Serialize)]
    struct Trimmed {
        shard: u32,
        /// The first record that stays.
        begins: u64,
        /// Records that were removed, or would be.
        removed: u64,
        /// Why no more.
        why: String,
    }

    fn broken(error: impl std::fmt::Display) -> Failure {
        Failure::broken(error.to_string())
    }

    pub(super) async fn run(args: &TrimArgs) -> Result<(), Failure> {
        if !args.place.is_cluster() {
            return Err(Failure::usage("a folder's log is not trimmed")
                .hint("a cluster's is: --profile cluster"));
        }
        let opened = super::super::open_cluster(&args.place).await?;
        let mut done = Vec::new();
        for shard in 0..opened.stores.log.shard_count() {
            match trim(&opened, shard, args).await {
                Ok(trimmed) => done.push(trimmed),
                Err(failure) => {
                    opened.close().await;
                    return Err(failure);
                }
            }
        }
        opened.close().await;
        if args.place.json {
            let value = serde_json::to_value(&done).map_err(broken)?;
            output::json(&serde_json::json!({ "dry_run": args.dry_run, "shards": value }));
            return Ok(());
        }
        let word = match args.dry_run {
            true => "would remove",
            false => "removed",
        };
        for shard in &done {
            output::line(format!(
                "{GREEN}{word}{GREEN:#} {BOLD}{}{BOLD:#} records of shard {}, which begins with \
                 record {} {DIM}({}){DIM:#}",
                shard.removed, shard.shard, shard.begins, shard.why
            ));
        }
        Ok(())
    }

    async fn trim(opened: &Opened, shard: u32, args: &TrimArgs) -> Result<Trimmed, Failure> {
        let stores = &opened.stores;
        let archive = stores
            .archive
            .as_ref()
            .ok_or_else(|| broken("there is no archive"))?;
        let begin = stores.own.begins(shard).await.map_err(broken)?;
        let stays = |why: String| Trimmed {
            shard,
            begins: begin.sequence,
            removed: 0,
            why,
        };
        let Some(covered) = covered(opened, shard).await? else {
            return Ok(stays(format!(
                "{KEPT_SNAPSHOTS} good snapshots are needed: daybook snapshot create"
            )));
        };
        let end = *stores.own.watch(shard).borrow();
        let archived = archive.mark(shard).await.map_err(broken)?;
        let archived = archived.map_or(1, |mark| mark.next_sequence);
        let before = (covered + 1)
            .min(archived)
            .min(end.saturating_sub(args.keep));
        if before <= begin.sequence {
            return Ok(stays(format!(
                "two snapshots cover {covered}, archived are {}, and {} stay",
                archived - 1,
                args.keep
            )));
        }
        // Everything that goes is read from both and compared first.
        let reader = archive.reader();
        let to = read_back(stores.own.as_ref(), reader.as_ref(), shard, before)
            .await
            .map_err(|error| {
                Failure::new(Kind::Refused, "LOG_DIVERGED", error.to_string())
                    .hint("nothing was removed: daybook verify --deep --profile cluster")
            })?;
        if !args.dry_run {
            let trimmed = opened.kafka.trim(shard, to.position).await;
            trimmed.map_err(broken)?;
        }
        Ok(Trimmed {
            shard,
            begins: to.sequence,
            removed: to.sequence.saturating_sub(begin.sequence),
            why: "in two good snapshots, and in the archive byte for byte".to_owned(),
        })
    }

    /// The last record that both of the newest two good snapshots cover. Good is what can be
    /// read whole and stands at the very record that the log has there.
    async fn covered(opened: &Opened, shard: u32) -> Result<Option<u64>, Failure> {
        let stores = &opened.stores;
        let mut good = Vec::new();
        for entry in stores.snapshots.list(shard).await.map_err(broken)? {
            if good.len() == KEPT_SNAPSHOTS {
                break;
            }
            if let Some(sequence) = verified(opened, shard, &entry.name).await? {
                good.push(sequence);
            }
        }
        Ok((good.len() == KEPT_SNAPSHOTS)
            .then(|| good.into_iter().min())
            .flatten())
    }

    async fn verified(opened: &Opened, shard: u32, name: &str) -> Result<Option<u64>, Failure> {
        let stores = &opened.stores;
        let snapshots: &dyn SnapshotStore = stores.snapshots.as_ref();
        let Ok((manifest, chunks)) = snapshots.get(shard, name).await else {
            return Ok(None);
        };
        let Ok(place) = Place::of(&manifest) else {
            return Ok(None);
        };
        if place.log_id != stores.log.log_id()
            || snapshot::read(&manifest, &chunks, rand::random()).is_err()
        {
            return Ok(None);
        }
        let sequence = place.last.sequence;
        let reader = stores.log.reader();
        let Some(entry) = reader.entry_of(shard, sequence).await.map_err(broken)? else {
            return Ok(None);
        };
        let records = record::frame::split(entry.body.clone()).map_err(broken)?;
        let index =
            usize::try_from(sequence.saturating_sub(entry.first_sequence)).map_err(broken)?;
        let same = records
            .get(index)
            .is_some_and(|bytes| record::hash(bytes) == place.last.hash);
        Ok(same.then_some(sequence))
    }
}
