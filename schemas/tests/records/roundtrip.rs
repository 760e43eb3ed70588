//! What is encoded is decoded, and the fast way writes the generated code's bytes.

use bytes::{Bytes, BytesMut};
use ledger_core::event::Event;
use ledger_core::transaction::Transaction;
use proptest::prelude::*;
use prost::Message;
use schemas::proto::record::v1 as proto;
use schemas::record::{self, Barrier, Payload, RecordError, convert, frame};

use super::arbitrary;

fn transactions(event: &Event, all: &mut Vec<Transaction>) {
    match event {
        Event::TransactionCreated(e) => all.push(e.transaction.clone()),
        Event::TransactionCaptured(e) => all.extend([e.capture.clone(), e.hold.clone()]),
        Event::TransactionReleased(e) => all.push(e.hold.clone()),
        Event::TransactionReversed(e) => all.extend([e.reversal.clone(), e.original.clone()]),
        Event::TransactionUpdated(e) => all.push(e.transaction.clone()),
        Event::Atomic(events) => events.iter().for_each(|e| transactions(e, all)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_record_is_what_was_encoded(record in arbitrary::record()) {
        let sealed = record::encode(&record);
        prop_assert_eq!(&sealed.record, &record);
        prop_assert_eq!(sealed.hash, record::hash(&sealed.bytes));
        let decoded = record::decode(sealed.bytes.clone()).expect("just encoded");
        prop_assert_eq!(decoded, sealed);
    }

    #[test]
    fn the_bytes_are_the_generated_codes(record in arbitrary::record()) {
        let mut out = BytesMut::from(&b"before"[..]);
        let hash = record::encode_into(&record, &mut out);
        let generated = record::to_message(&record).encode_to_vec();
        prop_assert_eq!(&out[6..], &generated[..]);
        prop_assert_eq!(hash, record::hash(&generated));
        let message = proto::Record::decode(&generated[..]).expect("just encoded");
        prop_assert_eq!(message, record::to_message(&record));
    }

    #[test]
    fn a_transaction_outside_of_records_leaves_nothing_out(record in arbitrary::record()) {
        let mut all = Vec::new();
        if let Payload::Event(event) = &record.payload {
            transactions(event, &mut all);
        }
        for transaction in all {
            let mut out = BytesMut::new();
            convert::encode_transaction(&transaction, &mut out);
            let generated = convert::to_proto::transaction(&transaction, None).encode_to_vec();
            prop_assert_eq!(&out[..], &generated[..]);
            prop_assert_eq!(convert::decode_transaction(&out), Ok(transaction));
        }
    }

    #[test]
    fn a_body_is_split_into_its_records(records in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 1..300), 0..20,
    )) {
        let mut body = BytesMut::new();
        records.iter().for_each(|record| frame::push(&mut body, record));
        let split = frame::split(body.freeze()).expect("just framed");
        let split: Vec<Vec<u8>> = split.iter().map(|record| record.to_vec()).collect();
        prop_assert_eq!(split, records);
    }

    #[test]
    fn a_body_of_any_bytes_is_split_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        // That it does not panic is what is tested; what it gives covers no byte twice.
        if let Ok(records) = frame::split(Bytes::from(body.clone())) {
            prop_assert!(records.iter().map(Bytes::len).sum::<usize>() <= body.len());
        }
    }
}

#[test]
fn a_body_that_does_not_add_up_is_refused_with_the_place() {
    let mut body = BytesMut::new();
    frame::push(&mut body, b"first");
    frame::push(&mut body, b"second");
    let cut = body.clone().freeze().slice(..body.len() - 1);
    let refused = frame::split(cut).expect_err("the last byte is missing");
    assert_eq!(
        refused.to_string(),
        "frame 1 of the body at byte 6: it reaches beyond the end of the body"
    );
    let empty = frame::split(Bytes::from_static(&[0])).expect_err("an empty record");
    assert!(matches!(
        empty,
        RecordError::Frame {
            index: 0,
            offset: 0,
            ..
        }
    ));
    let endless = frame::split(Bytes::from_static(&[0xff; 12])).expect_err("no varint");
    assert!(matches!(endless, RecordError::Frame { .. }));
}

#[test]
fn a_barrier_is_what_was_encoded() {
    let barrier = Barrier {
        nonce: *b"sixteen bytes...",
        epoch: 7,
    };
    assert_eq!(Barrier::decode(&barrier.encode()), Ok(barrier));
    assert!(matches!(
        Barrier::decode(&[]),
        Err(RecordError::WrongLength { expected: 16, .. })
    ));
}
