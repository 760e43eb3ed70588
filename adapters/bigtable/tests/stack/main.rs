//! Against a real server of Bigtable's protocol, whose address `DAYBOOK_BIGTABLE` is.
#![allow(clippy::unwrap_used)]

mod archive;
mod history;
mod outage;
mod server;
mod tables;
