//! Commands that come by topics: each decided once, told of at least once, in order.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod forms;
mod world;
