//! Records to bytes.

use bytes::{Bytes, BytesMut};
use ledger_core::event::Event;
use ledger_core::key::IdempotencyKey;
use prost::Message;

use super::convert::{Enclosing, to_proto};
use super::{KIND_VERSION, Origin, Payload, Record, RecordHash, SealedRecord, wire};
use crate::proto::record::v1 as proto;

/// `record` with its bytes and their hash.
pub fn encode(record: &Record) -> SealedRecord {
    let mut out = BytesMut::with_capacity(256);
    let hash = encode_into(record, &mut out);
    SealedRecord {
        record: record.clone(),
        bytes: out.freeze(),
        hash,
    }
}

/// Appends the bytes of `record`, without a frame, and gives their hash.
pub fn encode_into(record: &Record, out: &mut BytesMut) -> RecordHash {
    let start = out.len();
    out.reserve(256);
    wire::bytes(1, &record.log_id.0, out);
    wire::uint(2, record.shard.into(), out);
    wire::uint(3, record.epoch, out);
    wire::uint(4, record.sequence, out);
    wire::bytes(5, record.ledger.as_str().as_bytes(), out);
    wire::uint(6, record.ledger_sequence, out);
    if let Some(previous) = &record.previous_hash {
        wire::bytes(7, &previous.0, out);
    }
    wire::sfixed64(8, record.moment.recorded_at.micros(), out);
    wire::sint(9, record.moment.business_date.0, out);
    match &record.key {
        IdempotencyKey::Uuid(uuid) => wire::present(10, &uuid.to_be_bytes(), out),
        IdempotencyKey::Text(text) => wire::present(11, text.as_bytes(), out),
    }
    if let Some(request_hash) = &record.request_hash {
        wire::bytes(12, request_hash, out);
    }
    wire::bytes(13, record.actor.as_deref().unwrap_or("").as_bytes(), out);
    if let Some(origin) = origin(&record.origin) {
        message(14, &origin, out);
    }
    let traceparent = record.traceparent.as_deref().unwrap_or("");
    wire::bytes(15, traceparent.as_bytes(), out);
    wire::uint(16, KIND_VERSION.into(), out);
    payload(record, out);
    super::hash(&out[start..])
}

fn message(number: u32, message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(length + 16);
    wire::length(number, length, out);
    message.encode_raw(out);
}

fn payload(record: &Record, out: &mut BytesMut) {
    let enclosing = Enclosing::new(&record.key, record.moment.recorded_at);
    match &record.payload {
        Payload::Event(event) => {
            if let Event::TransactionCreated(created) = event
                && wire::created(20, created, &enclosing, out)
            {
                return;
            }
            message(20, &to_proto::event(event, &enclosing), out);
        }
        Payload::Rejection(rejection) => message(21, &to_proto::rejection(rejection), out),
        Payload::WriterClaimed(claimed) => message(22, &writer_claimed(claimed), out),
        Payload::LogStarted(started) => message(23, &log_started(started), out),
        Payload::LogMigrated(migrated) => message(24, &log_migrated(migrated), out),
        Payload::LogSealed(sealed) => message(25, &log_sealed(sealed), out),
        Payload::LogReopened(reopened) => message(26, &log_reopened(reopened), out),
    }
}

fn writer_claimed(claimed: &super::WriterClaimed) -> proto::WriterClaimed {
    proto::WriterClaimed {
        epoch: claimed.epoch,
        nonce: Bytes::copy_from_slice(&claimed.nonce),
        build: claimed.build.as_ref().to_owned(),
    }
}

fn log_started(started: &super::LogStarted) -> proto::LogStarted {
    proto::LogStarted {
        shard_count: started.shard_count,
        parent: started.parent.as_ref().map(|parent| proto::Parent {
            log_id: Bytes::copy_from_slice(&parent.log_id.0),
            sequence: parent.sequence,
            hash: Bytes::copy_from_slice(&parent.hash.0),
        }),
    }
}

fn log_migrated(migrated: &super::LogMigrated) -> proto::LogMigrated {
    let hash = |hash: &RecordHash| Bytes::copy_from_slice(&hash.0);
    proto::LogMigrated {
        shard_count: migrated.shard_count,
        source: Bytes::copy_from_slice(&migrated.source.0),
        shards: migrated
            .shards
            .iter()
            .map(|shard| proto::SealedShard {
                sequence: shard.sequence,
                hash: hash(&shard.hash),
            })
            .collect(),
        last_hash: migrated.last_hash.as_ref().map_or_else(Bytes::new, hash),
    }
}

fn log_sealed(sealed: &super::LogSealed) -> proto::LogSealed {
    proto::LogSealed {
        moved_to: Bytes::copy_from_slice(&sealed.moved_to.0),
        place: sealed.place.as_ref().to_owned(),
    }
}

fn log_reopened(reopened: &super::LogReopened) -> proto::LogReopened {
    proto::LogReopened {
        reason: reopened.reason.as_ref().to_owned(),
    }
}

fn origin(origin: &Origin) -> Option<proto::Origin> {
    use proto::origin::Source;
    let source = match origin {
        Origin::Grpc => return None,
        Origin::Kafka {
            topic,
            partition,
            offset,
            resume,
        } => Source::Kafka(proto::KafkaOrigin {
            topic: topic.as_ref().to_owned(),
            partition: *partition,
            offset: *offset,
            behind: offset.saturating_sub(*resume),
        }),
        Origin::Import(place) => Source::Import(place.as_ref().to_owned()),
        Origin::Timer => Source::Timer(true),
    };
    Some(proto::Origin {
        source: Some(source),
    })
}

/// `record` as the generated code's message, as clients of the audit see it.
pub fn to_message(record: &Record) -> proto::Record {
    let enclosing = Enclosing::new(&record.key, record.moment.recorded_at);
    let previous_hash = record.previous_hash.as_ref();
    let request_hash = record.request_hash.as_ref();
    proto::Record {
        log_id: Bytes::copy_from_slice(&record.log_id.0),
        shard: record.shard,
        epoch: record.epoch,
        sequence: record.sequence,
        ledger: record.ledger.as_str().to_owned(),
        ledger_sequence: record.ledger_sequence,
        previous_hash: previous_hash.map_or_else(Bytes::new, |h| Bytes::copy_from_slice(&h.0)),
        recorded_at: record.moment.recorded_at.micros(),
        business_date: record.moment.business_date.0,
        request_hash: request_hash.map_or_else(Bytes::new, |h| Bytes::copy_from_slice(h)),
        actor: record.actor.as_deref().unwrap_or("").to_owned(),
        origin: origin(&record.origin),
        traceparent: record.traceparent.as_deref().unwrap_or("").to_owned(),
        kind_version: KIND_VERSION,
        key: Some(to_proto::key(&record.key)),
        payload: Some(match &record.payload {
            Payload::Event(event) => {
                proto::record::Payload::Event(to_proto::event(event, &enclosing))
            }
            Payload::Rejection(rejection) => {
                proto::record::Payload::Rejection(to_proto::rejection(rejection))
            }
            Payload::WriterClaimed(claimed) => {
                proto::record::Payload::WriterClaimed(writer_claimed(claimed))
            }
            Payload::LogStarted(started) => {
                proto::record::Payload::LogStarted(log_started(started))
            }
            Payload::LogMigrated(migrated) => {
                proto::record::Payload::LogMigrated(log_migrated(migrated))
            }
            Payload::LogSealed(sealed) => proto::record::Payload::LogSealed(log_sealed(sealed)),
            Payload::LogReopened(reopened) => {
                proto::record::Payload::LogReopened(log_reopened(reopened))
            }
        }),
    }
}
