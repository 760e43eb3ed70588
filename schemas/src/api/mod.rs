//! The API and ledger-core: what comes in is parsed, what goes out is shown.

pub mod json;
pub mod malformed;
pub mod parse;
pub mod token;
pub mod view;

pub use malformed::{Malformed, Violation};
