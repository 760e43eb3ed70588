//! What a failed transaction means to whoever wanted to commit.

use std::time::Duration;

use ports::log::CommitOutcome;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::producer::Producer;
use crate::error::{is_fenced, is_stale_group};

/// How long the end of what failed is waited for.
const ABORT: Duration = Duration::from_secs(5);

/// Why a transaction did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Before its end was asked for.
    Before {
        code: Option<RDKafkaErrorCode>,
        what: String,
    },
    /// Its end was asked for, and the answer is no success.
    AtEnd {
        code: Option<RDKafkaErrorCode>,
        aborted: bool,
        what: String,
    },
}

impl Failure {
    /// Before the end was asked for.
    pub(crate) fn before(doing: &str, error: &KafkaError) -> Self {
        Self::Before {
            code: error.rdkafka_error_code(),
            what: format!("{doing}: {error}"),
        }
    }

    /// The answer to the end.
    pub(crate) fn at_end(error: &KafkaError) -> Self {
        let aborted = match error {
            KafkaError::Transaction(error) => error.txn_requires_abort(),
            _ => false,
        };
        Self::AtEnd {
            code: error.rdkafka_error_code(),
            aborted,
            what: format!("committing: {error}"),
        }
    }

    /// True where the consumer group refused its offsets.
    pub(crate) fn is_stale_group(&self) -> bool {
        match self {
            Self::Before { code, .. } | Self::AtEnd { code, .. } => {
                code.is_some_and(is_stale_group)
            }
        }
    }

    /// What it means. Ends the transaction where that is still to be done, so that readers do
    /// not wait for its time-out.
    pub(crate) fn outcome(self, producer: &Producer) -> CommitOutcome {
        match self {
            Self::Before { code, what } => {
                if !fenced(producer, code)
                    && let Err(error) = producer.abort_transaction(ABORT)
                {
                    tracing::debug!(%error, "the transaction is left to its time-out");
                }
                // The coordinator's answer to that says it too.
                match fenced(producer, code) {
                    true => CommitOutcome::Fenced(what),
                    false => CommitOutcome::Aborted(what),
                }
            }
            Self::AtEnd {
                code,
                aborted,
                what,
            } => {
                if fenced(producer, code) {
                    return CommitOutcome::Fenced(what);
                }
                if !aborted {
                    return CommitOutcome::Indeterminate(what);
                }
                let ended = producer.abort_transaction(ABORT);
                match (fenced(producer, code), ended) {
                    (true, _) => CommitOutcome::Fenced(what),
                    (false, Ok(())) => CommitOutcome::Aborted(what),
                    (false, Err(_)) => CommitOutcome::Indeterminate(what),
                }
            }
        }
    }
}

fn fenced(producer: &Producer, code: Option<RDKafkaErrorCode>) -> bool {
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    code.is_some_and(is_fenced) || fatal.is_some_and(is_fenced)
}
