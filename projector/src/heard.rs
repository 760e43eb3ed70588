//! Waiting for a log's reader to hear of what others wrote.

use std::time::Duration;

use ports::log::LogReader;

/// How long a reader may take to hear of a record that was committed elsewhere.
const HEARS_WITHIN: Duration = Duration::from_secs(5);

/// Waits until `reader` knows of the record of `sequence`, a moment at most. What another node
/// has applied was committed: a reader that does not know it yet is only late, and the log is not
/// behind.
pub(crate) async fn heard(reader: &dyn LogReader, shard: u32, sequence: u64) {
    let mut next = reader.watch(shard);
    let there = next.wait_for(|next| *next > sequence);
    // Where it never does, whoever looks finds nothing there, and says so.
    let _ = tokio::time::timeout(HEARS_WITHIN, there).await;
}
