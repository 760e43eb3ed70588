//! Whole processes on the real servers: Kafka, Bigtable, Postgres and an object store. Their
//! addresses are in the environment (`cargo xtask stack env`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../process/operations.rs"]
mod operations;
#[allow(dead_code, reason = "shared with the tests of single processes")]
#[path = "../process/support.rs"]
mod process;
mod support;

mod load;
mod moves;
mod nodes;
mod restore;
mod serve;
mod setup;
