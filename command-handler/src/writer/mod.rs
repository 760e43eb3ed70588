//! The writer of a shard.

pub mod batch;
pub(crate) mod callers;
mod commits;
mod decide;
pub(crate) mod driver;
mod expiries;
mod facts;
pub(crate) mod finder;
pub mod guard;
mod look_up;
pub mod machine;
pub mod mailbox;
pub mod request;
pub(crate) mod serve;
mod shown;
pub(crate) mod snapshots;
pub mod status;
#[cfg(test)]
pub(crate) mod tests;
