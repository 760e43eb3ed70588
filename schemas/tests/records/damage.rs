//! Damaged, foreign and newer bytes are refused with a reason, and never panic.

use bytes::Bytes;
use ledger_core::account::AccountNumber;
use proptest::prelude::*;
use prost::Message;
use schemas::proto::record::v1 as proto;
use schemas::record::{self, Payload, Record, RecordError};

use super::{arbitrary, golden};

/// Why the record is refused when its message was changed so.
fn refusal(record: &Record, change: impl FnOnce(&mut proto::Record)) -> String {
    let mut message = record::to_message(record);
    change(&mut message);
    record::decode(message.encode_to_vec().into())
        .expect_err("the message was damaged")
        .to_string()
}

fn transfer() -> Record {
    golden::sample("transaction_created")
}

fn created(message: &mut proto::Record) -> &mut proto::TransactionCreated {
    match &mut message.payload {
        Some(proto::record::Payload::Event(proto::Event {
            event: Some(proto::event::Event::TransactionCreated(created)),
        })) => created,
        other => panic!("not a created transaction: {other:?}"),
    }
}

fn transaction(message: &mut proto::Record) -> &mut proto::Transaction {
    created(message).transaction.as_mut().expect("it has one")
}

#[test]
fn what_is_wrong_is_named() {
    let record = transfer();
    type Change = fn(&mut proto::Record);
    let cases: [(&str, Change); 19] = [
        (
            "the record's kind has version 2; this build knows versions up to 1",
            |m| m.kind_version = 2,
        ),
        (
            "the record's kind has version 0; this build knows versions up to 1",
            |m| m.kind_version = 0,
        ),
        ("payload is missing", |m| m.payload = None),
        ("key is missing", |m| m.key = None),
        ("log_id has 15 bytes instead of 16", |m| {
            m.log_id = m.log_id.slice(1..)
        }),
        ("log_id has 0 bytes instead of 16", |m| {
            m.log_id = Bytes::new()
        }),
        ("previous_hash has 3 bytes instead of 32", |m| {
            m.previous_hash = Bytes::from_static(b"abc")
        }),
        ("request_hash has 17 bytes instead of 16", |m| {
            m.request_hash = Bytes::from_static(&[0; 17])
        }),
        ("ledger: ledger name has an empty segment", |m| {
            m.ledger.clear()
        }),
        (
            "recorded_at: 9223372036854775807 µs is outside of the years 1 to 9999",
            |m| m.recorded_at = i64::MAX,
        ),
        ("key: a binary key must be a UUIDv7", |m| {
            m.key = Some(proto::record::Key::KeyUuid(Bytes::from_static(&[0; 16])));
        }),
        ("key has 4 bytes instead of 16", |m| {
            m.key = Some(proto::record::Key::KeyUuid(Bytes::from_static(b"four")));
        }),
        ("transaction status has the unknown value 9", |m| {
            transaction(m).status = 9
        }),
        ("transaction status has the unknown value 0", |m| {
            transaction(m).status = 0
        }),
        ("transaction is missing", |m| created(m).transaction = None),
        ("account number: numbers start at 1", |m| {
            transaction(m).postings[0].debit = 0
        }),
        (
            "posting amount: 340282366920938463444927863358058659840 is above the largest amount",
            |m| {
                transaction(m).postings[0].amount = 0;
                transaction(m).postings[0].amount_high = u64::MAX;
            },
        ),
        ("text is missing", |m| {
            transaction(m).description = Some(proto::Text { text: None })
        }),
        ("origin is missing", |m| {
            m.origin = Some(proto::Origin { source: None })
        }),
    ];
    for (expected, change) in cases {
        assert_eq!(refusal(&record, change), expected);
    }
}

#[test]
fn an_id_that_was_left_out_needs_a_uuid_key() {
    let refused = refusal(&transfer(), |m| {
        m.key = Some(proto::record::Key::KeyText("import-1".to_owned()));
    });
    assert_eq!(refused, "transaction id is missing");
}

#[test]
fn a_refusal_with_a_code_of_the_future_is_refused() {
    let refused = refusal(&golden::sample("rejection"), |m| {
        if let Some(proto::record::Payload::Rejection(rejection)) = &mut m.payload {
            rejection.code = "OUT_OF_CHEESE".to_owned();
        }
    });
    assert_eq!(
        refused,
        "rejection code has the unknown value OUT_OF_CHEESE"
    );
}

#[test]
fn metadata_out_of_order_is_refused() {
    let refused = refusal(&golden::sample("ledger_created"), |m| {
        if let Some(proto::record::Payload::Event(event)) = &mut m.payload
            && let Some(proto::event::Event::LedgerCreated(terms)) = &mut event.event
        {
            terms.metadata.reverse();
        }
    });
    assert_eq!(refused, "metadata: keys are not sorted");
}

#[test]
fn atomic_events_are_never_nested() {
    let refused = refusal(&golden::sample("atomic"), |m| {
        if let Some(proto::record::Payload::Event(event)) = &mut m.payload {
            let inner = event.clone();
            event.event = Some(proto::event::Event::Atomic(proto::Atomic {
                events: vec![inner],
            }));
        }
    });
    assert_eq!(refused, "event: an atomic event in another");
}

#[test]
fn deep_nesting_is_refused_without_a_panic() {
    // Atomic in Atomic in Atomic …: field 12 of Event, field 1 of Atomic.
    let mut event = Vec::new();
    for _ in 0..5_000 {
        let atomic = nested(1, &event);
        event = nested(12, &atomic);
    }
    let bytes = Bytes::from(nested(20, &event));
    assert!(matches!(
        record::decode(bytes),
        Err(RecordError::Protobuf(_))
    ));
}

fn nested(field: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

/// A value that a decoder must have checked, so that nothing downstream meets it.
fn is_sound(record: &Record) -> bool {
    match &record.payload {
        Payload::Event(ledger_core::event::Event::TransactionCreated(e)) => {
            e.balances.iter().all(|b| b.account != AccountNumber(0))
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_flipped_byte_is_refused_or_gives_another_hash(
        record in arbitrary::record(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let sealed = record::encode(&record);
        let mut bytes = sealed.bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(decoded) = record::decode(bytes.into()) {
            prop_assert_ne!(decoded.hash, sealed.hash);
            prop_assert!(is_sound(&decoded.record));
        }
    }

    #[test]
    fn any_cut_is_refused_or_gives_another_hash(
        record in arbitrary::record(), at in any::<prop::sample::Index>(),
    ) {
        let sealed = record::encode(&record);
        let cut = sealed.bytes.slice(..at.index(sealed.bytes.len()));
        if let Ok(decoded) = record::decode(cut) {
            prop_assert_ne!(decoded.hash, sealed.hash);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(record::decode(bytes.into()).is_err());
    }
}
