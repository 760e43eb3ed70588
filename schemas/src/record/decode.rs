//! Bytes to records.

use std::sync::Arc;

use bytes::Bytes;
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Moment};
use prost::Message as _;

use super::convert::{Enclosing, to_core};
use super::error::{Of, exactly};
use super::{
    KIND_VERSION, LogId, LogMigrated, LogReopened, LogSealed, LogStarted, Origin, Parent, Payload,
    Record, RecordError, RecordHash, SealedRecord, SealedShard, WriterClaimed, fast,
};
use crate::proto::record::v1 as proto;

/// Reads a record. Old versions of kinds are brought up to date; newer ones are refused. That
/// the hash is the one that it should be is for the reader of the chain to check.
///
/// # Errors
/// [`RecordError`] says what is damaged or unknown. Never panics, whatever the bytes.
pub fn decode(bytes: Bytes) -> Result<SealedRecord, RecordError> {
    let record = match fast::decode(&bytes) {
        Some(record) => record,
        None => any(bytes.clone())?,
    };
    Ok(SealedRecord {
        hash: super::hash(&bytes),
        record,
        bytes,
    })
}

/// Any record, by the generated code.
fn any(bytes: Bytes) -> Result<Record, RecordError> {
    let message = proto::Record::decode(bytes)?;
    match message.kind_version {
        KIND_VERSION => version_1(message),
        found => Err(RecordError::UnknownVersion {
            found,
            newest: KIND_VERSION,
        }),
    }
}

fn version_1(message: proto::Record) -> Result<Record, RecordError> {
    let key = to_core::key(message.key.ok_or(RecordError::Missing("key"))?)?;
    let recorded_at = to_core::timestamp(message.recorded_at, "recorded_at")?;
    let enclosing = Enclosing::new(&key, recorded_at);
    let payload = message.payload.ok_or(RecordError::Missing("payload"))?;
    Ok(Record {
        log_id: LogId(exactly(&message.log_id, "log_id")?),
        shard: message.shard,
        epoch: message.epoch,
        sequence: message.sequence,
        ledger: LedgerName::from_record(&message.ledger).of("ledger")?,
        ledger_sequence: message.ledger_sequence,
        previous_hash: or_none(&message.previous_hash, "previous_hash")?.map(RecordHash),
        moment: Moment {
            recorded_at,
            business_date: Day(message.business_date),
        },
        key,
        request_hash: or_none(&message.request_hash, "request_hash")?,
        actor: (!message.actor.is_empty()).then(|| Arc::from(message.actor)),
        origin: message.origin.map_or(Ok(Origin::Grpc), origin)?,
        traceparent: (!message.traceparent.is_empty()).then(|| Arc::from(message.traceparent)),
        payload: self::payload(payload, &enclosing)?,
    })
}

fn or_none<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<Option<[u8; N]>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    exactly(bytes, field).map(Some)
}

fn origin(origin: proto::Origin) -> Result<Origin, RecordError> {
    use proto::origin::Source;
    Ok(match origin.source.ok_or(RecordError::Missing("origin"))? {
        Source::Kafka(kafka) => Origin::Kafka {
            topic: Arc::from(kafka.topic),
            partition: kafka.partition,
            offset: kafka.offset,
            resume: kafka
                .offset
                .checked_sub(kafka.behind)
                .ok_or(RecordError::Missing("origin"))?,
        },
        Source::Import(place) => Origin::Import(Arc::from(place)),
        Source::Timer(_) => Origin::Timer,
    })
}

fn payload(payload: proto::record::Payload, enclosing: &Enclosing) -> Result<Payload, RecordError> {
    Ok(match payload {
        proto::record::Payload::Event(event) => Payload::Event(to_core::event(event, enclosing)?),
        proto::record::Payload::Rejection(rejection) => {
            Payload::Rejection(to_core::rejection(rejection)?)
        }
        proto::record::Payload::WriterClaimed(claimed) => Payload::WriterClaimed(WriterClaimed {
            epoch: claimed.epoch,
            nonce: exactly(&claimed.nonce, "writer_claimed.nonce")?,
            build: Arc::from(claimed.build),
        }),
        proto::record::Payload::LogStarted(started) => Payload::LogStarted(LogStarted {
            shard_count: started.shard_count,
            parent: started.parent.map(parent).transpose()?,
        }),
        proto::record::Payload::LogMigrated(migrated) => Payload::LogMigrated(LogMigrated {
            shard_count: migrated.shard_count,
            source: LogId(exactly(&migrated.source, "log_migrated.source")?),
            shards: migrated
                .shards
                .iter()
                .map(|shard| {
                    Ok(SealedShard {
                        sequence: shard.sequence,
                        hash: RecordHash(exactly(&shard.hash, "log_migrated.shards.hash")?),
                    })
                })
                .collect::<Result<_, RecordError>>()?,
            last_hash: or_none(&migrated.last_hash, "log_migrated.last_hash")?.map(RecordHash),
        }),
        proto::record::Payload::LogSealed(sealed) => Payload::LogSealed(LogSealed {
            moved_to: LogId(exactly(&sealed.moved_to, "log_sealed.moved_to")?),
            place: Arc::from(sealed.place),
        }),
        proto::record::Payload::LogReopened(reopened) => Payload::LogReopened(LogReopened {
            reason: Arc::from(reopened.reason),
        }),
    })
}

fn parent(parent: proto::Parent) -> Result<Parent, RecordError> {
    Ok(Parent {
        log_id: LogId(exactly(&parent.log_id, "parent.log_id")?),
        sequence: parent.sequence,
        hash: RecordHash(exactly(&parent.hash, "parent.hash")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{KIND_VERSION, to_message};

    /// A plain posted transaction, from the golden file.
    fn plain() -> Bytes {
        let digits = include_str!("../../tests/golden/record-v1/transaction_created.hex");
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two hex digits")
        });
        pairs.collect()
    }

    #[test]
    fn the_fast_way_reads_what_is_plain() {
        let record = fast::decode(&plain()).expect("it is plain");
        assert_eq!(Ok(record), any(plain()));
    }

    #[test]
    fn the_fast_way_reads_nothing_else_than_the_generated_code() {
        let bytes = plain();
        let mut alike = 0;
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                if let Some(record) = fast::decode(&changed) {
                    assert_eq!(Ok(record), any(changed.into()), "byte {at} = {value}");
                    alike += 1;
                }
            }
            let cut = bytes.slice(..at);
            if let Some(record) = fast::decode(&cut) {
                assert_eq!(Ok(record), any(cut), "cut at {at}");
            }
        }
        assert!(alike > 10_000, "only {alike} changes were readable");
    }

    #[test]
    fn the_fast_way_leaves_newer_versions_alone() {
        let mut message = to_message(&any(plain()).expect("readable"));
        message.kind_version = KIND_VERSION + 1;
        assert!(fast::decode(&message.encode_to_vec()).is_none());
    }
}
