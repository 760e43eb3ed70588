//! The state of a shard: replay of its log, snapshots, verification.
