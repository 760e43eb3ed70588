//! Builds a snapshot from the last one and the log since, beside the hot path.

use std::sync::Arc;

use ports::log::LogReader;
use ports::snapshot::SnapshotStore;
use tokio::sync::oneshot;

use crate::recover::{self, OnProgress, RecoverError, Unusable};
use crate::snapshot;

/// Verified snapshots that are kept: where the newest is found damaged, the one before is used.
pub const KEPT_SNAPSHOTS: usize = 2;

/// How much the thread of [`spawn`] gives way to others: a nice value.
const NICE: i32 = 10;

/// A snapshot that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name in the store; `None` for a log without records.
    pub name: Option<String>,
    /// The last record that it covers; 0 for a log without records.
    pub sequence: u64,
    /// Records replayed since the snapshot before. 0: nothing was new, and `name` is that one.
    pub replayed: u64,
    /// Newer snapshots that could not be used.
    pub unusable: Vec<Unusable>,
}

/// Builds a snapshot of the log's present end and keeps the newest [`KEPT_SNAPSHOTS`] undamaged
/// ones. `options.until` must be `None`. `build` names the running build.
///
/// # Errors
/// [`RecoverError`]; the snapshots that were there are untouched.
pub async fn build_snapshot(
    reader: Arc<dyn LogReader>,
    store: Arc<dyn SnapshotStore>,
    options: recover::Options,
    build: String,
    progress: OnProgress,
) -> Result<Built, RecoverError> {
    let shard = options.shard;
    let recovered = recover::recover(reader, Some(Arc::clone(&store)), options, progress).await?;
    let built = Built {
        name: recovered.snapshot.clone(),
        sequence: recovered.state.next_sequence() - 1,
        replayed: recovered.replayed,
        unusable: recovered.unusable,
    };
    // A sealed log is not started any more; were a snapshot made behind the seal, a start from
    // there would not see it.
    if built.replayed == 0 || recovered.state.sealed().is_some() {
        return Ok(built);
    }
    let (state, position) = (recovered.state, recovered.position);
    let written =
        tokio::task::spawn_blocking(move || snapshot::write(&state, position, &build)).await;
    let Some((manifest, chunks)) =
        written.map_err(|error| RecoverError::Stopped(error.to_string()))?
    else {
        return Ok(built);
    };
    let name = store.put(manifest, chunks).await?;
    store.prune(shard, KEPT_SNAPSHOTS).await?;
    Ok(Built {
        name: Some(name),
        ..built
    })
}

/// [`build_snapshot`] on a thread of its own (and such threads as it needs) with low priority,
/// so that it takes only what the hot path leaves.
///
/// # Errors
/// The receiver hears the error of [`build_snapshot`]; it is dropped unheard only when the
/// thread cannot be started.
pub fn spawn(
    reader: Arc<dyn LogReader>,
    store: Arc<dyn SnapshotStore>,
    options: recover::Options,
    build: String,
) -> oneshot::Receiver<Result<Built, RecoverError>> {
    let (done, receiver) = oneshot::channel();
    let work = move || {
        // On Linux this is the thread's own, and threads that it starts begin with it. Where
        // it is refused the snapshot is built all the same.
        let _ = rustix::process::setpriority_process(None, NICE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let built = match runtime {
            Ok(runtime) => runtime.block_on(build_snapshot(
                reader,
                store,
                options,
                build,
                Box::new(|_| {}),
            )),
            Err(error) => Err(RecoverError::Stopped(error.to_string())),
        };
        // Nobody may be listening any more: the snapshot is there all the same.
        let _ = done.send(built);
    };
    let started = std::thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(work);
    if let Err(error) = started {
        tracing::warn!(%error, "the thread that builds snapshots cannot be started");
    }
    receiver
}
