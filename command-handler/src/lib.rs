//! The writer of a shard and the command API.
