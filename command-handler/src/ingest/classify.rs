//! What a record of a topic is: a command for this shard, or a dead letter.

use std::sync::Arc;

use ledger_core::canonical::request_hash;
use ledger_core::facts::RequestHash;
use ledger_core::limits::NAME_BYTES_MAX;
use ports::ingestion::SourceRecord;
use ports::log::SideMessage;
use ports::routing::shard_of;
use schemas::ingest::{CONTENT_TYPE, Encoding, Form, Unreadable};
use schemas::limits::INGESTION_RECORD_BYTES_MAX;

use super::letters;
use crate::api::is_traceparent;

/// A record that is a command for this shard.
#[derive(Debug)]
pub(super) struct Command {
    /// As it stands in its topic: should it become a dead letter after all.
    pub(super) record: SourceRecord,
    /// What it asks for.
    pub(super) form: Form,
    /// Of the command, where that is known before its accounts are.
    pub(super) request_hash: RequestHash,
    /// W3C trace context, where a header has one.
    pub(super) traceparent: Option<Arc<str>>,
}

/// A record that is none.
#[derive(Debug)]
pub(super) struct Dead {
    /// The code.
    pub(super) code: &'static str,
    /// What goes to the topic of dead letters.
    pub(super) letter: SideMessage,
}

/// Reads `record` as a command for `shard`.
pub(super) fn classify(
    record: SourceRecord,
    shard: u32,
    shard_count: u32,
) -> Result<Box<Command>, Dead> {
    if record.size() > INGESTION_RECORD_BYTES_MAX {
        let why = format!(
            "the record has {} bytes; at most {INGESTION_RECORD_BYTES_MAX} are allowed",
            record.size()
        );
        // What was too large for a command may be too large for a letter.
        let bare = SourceRecord {
            headers: Vec::new(),
            payload: None,
            key: record.key.filter(|key| key.len() <= NAME_BYTES_MAX),
            ..record
        };
        return Err(dead(&bare, "INGESTION_RECORD_TOO_LARGE", &why));
    }
    match read(&record, shard, shard_count) {
        Ok(form) => Ok(Box::new(Command {
            request_hash: request_hash(&form.ledger, &form.command),
            traceparent: traceparent(&record),
            form,
            record,
        })),
        Err((code, why)) => Err(dead(&record, code, &why)),
    }
}

/// A record that is no command, with the reason.
pub(super) fn dead(record: &SourceRecord, code: &'static str, why: &str) -> Dead {
    Dead {
        code,
        letter: letters::dead(record, code, why),
    }
}

fn read(
    record: &SourceRecord,
    shard: u32,
    shard_count: u32,
) -> Result<Form, (&'static str, String)> {
    const UNDECODABLE: &str = "UNDECODABLE";
    let undecodable = |why: &str| (UNDECODABLE, why.to_owned());
    if record.unnamed_headers > 0 {
        return Err(undecodable(
            "a header's name is no UTF-8; the letter has the others",
        ));
    }
    let payload = record
        .payload
        .as_ref()
        .ok_or_else(|| undecodable("the record has no payload"))?;
    let content_type = record.header(CONTENT_TYPE);
    let encoding = content_type.and_then(|value| Encoding::of(value));
    let encoding = encoding.ok_or_else(|| {
        undecodable("the header content-type must say application/x-protobuf or application/json")
    })?;
    let form = schemas::ingest::read(record.kind, encoding, payload).map_err(|why| match why {
        Unreadable::Undecodable(why) => (UNDECODABLE, why),
        Unreadable::Malformed(malformed) => ("INVALID_ARGUMENT", malformed.to_string()),
    })?;
    if record.key.as_deref() != Some(form.ledger.as_str().as_bytes()) {
        let why = format!(
            "the record's key must be the name of its ledger, {}",
            form.ledger
        );
        return Err(("KEY_NOT_LEDGER", why));
    }
    let own = shard_of(&form.ledger, shard_count);
    if own != shard {
        let why = format!(
            "ledger {} belongs to partition {own}: produce with the partitioner murmur2_random",
            form.ledger
        );
        return Err(("WRONG_PARTITION", why));
    }
    Ok(form)
}

fn traceparent(record: &SourceRecord) -> Option<Arc<str>> {
    let text = std::str::from_utf8(record.header("traceparent")?).ok()?;
    is_traceparent(text).then(|| Arc::from(text))
}
