//! When snapshots are made: beside the hot path, every so many records and on a clean stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use tokio::runtime::Handle;

use super::status::Shared;

/// Makes one snapshot of a shard; gives the sequence that it was made after.
pub(crate) type Make = dyn Fn() -> BoxFuture<'static, Result<u64, String>> + Send + Sync;

/// Decides when a shard's snapshots are made.
pub(crate) struct Snapshots {
    pub(crate) shard: u32,
    pub(crate) every: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Handle,
    pub(crate) make: Box<Make>,
    pub(crate) running: AtomicBool,
}

impl Snapshots {
    /// Begins a snapshot beside the hot path when one is due and none is under way. Failures
    /// are told, and tried again when the next one is due: they never stop the writer.
    pub(crate) fn consider(self: &Arc<Self>, committed: u64) {
        let last = self.shared.snapshot.load(Ordering::Relaxed);
        if self.every == 0 || committed.saturating_sub(last) < self.every {
            return;
        }
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        // Made on threads of low priority of its own: commits go first.
        self.runtime.spawn(async move {
            // Told already; tried again when the next one is due.
            let _ = this.now().await;
            this.running.store(false, Ordering::Release);
        });
    }

    /// Makes one now.
    pub(crate) async fn now(&self) -> Result<u64, String> {
        let made = (self.make)().await;
        match &made {
            Ok(sequence) => {
                self.shared.snapshot.store(*sequence, Ordering::Relaxed);
                tracing::info!(shard = self.shard, sequence, "snapshot made");
            }
            Err(why) => {
                metrics::counter!("daybook_snapshot_failures_total").increment(1);
                tracing::warn!(shard = self.shard, %why, "no snapshot was made");
            }
        }
        made
    }
}
