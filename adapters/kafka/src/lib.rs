//! The event log on Kafka: one partition per shard, exactly-once transactions, one message per
//! record; and the topics beside it that commands come from and outcomes go to.
//!
//! [`setup::setup`] makes or checks the topics; [`KafkaLog::open`] opens the log in them. A
//! [`ClaimGate`] decides which shards a node may claim.

pub mod config;
pub mod connection;
mod error;
pub mod gate;
pub mod group;
pub mod headers;
pub mod ingest;
mod log;
pub mod setup;

pub use config::KafkaConfig;
pub use connection::{Connection, Topics};
pub use gate::{Admission, ClaimGate};
pub use group::{Group, Observer};
pub use ingest::KafkaSource;
pub use log::KafkaLog;
