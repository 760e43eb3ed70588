//! Messages about records of topics: outcomes, and dead letters.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ports::ingestion::SourceRecord;
use ports::log::{Consumed, SideMessage, SideTopic};
use schemas::error::Fault;
use schemas::ingest::{CONTENT_TYPE, Encoding, Outcome as Message, Said};
use schemas::record::Origin;

use crate::writer::request::Decided;

/// Topic of the record that a message is about; the three tell repeats of a message.
pub const SOURCE_TOPIC: &str = "daybook-source-topic";
/// Its partition.
pub const SOURCE_PARTITION: &str = "daybook-source-partition";
/// Its offset.
pub const SOURCE_OFFSET: &str = "daybook-source-offset";
/// Why a record is a dead letter: a code.
pub const REASON: &str = "daybook-reason";
/// The same as a sentence.
pub const MESSAGE: &str = "daybook-message";

/// Where a record stands in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

impl Place {
    /// Of a command that came by a topic.
    pub(crate) fn of(origin: &Origin) -> Option<Self> {
        match origin {
            Origin::Kafka {
                topic,
                partition,
                offset,
                ..
            } => Some(Self {
                topic: Arc::clone(topic),
                partition: *partition,
                offset: *offset,
            }),
            _ => None,
        }
    }

    /// Of a record.
    pub(crate) fn of_record(record: &SourceRecord) -> Self {
        Self {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
            offset: record.offset,
        }
    }

    /// The partition, consumed up to here.
    pub(crate) fn consumed(&self) -> Consumed {
        Consumed {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            next_offset: self.offset + 1,
        }
    }

    fn headers(&self) -> [(Cow<'static, str>, Option<Bytes>); 3] {
        let text = |text: String| Some(Bytes::from(text));
        [
            (SOURCE_TOPIC.into(), text(self.topic.to_string())),
            (SOURCE_PARTITION.into(), text(self.partition.to_string())),
            (SOURCE_OFFSET.into(), text(self.offset.to_string())),
        ]
    }

    fn outcome(&self, ledger: &LedgerName, message: &Message<'_>) -> SideMessage {
        let json = Bytes::from_static(Encoding::Json.content_type().as_bytes());
        let mut headers = Vec::with_capacity(4);
        headers.push((CONTENT_TYPE.into(), Some(json)));
        headers.extend(self.headers());
        SideMessage {
            topic: SideTopic::Outcomes,
            key: Some(Bytes::copy_from_slice(ledger.as_str().as_bytes())),
            headers,
            payload: Some(message.to_json()),
        }
    }
}

/// The outcome of a command that was decided, now or before.
pub(crate) fn decided(
    place: &Place,
    ledger: &LedgerName,
    key: &IdempotencyKey,
    decided: &Decided,
) -> SideMessage {
    let message = Message {
        topic: &place.topic,
        partition: place.partition,
        offset: place.offset,
        ledger,
        key,
        said: match &decided.result {
            Ok(accepted) => Said::Accepted(accepted.transaction),
            Err(rejection) => Said::Refused(rejection),
        },
        ledger_sequence: decided.ledger_sequence,
        record: decided.hash.map(|hash| (hash, decided.recorded_at)),
        repeated: decided.repeated,
    };
    place.outcome(ledger, &message)
}

/// The outcome of a command that is not decided, however often it is sent.
pub(crate) fn declined(
    place: &Place,
    ledger: &LedgerName,
    key: &IdempotencyKey,
    why: &Fault,
) -> SideMessage {
    let message = Message {
        topic: &place.topic,
        partition: place.partition,
        offset: place.offset,
        ledger,
        key,
        said: Said::Declined(why),
        ledger_sequence: 0,
        record: None,
        repeated: false,
    };
    place.outcome(ledger, &message)
}

/// A record that is no command: as it was, with the reason.
pub(crate) fn dead(record: &SourceRecord, code: &'static str, message: &str) -> SideMessage {
    let place = Place::of_record(record);
    let mut headers = Vec::with_capacity(record.headers.len() + 5);
    for (name, value) in &record.headers {
        headers.push((Cow::Owned(name.clone()), value.clone()));
    }
    headers.push((REASON.into(), Some(Bytes::from_static(code.as_bytes()))));
    let message = Bytes::copy_from_slice(message.as_bytes());
    headers.push((MESSAGE.into(), Some(message)));
    headers.extend(place.headers());
    SideMessage {
        topic: SideTopic::DeadLetters,
        key: record.key.clone(),
        headers,
        payload: record.payload.clone(),
    }
}
