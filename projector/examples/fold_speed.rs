//! How fast records are decoded and folded, without any I/O:
//! `cargo run --release -p projector --example fold_speed`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::event::{Event, ResultingBalance, TransactionCreated};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::{Moment, Timestamp};
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};
use ports::log::Position;
use projector::Fold;
use schemas::record::{LogId, Origin, Payload, Record, decode, encode};

const RECORDS: u64 = 1_000_000;
const ACCOUNTS: u64 = 10_000;
const STRETCH: usize = 128 * 1024;

fn transfer(sequence: u64, previous: Option<schemas::record::RecordHash>) -> Record {
    let at = Timestamp::from_micros(1_750_000_000_000_000 + sequence as i64).unwrap();
    let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let debit = AccountNumber((mixed % ACCOUNTS) as u32 + 1);
    let credit = AccountNumber(((mixed / ACCOUNTS) % ACCOUNTS) as u32 + ACCOUNTS as u32 + 1);
    let id = (u128::from(at.micros() as u64 / 1_000) << 80) | 7 << 76 | 0b10 << 62;
    let id = id | u128::from(sequence);
    let totals = Totals {
        debits_posted: Amount::new(u128::from(sequence) * 50).unwrap(),
        ..Totals::default()
    };
    let balance = |account| ResultingBalance {
        account,
        version: sequence,
        totals,
    };
    Record {
        log_id: LogId([1; 16]),
        shard: 0,
        epoch: 1,
        sequence,
        ledger: LedgerName::new("bank").unwrap(),
        ledger_sequence: sequence,
        previous_hash: previous,
        moment: Moment {
            recorded_at: at,
            business_date: at.utc_day(),
        },
        key: IdempotencyKey::from_uuid(id).unwrap(),
        request_hash: Some([7; 16]),
        actor: None,
        origin: Origin::Grpc,
        traceparent: None,
        payload: Payload::Event(Event::TransactionCreated(TransactionCreated {
            transaction: Transaction {
                id: TransactionId(id),
                status: TransactionStatus::Posted,
                kind: TransactionKind::Direct,
                effective_at: at,
                postings: vec![Posting {
                    debit,
                    credit,
                    amount: Amount::new(1_250).unwrap(),
                }],
                progress: Vec::new(),
                sources: Vec::new(),
                description: None,
                metadata: Default::default(),
                limits: LimitsMode::Enforce,
                version: 1,
            },
            balances: vec![balance(debit), balance(credit)],
        })),
    }
}

fn main() {
    let mut log = Vec::new();
    let mut previous = None;
    for sequence in 1..=RECORDS {
        let sealed = encode(&transfer(sequence, previous));
        previous = Some(sealed.hash);
        log.push(sealed.bytes);
    }
    let bytes: usize = log.iter().map(bytes::Bytes::len).sum();
    println!("{} bytes a record", bytes as u64 / RECORDS);

    let started = Instant::now();
    for record in &log {
        std::hint::black_box(decode(record.clone()).unwrap());
    }
    let decoding = started.elapsed().as_secs_f64() * 1e6 / RECORDS as f64;
    println!("decode and hash: {decoding:.3} µs a record");

    let mut rows = 0;
    let (mut adding, mut finishing, mut dropping) = (0.0, 0.0, 0.0);
    for stretch in log.chunks(STRETCH) {
        let started = Instant::now();
        let mut fold = Fold::new();
        for (index, record) in stretch.iter().enumerate() {
            let position = Position(index as u64 / 8_000);
            let sealed = decode(record.clone()).unwrap();
            fold.add(position, sealed.record.sequence, sealed).unwrap();
        }
        adding += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let changes = fold.finish().unwrap();
        finishing += started.elapsed().as_secs_f64();
        rows += changes.history.len();
        let started = Instant::now();
        drop(changes);
        dropping += started.elapsed().as_secs_f64();
    }
    let per = |seconds: f64| seconds * 1e6 / RECORDS as f64;
    println!("fold: {:.3} µs a record", per(adding) - decoding);
    println!("sort: {:.3} µs a record", per(finishing));
    println!("drop: {:.3} µs a record", per(dropping));
    println!("{rows} rows of history");
}
