//! Snapshots in any object store, a local folder included.
//!
//! Names: `shard-0000/00000000000000000042-9f86d081884c7d65/` holds `chunk-0000.zst` and so on,
//! and last of all `manifest` (the protobuf message and behind it its BLAKE3), so a snapshot
//! without a manifest was never finished. `shard-0000/latest.json` names the newest.

mod latest;
#[cfg(feature = "s3")]
mod s3;
mod snapshots;
mod staging;

#[cfg(feature = "s3")]
pub use s3::{S3Config, S3Error};
pub use snapshots::ObjectSnapshots;
