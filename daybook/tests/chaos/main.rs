//! Failure tests: real processes on the real servers, which are killed, stopped and cut off while
//! clients go on. Each ends with a proof that nothing was lost, nothing happened twice and all
//! stores agree.
//!
//! `cargo xtask test` runs a short form of each; `cargo xtask chaos --minutes N [--seed S]` runs
//! them in a loop, in an order and at moments that the seed decides. They hurt the servers that
//! the environment names, so they refuse any stack that was not started to be hurt.

#![allow(
    clippy::print_stdout,
    reason = "a failure test tells what chance decided"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../process/operations.rs"]
mod operations;
#[path = "../process/ports.rs"]
mod ports;
#[allow(dead_code, reason = "shared with the tests of single processes")]
#[path = "../process/support.rs"]
mod process;

mod bank;
mod cluster;
mod length;
mod load;
mod node;
mod proof;
mod servers;
mod topics;
mod traffic;

mod at_random;
mod clock;
mod killed;
mod misplaced;
mod owners;
mod poison;
mod projectors;
mod refilled;
mod restored;
mod transactions;
mod unreachable;
