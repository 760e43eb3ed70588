//! Daybook: an event-sourced double-entry ledger engine, as one program.
//!
//! The binary is [`cli::main`]. The library exists so that tests and examples can use the same
//! client ([`client::session::Session`]).

pub mod bench;
pub mod cli;
pub mod client;
pub mod demo;
pub mod import;
pub mod load;
pub mod migrate;
pub mod serve;
pub mod upkeep;
