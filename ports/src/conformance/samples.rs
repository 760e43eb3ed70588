//! Records and batches to test with.

use bytes::{Bytes, BytesMut};
use ledger_core::event::{Event, LedgerTerms};
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::text::{Metadata, Text};
use ledger_core::time::{Moment, Timestamp};
use schemas::record::{Barrier, LogId, Origin, Payload, Record, frame};

use crate::log::Batch;

/// A ledger's name.
pub fn ledger(name: &str) -> LedgerName {
    LedgerName::new(name).expect("samples have right names")
}

/// An instant, in microseconds since 1970.
pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("samples have right times")
}

/// Terms of a ledger with a description of `size` bytes.
pub fn terms(size: usize) -> LedgerTerms {
    LedgerTerms {
        time_zone: "UTC".into(),
        cut_off_seconds: 0,
        description: Some(Text::plain("d".repeat(size))),
        metadata: Metadata::default(),
        settlement_accounts: Vec::new(),
        version: 1,
    }
}

/// A record of `shard` at `sequence`, with a text of `size` bytes in it. (A log does not judge
/// what its records say, nor their chains.)
pub fn record(log_id: LogId, shard: u32, epoch: u64, sequence: u64, size: usize) -> Record {
    Record {
        log_id,
        shard,
        epoch,
        sequence,
        ledger: ledger("samples"),
        ledger_sequence: sequence,
        previous_hash: None,
        moment: Moment {
            recorded_at: at(1_700_000_000_000_000 + sequence as i64),
            business_date: at(1_700_000_000_000_000).utc_day(),
        },
        key: IdempotencyKey::text(&format!("sample-{shard}-{sequence}")).expect("a right key"),
        request_hash: Some([7; 16]),
        actor: None,
        origin: Origin::Grpc,
        traceparent: None,
        payload: Payload::Event(Event::LedgerUpdated(terms(size))),
    }
}

/// A batch of `count` records of `size` bytes and a little more each.
pub fn batch(
    log_id: LogId,
    shard: u32,
    epoch: u64,
    first_sequence: u64,
    count: u32,
    size: usize,
) -> Batch {
    let mut body = BytesMut::new();
    for i in 0..u64::from(count) {
        let record = record(log_id, shard, epoch, first_sequence + i, size);
        frame::push(&mut body, &schemas::record::encode(&record).bytes);
    }
    Batch {
        epoch,
        first_sequence,
        record_count: count,
        body: body.freeze(),
        attached: Default::default(),
    }
}

/// A barrier.
pub fn barrier(n: u8) -> Bytes {
    Barrier {
        nonce: [n; 16],
        epoch: 0,
    }
    .encode()
}
