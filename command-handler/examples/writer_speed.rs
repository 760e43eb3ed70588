//! How long the writer's thread takes for a transfer: decide, encode, hash, evolve, answer; with
//! a log that is durable at once. `cargo run --release -p command-handler --example writer_speed`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use command_handler::Bounds;
use command_handler::writer::batch::Commit;
use command_handler::writer::machine::Machine;
use command_handler::writer::request::{Request, Want};
use ledger_core::account::{AccountNumber, AccountType, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::{
    AccountRef, AmountSpec, Command, CreateLedger, CreateTransaction, OpenAccount, Operation,
    PostingSpec,
};
use ledger_core::key::IdempotencyKey;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::Metadata;
use ledger_core::time::Timestamp;
use ledger_core::transaction::LimitsMode;
use ports::log::{CommitOutcome, Position};
use schemas::record::LogId;
use shard_state::ShardState;

const ACCOUNTS: u32 = 10_000;
const TRANSFERS: u64 = 1_000_000;
const BATCH: u64 = 8_190;

fn request(ledger: &LedgerName, key: IdempotencyKey, operation: Operation) -> Request {
    let command = Command {
        key,
        conditions: Vec::new(),
        operation,
    };
    Request {
        request_hash: request_hash(ledger, &command),
        ledger: ledger.clone(),
        command,
        validate_only: false,
        want: Want::default(),
        source: Arc::default(),
        ingested: None,
    }
}

fn take(machine: &mut Machine<u64>, requests: Vec<Request>) -> (usize, usize) {
    for (tag, request) in (0..).zip(requests) {
        machine.submit(tag, request);
    }
    let (mut answered, mut bytes) = (0, 0);
    while !machine.is_idle() {
        machine.step(512);
        let outputs = machine.outputs();
        answered += outputs.replies.len();
        if let Some(commit) = outputs.commit {
            if let Commit::Batch(batch) = commit {
                bytes += batch.body.len();
            }
            machine
                .committed(CommitOutcome::Committed(Position(0)))
                .unwrap();
        }
    }
    answered += machine.outputs().replies.len();
    (answered, bytes)
}

fn main() {
    let now = Timestamp::from_micros(1_780_000_000_000_000).unwrap();
    let state = ShardState::new(LogId([1; 16]), 0, 1, 7);
    let mut machine = Machine::new(state, Bounds::default(), now, false).unwrap();
    machine.claim([1; 16], "bench");
    let ledger = LedgerName::new("bench").unwrap();
    let text = |n: u32| IdempotencyKey::text(&format!("setup-{n}")).unwrap();
    let create = Operation::CreateLedger(CreateLedger::default());
    let mut setup = vec![request(&ledger, text(0), create)];
    for n in 1..=ACCOUNTS {
        let open = OpenAccount {
            name: AccountName::new(&format!("accounts:{n}")).unwrap(),
            asset: Asset::new("USD", 2).unwrap(),
            account_type: AccountType::Liability,
            limits: Limits::default(),
            metadata: Metadata::default(),
        };
        setup.push(request(&ledger, text(n), Operation::OpenAccount(open)));
    }
    take(&mut machine, setup);

    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut account = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        AccountRef::Number(AccountNumber(1 + (random % u64::from(ACCOUNTS)) as u32))
    };
    let (mut spent, mut hashing) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let (mut answered, mut bytes, mut number) = (0, 0, 0u64);
    while number < TRANSFERS {
        let begun = Instant::now();
        let requests: Vec<_> = (0..BATCH)
            .map(|_| {
                number += 1;
                let stamp = (now.micros() / 1_000 + (number / 100) as i64) as u128;
                let key = stamp << 80 | 7 << 76 | 0b10 << 62 | u128::from(number);
                let transfer = Operation::CreateTransaction(CreateTransaction {
                    postings: vec![PostingSpec {
                        debit: account(),
                        credit: account(),
                        amount: AmountSpec::Exact(
                            Amount::new(u128::from(number % 90 + 1)).unwrap(),
                        ),
                        asset: None,
                    }],
                    effective_at: None,
                    hold: None,
                    limits: LimitsMode::Enforce,
                    description: None,
                    metadata: Metadata::default(),
                });
                request(&ledger, IdempotencyKey::from_uuid(key).unwrap(), transfer)
            })
            .collect();
        hashing += begun.elapsed();
        machine.tick(now, number.saturating_sub(100_000)).unwrap();
        let begun = Instant::now();
        let (replies, written) = take(&mut machine, requests);
        spent += begun.elapsed();
        answered += replies;
        bytes += written;
    }
    println!(
        "{answered} transfers answered, {} bytes each",
        bytes / answered
    );
    println!(
        "writer: {} ns a transfer",
        spent.as_nanos() / answered as u128
    );
    println!(
        "making and hashing requests: {} ns each",
        hashing.as_nanos() / answered as u128
    );
}
