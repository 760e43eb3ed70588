//! The cluster profile: the same services on Kafka, Bigtable, Postgres and an object store.

use crate::client::failure::{Failure, Kind};

#[cfg(not(feature = "cluster"))]
mod absent;
#[cfg(feature = "cluster")]
pub mod from_archive;
#[cfg(feature = "cluster")]
mod log;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
pub mod open;
#[cfg(feature = "cluster")]
pub mod patience;
#[cfg(feature = "cluster")]
pub mod settings;
#[cfg(feature = "cluster")]
pub mod setup;
#[cfg(feature = "cluster")]
mod snapshots;

#[cfg(not(feature = "cluster"))]
pub use absent::start;
#[cfg(feature = "cluster")]
pub use node::start;

/// What is said where the profile was asked for and is not in this build.
pub fn without_feature() -> Failure {
    Failure::new(
        Kind::Usage,
        "BUILT_WITHOUT_CLUSTER",
        "this daybook was built without the cluster profile",
    )
    .hint("build it with: cargo build --release --features cluster")
}
