//! Ports for servers that tests start, kill, and start again at the same place.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that systems choose for outgoing connections and for port 0: none of these is taken
/// by chance while its server is down, or not there yet.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// One that nobody listens on; each call of a process gives another.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    loop {
        // Processes that run side by side begin far apart.
        let begin = std::process::id().wrapping_mul(101) as u16;
        let turn = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(turn) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
