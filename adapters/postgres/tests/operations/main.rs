//! How the read models are set up, shared, lost and found again, on a real server.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod analysts;
mod projectors;
mod setup;
mod trouble;
