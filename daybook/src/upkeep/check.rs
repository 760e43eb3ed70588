//! Verification of opened stores, as a server and the command line both do it.

use std::sync::Arc;

use schemas::proto::v1::Finding;
use shard_state::Source;
use shard_state::verify::{Options, Progress, VerifyError, verify};

use super::deep::{Deep, DeepError};
use super::verify::Verdict;
use super::{findings, summary};
use crate::serve::node::Stores;

/// Why stores could not be verified. What is wrong in them is a finding, not an error.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The log, snapshots and read models.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The archive and the account history.
    #[error(transparent)]
    Deep(#[from] DeepError),
}

/// Holds everything against the log; with `deep` the archive and the account history too, where
/// they are stores of their own.
///
/// # Errors
/// [`CheckError`] where something cannot be reached: nothing is known then.
pub async fn check(
    stores: &Stores,
    options: &Options,
    deep: bool,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Verdict, CheckError> {
    let report = verify(
        &Source::of(stores.log.as_ref()),
        Some(Arc::clone(&stores.snapshots)),
        Some(Arc::clone(&stores.views)),
        options,
        &mut progress,
    )
    .await?;
    let mut verdict = Verdict {
        findings: findings(&report),
        summary: summary(&report),
    };
    if !deep {
        return Ok(verdict);
    }
    let (Some(archive), Some(history)) = (&stores.archive, &stores.history) else {
        let left_out = "left out: archive and account history are no stores of their own here";
        verdict.summary.checks.push(left_out.to_owned());
        return Ok(verdict);
    };
    let deep = Deep {
        own: Arc::clone(&stores.own),
        whole: stores.log.reader(),
        log_id: stores.log.log_id(),
        shard_count: stores.log.shard_count(),
        archive: Arc::clone(archive),
        history: Arc::clone(history),
    };
    let found = deep
        .run(|shard, sequence, end| {
            progress(Progress {
                shard,
                sequence,
                end,
            });
        })
        .await?;
    verdict.findings.extend::<Vec<Finding>>(found.findings);
    verdict.summary.checks.extend(found.checks);
    verdict.summary.clean = verdict.findings.is_empty();
    Ok(verdict)
}
