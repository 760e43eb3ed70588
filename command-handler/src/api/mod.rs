//! The command API: what gRPC calls become commands of, and what they are answered.

mod batch;
mod mask;
mod reply;
mod single;
mod stream;
mod transfers;

pub use stream::WriteStreamReplies;

use std::sync::Arc;

use ledger_core::canonical::request_hash;
use ledger_core::command::Command;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ports::routing::shard_of;
use schemas::api::parse::Parsed;
use schemas::error::Fault;
use schemas::record::{LogId, Origin};
use tonic::metadata::MetadataMap;

use crate::writer::mailbox::{Answer, Mailbox};
use crate::writer::request::{Outcome, Request, Source, Want};

/// The command API over the writers of all shards.
#[derive(Debug)]
pub struct CommandApi {
    writers: Vec<Mailbox>,
    log_id: LogId,
}

/// What an answer says besides what the writer gave.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) ledger: LedgerName,
    pub(crate) shard: u32,
    pub(crate) key: IdempotencyKey,
}

impl CommandApi {
    pub(crate) fn new(writers: Vec<Mailbox>, log_id: LogId) -> Self {
        Self { writers, log_id }
    }

    fn shard_of(&self, ledger: &LedgerName) -> u32 {
        shard_of(ledger, self.writers.len() as u32)
    }

    /// A parsed command as its writer takes it, and what its answer will need.
    fn request(&self, parsed: Parsed, subject: bool, source: &Arc<Source>) -> (Request, Asked) {
        let want = Want {
            balances: parsed.return_balances,
            subject,
        };
        let asked = Asked {
            shard: self.shard_of(&parsed.ledger),
            ledger: parsed.ledger.clone(),
            key: parsed.command.key.clone(),
        };
        let request = request(parsed.ledger, parsed.command, want, source);
        let request = Request {
            validate_only: parsed.validate_only,
            ..request
        };
        (request, asked)
    }

    fn submit(&self, shard: u32, requests: Vec<Request>) -> Result<Answer, Fault> {
        self.writers[shard as usize].submit(requests, None)
    }

    /// Waits for the outcomes of `count` commands.
    async fn outcomes(&self, shard: u32, answer: Answer, count: usize) -> Vec<Outcome> {
        match answer.await {
            Ok(outcomes) => outcomes,
            Err(_) => {
                let fault = Fault::unavailable(format!(
                    "shard {shard} ended before it answered; repeat with the same key"
                ));
                vec![Outcome::Declined(fault); count]
            }
        }
    }
}

/// A command with its hash, as its writer takes it.
fn request(ledger: LedgerName, command: Command, want: Want, source: &Arc<Source>) -> Request {
    Request {
        request_hash: request_hash(&ledger, &command),
        ledger,
        command,
        validate_only: false,
        want,
        source: Arc::clone(source),
        ingested: None,
    }
}

/// Where a call's commands come from. There is no authentication yet: the actor is anonymous.
fn source(metadata: &MetadataMap) -> Arc<Source> {
    let traceparent = metadata
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .filter(|value| is_traceparent(value))
        .map(Arc::from);
    Arc::new(Source {
        actor: None,
        origin: Origin::Grpc,
        traceparent,
    })
}

/// W3C trace context: version, trace id, parent id and flags in lower-case hexadecimal. What is
/// none is left out of the record rather than refused.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    let hex = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_is_one() {
        assert!(is_traceparent(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
