//! Whole-process tests of what breaks around a server: disks that fill and fail, clocks that
//! jump, bytes that flip, keys that come back late.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../process/ports.rs"]
mod ports;

mod clock;
mod damage;
mod disk;
mod late_keys;
mod server;
