//! Snapshots in any object store, a local folder included.
//!
//! Names: `shard-0000/00000000000000000042-9f86d081884c7d65/` holds `chunk-0000.zst` and so on,
//! and last of all `manifest` (the protobuf message and behind it its BLAKE3), so a snapshot
//! without a manifest was never finished. `shard-0000/latest.json` names the newest.

mod latest;
mod snapshots;
mod staging;

pub use snapshots::ObjectSnapshots;
