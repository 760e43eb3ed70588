//! The event log on Kafka: one partition per shard, exactly-once transactions, one message per
//! record; and the topics beside it that commands come from and outcomes go to.
//!
//! A [`ClaimGate`] decides which shards a node may claim.

pub mod config;
pub mod connection;
pub mod gate;

pub use config::KafkaConfig;
pub use connection::{Connection, Topics};
pub use gate::{Admission, ClaimGate};
