//! The cluster profile: the same services on Kafka, Bigtable, Postgres and an object store.

use crate::client::failure::{Failure, Kind};

#[cfg(not(feature = "cluster"))]
mod absent;
#[cfg(not(feature = "cluster"))]
pub use absent::start;

/// What is said where the profile was asked for and is not in this build.
pub fn without_feature() -> Failure {
    Failure::new(
        Kind::Usage,
        "BUILT_WITHOUT_CLUSTER",
        "this daybook was built without the cluster profile",
    )
    .hint("build it with: cargo build --release --features cluster")
}
