//! Whole-process tests: the real binary, started, used, killed and started again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ports;
mod support;

mod amounts;
mod bench;
mod commands;
mod configuration;
mod demo;
mod import;
mod kill;
mod load;
mod lost_answer;
mod migrate;
mod raw;
mod upkeep;
