//! Measures what one plain transfer costs core, step by step. Run in release:
//! `cargo run --release -p ledger-core --example hot_path [accounts] [transfers]`.
#![allow(clippy::print_stdout)]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ledger_core::account::{AccountNumber, AccountType, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::{
    AccountRef, AmountSpec, Command, CreateLedger, CreateTransaction, OpenAccount, Operation,
    PostingSpec,
};
use ledger_core::facts::{Facts, KeyEntry};
use ledger_core::key::IdempotencyKey;
use ledger_core::ledger::{KeyLookup, LedgerState};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::time::{Day, Moment, Timestamp};
use ledger_core::transaction::LimitsMode;

/// Records that stay in memory, as the writer keeps them.
const REMEMBERED: u64 = 250_000;

/// Time that this thread was on a processor, where the system says it (Linux), so that other
/// work on the machine does not count; else time as it passes.
fn clock() -> Duration {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = said.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| STARTED.elapsed(), Duration::from_nanos)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn key(random: &mut Random, millisecond: u64) -> IdempotencyKey {
    let noise = u128::from(random.next()) << 64 | u128::from(random.next());
    let noise = noise & ((1 << 80) - 1) & !(0xf << 76) & !(0b11 << 62);
    let uuid = u128::from(millisecond) << 80 | 7 << 76 | 0b10 << 62 | noise;
    IdempotencyKey::from_uuid(uuid).expect("made as a UUIDv7")
}

fn at(micros: u64) -> Moment {
    Moment {
        recorded_at: Timestamp::from_micros(micros as i64).expect("a time of this century"),
        business_date: Day(20_000),
    }
}

fn take(state: &mut LedgerState, key: IdempotencyKey, operation: Operation, sequence: &mut u64) {
    let command = Command {
        key: key.clone(),
        conditions: Vec::new(),
        operation,
    };
    let request_hash = request_hash(state.name(), &command);
    let moment = at(1_728_000_000_000_000);
    let event = state
        .decide(&command, &Facts::default(), moment)
        .expect("nothing refuses it");
    state.evolve(&event, moment);
    *sequence += 1;
    state.remember_key(
        key,
        KeyEntry {
            request_hash,
            sequence: *sequence,
        },
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let mut argument = |default| arguments.next().map_or(default, |a| a.expect("a number"));
    let (accounts, transfers) = (argument(10_000), argument(1_000_000));
    let by_number = argument(0) == 1;

    let ledger = LedgerName::new("bench").expect("a name");
    let mut state = LedgerState::new(ledger.clone(), 7);
    let mut random = Random(1);
    let mut sequence = 0;
    let created = Operation::CreateLedger(CreateLedger::default());
    take(&mut state, key(&mut random, 1), created, &mut sequence);
    let names: Vec<AccountName> = (0..accounts)
        .map(|i| AccountName::new(&format!("customers:{i}:checking")).expect("a name"))
        .collect();
    for name in &names {
        let opened = Operation::OpenAccount(OpenAccount {
            name: name.clone(),
            asset: Asset::parse("USD/2").expect("an asset"),
            account_type: AccountType::Liability,
            limits: Limits::default(),
            metadata: Default::default(),
        });
        take(&mut state, key(&mut random, 2), opened, &mut sequence);
    }

    let mut spent = [Duration::ZERO; 3];
    let started = clock();
    let mut outside = Duration::ZERO;
    const BATCH: u64 = 8_000;
    let mut done = 0;
    while done < transfers {
        // As commands come off the wire: each with names of its own.
        let making = clock();
        let commands: Vec<Command> = (0..BATCH.min(transfers - done))
            .map(|i| {
                let debit = random.next() % accounts;
                let credit = (debit + 1 + random.next() % (accounts - 1)) % accounts;
                let named = |i: u64| match by_number {
                    true => AccountRef::Number(AccountNumber(i as u32 + 1)),
                    false => AccountRef::Name(
                        AccountName::new(names[i as usize].as_str()).expect("a name"),
                    ),
                };
                Command {
                    key: key(&mut random, 1_728_000_000_000 + (done + i) / 250),
                    conditions: Vec::new(),
                    operation: Operation::CreateTransaction(CreateTransaction {
                        postings: vec![PostingSpec {
                            debit: named(debit),
                            credit: named(credit),
                            amount: AmountSpec::Exact(
                                Amount::new(u128::from(random.next() % 10_000) + 1)
                                    .expect("a small amount"),
                            ),
                            asset: None,
                        }],
                        effective_at: None,
                        hold: None,
                        limits: LimitsMode::Enforce,
                        description: None,
                        metadata: Default::default(),
                    }),
                }
            })
            .collect();
        outside += clock() - making;
        let facts = Facts::default();
        let moment = at(1_728_000_000_000_000 + done * 4);
        let mut hashes = Vec::with_capacity(commands.len());
        let step = clock();
        for command in &commands {
            hashes.push(request_hash(&ledger, command));
        }
        spent[0] += clock() - step;
        let step = clock();
        for (command, request_hash) in commands.iter().zip(hashes) {
            assert!(
                state
                    .facts_needed(&command.key, &command.operation)
                    .is_empty()
            );
            assert_eq!(
                state.lookup_key(&command.key, &request_hash, &facts),
                KeyLookup::New
            );
            let event = state
                .decide(command, &facts, moment)
                .expect("nothing refuses it");
            state.evolve(&event, moment);
            sequence += 1;
            let entry = KeyEntry {
                request_hash,
                sequence,
            };
            state.remember_key(command.key.clone(), entry);
        }
        spent[1] += clock() - step;
        let step = clock();
        state.forget_through(sequence.saturating_sub(REMEMBERED));
        spent[2] += clock() - step;
        done += commands.len() as u64;
    }
    let whole = clock() - started - outside;
    let nanos = |d: Duration| d.as_nanos() / u128::from(transfers);
    println!(
        "{transfers} transfers over {accounts} accounts by {}: {} ns each",
        if by_number { "number" } else { "name" },
        nanos(whole)
    );
    println!(
        "  request hash                      {:>5} ns",
        nanos(spent[0])
    );
    println!(
        "  look up, decide, evolve, remember {:>5} ns",
        nanos(spent[1])
    );
    println!(
        "  forget                            {:>5} ns",
        nanos(spent[2])
    );
    println!("  {} records remembered", state.remembered());
    println!(
        "  an event has {} bytes, an account {}",
        std::mem::size_of::<ledger_core::event::Event>(),
        std::mem::size_of::<ledger_core::account::Account>()
    );
    let image = state.to_image();
    let again = LedgerState::from_image(image.clone(), 9).expect("a sound image");
    assert!(again.to_image() == image, "an image gives its image again");
}
