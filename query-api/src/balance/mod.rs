//! Balances: now, as of either time or both, summed, and as statements.

mod as_of;
mod get;
mod line;
mod postings;
mod statement;
mod sweep;
mod trial;
mod wide;

pub(crate) use as_of::AsOf;
