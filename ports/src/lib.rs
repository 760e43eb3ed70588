//! What Daybook's services ask of the outside, and the conformance suite for every adapter.
//!
//! Services depend on these traits and never on an adapter; adapters never on a service.

pub mod archive;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod history;
pub mod ingestion;
pub mod log;
#[cfg(feature = "memory")]
pub mod memory;
pub mod ownership;
pub mod projection;
pub mod routing;
pub mod snapshot;
pub mod strong;
pub mod views;
