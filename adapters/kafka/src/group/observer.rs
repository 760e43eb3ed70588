//! Knowing who writes which shard without taking part.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ports::log::LogError;
use ports::ownership::{Assignment, Ownership};
use tokio::sync::watch;

use super::owners::Owners;
use crate::connection::Connection;

/// A node that writes no shard: it knows the addresses of those that do.
pub struct Observer {
    owners: Owners,
    assignment: watch::Sender<Assignment>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Follows who serves the shards of the log of `shard_count` shards.
    ///
    /// # Errors
    /// [`LogError`] where no client can be made.
    pub fn start(connection: &Connection, shard_count: u32) -> Result<Arc<Self>, LogError> {
        Ok(Arc::new(Self {
            // Nobody has this address, so nobody is taken for this node.
            owners: Owners::start(connection, shard_count, "")?,
            assignment: watch::Sender::new(Assignment::default()),
        }))
    }
}

#[async_trait]
impl Ownership for Observer {
    fn assignment(&self) -> watch::Receiver<Assignment> {
        self.assignment.subscribe()
    }

    fn released(&self, _shard: u32) {}

    fn announce(&self, _shard: u32, _epoch: u64) {}

    fn owner(&self, shard: u32) -> Option<Arc<str>> {
        self.owners.owner(shard)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.owners.end();
    }
}
