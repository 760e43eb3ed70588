//! The task beside a writer that gives its batches to the log.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt as _;
use ports::log::{CommitOutcome, LogWriter};
use tokio::sync::mpsc;

use super::batch::Commit;
use super::mailbox::{Mailbox, Message};

/// Makes one batch after the other durable, on the runtime.
pub(super) async fn commit_all(
    mut writer: Box<dyn LogWriter>,
    mut commits: mpsc::Receiver<Commit>,
    mailbox: Mailbox,
    claim: u64,
) {
    while let Some(commit) = commits.recv().await {
        let begun = Instant::now();
        let committing = async {
            match commit {
                Commit::Batch(batch) => writer.commit(batch).await,
                Commit::Confirm(attached) => writer.confirm(attached).await,
            }
        };
        let committing = AssertUnwindSafe(committing).catch_unwind().await;
        let (outcome, died) = match committing {
            Ok(outcome) => (outcome, false),
            Err(_) => (
                CommitOutcome::Indeterminate("the log's adapter panicked".to_owned()),
                true,
            ),
        };
        mailbox.send(Message::Committed {
            claim,
            outcome,
            took: begun.elapsed(),
        });
        if died {
            break;
        }
    }
}
