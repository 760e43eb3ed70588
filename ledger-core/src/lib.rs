//! The pure double-entry domain of Daybook.
//!
//! A [`ledger::LedgerState`] decides a [`command::Command`] into an [`event::Event`] or a
//! [`rejection::Rejection`] ([`ledger::LedgerState::decide`] never changes state), and moves
//! by [`ledger::LedgerState::evolve`], which never fails and never decides. Replay is `evolve`
//! over the events of the log: there is no second implementation of any rule.
//!
//! What is *not* here: async, I/O, clocks, randomness, serde, protobuf. Time is an argument
//! ([`time::Moment`]); what happens by time (a hold expires) is an event like any other.

pub mod account;
pub mod amount;
pub mod asset;
pub mod canonical;
pub mod command;
pub mod event;
pub mod facts;
pub mod invalid;
pub mod key;
pub mod ledger;
pub mod limits;
pub mod name;
pub mod rejection;
pub mod text;
pub mod time;
pub mod transaction;
