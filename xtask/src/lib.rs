//! Daybook's own tasks as a library: the local stack of real servers, and the steps of a check.
//! Failure tests use [`stack`] to start servers of their own and to hurt them, and [`proxy`] to
//! disturb what is said to the broker.

pub mod failures;
pub mod proxy;
pub mod stack;
pub mod steps;
pub mod targets;
pub mod totals;

use std::path::{Path, PathBuf};

/// The root folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
