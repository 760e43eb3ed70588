//! Golden files: one record per kind, its bytes and what they say. A file that was committed is
//! never edited, since such bytes stand in logs: every one must be read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Direction, FreezeScope, Limits,
    Totals, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::{
    AccountOpened, AccountStatusChanged, AccountUpdated, BooksChanged, Event, LedgerTerms,
    ResultingBalance, TransactionCaptured, TransactionCreated, TransactionReleased,
    TransactionReversed, TransactionUpdated,
};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::rejection::{Code, Rejection};
use ledger_core::text::{Metadata, Sealed, Text};
use ledger_core::time::{Day, Moment, Timestamp};
use ledger_core::transaction::{
    HoldTerms, LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};
use schemas::record::{
    self, LogId, LogMigrated, LogReopened, LogSealed, LogStarted, Origin, Parent, Payload, Record,
    RecordHash, SealedShard, WriterClaimed,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record-v1")
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + micros).expect("in range")
}

fn amount(minor: u128) -> Amount {
    Amount::new(minor).expect("in range")
}

fn asset(text: &str) -> Asset {
    Asset::parse(text).expect("an asset")
}

fn account(text: &str) -> AccountName {
    AccountName::new(text).expect("a name")
}

fn id(text: &str) -> TransactionId {
    TransactionId::parse(text).expect("a UUID")
}

const KEY: &str = "01970000-0000-7000-8000-000000000001";
const OTHER: &str = "01970000-0000-7000-8000-000000000002";

fn sealed() -> Text {
    Text::Sealed(Box::new(Sealed {
        key_id: "customer-42".into(),
        nonce: vec![1; 12].into(),
        ciphertext: vec![0xab; 24].into(),
    }))
}

fn metadata() -> Metadata {
    let entries = [("batch", Text::plain("17")), ("name", sealed())];
    Metadata::new(entries.map(|(k, v)| (Box::from(k), v)).into()).expect("within limits")
}

fn ledger_terms() -> LedgerTerms {
    LedgerTerms {
        time_zone: Arc::from("Europe/Prague"),
        cut_off_seconds: 79_200,
        description: Some(Text::plain("the bank's main ledger")),
        metadata: metadata(),
        settlement_accounts: vec![
            (asset("CZK/2"), account("bank:cash:CZK")),
            (asset("EUR/2"), account("bank:cash:EUR")),
        ],
        version: 3,
    }
}

fn account_terms() -> AccountTerms {
    AccountTerms {
        name: account("customers:42:checking"),
        asset: asset("CZK/2"),
        account_type: AccountType::Liability,
        limits: Limits {
            minimum: Some(-50_000),
            maximum: Some(i128::MAX),
            per_transaction: Some(amount(1_000_000)),
            velocity: vec![
                VelocityLimit {
                    direction: Direction::Outflow,
                    window: VelocityWindow::CalendarDay,
                    amount: amount(5_000_000),
                },
                VelocityLimit {
                    direction: Direction::Inflow,
                    window: VelocityWindow::Rolling { seconds: 3_600 },
                    amount: amount(1 << 70),
                },
            ],
        },
        metadata: metadata(),
    }
}

fn posting(debit: u32, credit: u32, minor: u128) -> Posting {
    Posting {
        debit: AccountNumber(debit),
        credit: AccountNumber(credit),
        amount: amount(minor),
    }
}

fn transfer() -> Transaction {
    Transaction {
        id: id(KEY),
        status: TransactionStatus::Posted,
        kind: TransactionKind::Direct,
        effective_at: at(0),
        postings: vec![posting(1, 2, 12_50)],
        progress: vec![],
        sources: vec![],
        description: None,
        metadata: Metadata::default(),
        limits: LimitsMode::Enforce,
        version: 1,
    }
}

fn hold() -> Transaction {
    Transaction {
        id: id(OTHER),
        status: TransactionStatus::Pending,
        kind: TransactionKind::Hold(HoldTerms {
            expires_at: Some(at(86_400_000_000)),
            over_capture_up_to: Some(amount(1_500)),
        }),
        effective_at: at(-60_000_000),
        progress: vec![Progress {
            captured: amount(1_000),
            reversed: Amount::ZERO,
        }],
        description: Some(Text::plain("table 9")),
        metadata: metadata(),
        version: 2,
        ..transfer()
    }
}

fn balances() -> Vec<ResultingBalance> {
    let totals = |debits, credits| Totals {
        debits_posted: amount(debits),
        credits_posted: amount(credits),
        debits_pending: amount(250),
        credits_pending: Amount::ZERO,
    };
    vec![
        ResultingBalance {
            account: AccountNumber(1),
            version: 5,
            totals: totals(12_50, 100_000),
        },
        ResultingBalance {
            account: AccountNumber(2),
            version: 9,
            totals: totals((1 << 80) + 7, 12_50),
        },
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    let capture = Transaction {
        kind: TransactionKind::Capture(id(OTHER)),
        sources: vec![0],
        ..transfer()
    };
    let reversal = Transaction {
        kind: TransactionKind::Reversal(id(OTHER)),
        sources: vec![0],
        limits: LimitsMode::RecordOnly(Text::plain("chargeback 77")),
        ..transfer()
    };
    let original = Transaction {
        id: id(OTHER),
        progress: vec![Progress {
            captured: Amount::ZERO,
            reversed: amount(12_50),
        }],
        version: 2,
        ..transfer()
    };
    vec![
        ("ledger_created", Event::LedgerCreated(ledger_terms())),
        (
            "ledger_updated",
            Event::LedgerUpdated(LedgerTerms {
                description: None,
                version: 4,
                ..ledger_terms()
            }),
        ),
        (
            "account_opened",
            Event::AccountOpened(AccountOpened {
                number: AccountNumber(7),
                terms: account_terms(),
            }),
        ),
        (
            "account_updated",
            Event::AccountUpdated(AccountUpdated {
                number: AccountNumber(7),
                version: 2,
                terms: AccountTerms {
                    limits: Limits::default(),
                    ..account_terms()
                },
            }),
        ),
        (
            "account_status_changed",
            Event::AccountStatusChanged(AccountStatusChanged {
                number: AccountNumber(7),
                version: 3,
                status: AccountStatus::Frozen(FreezeScope::Debits),
                reason: Some(Text::plain("court order 12 C 34/2026")),
            }),
        ),
        (
            "transaction_created",
            Event::TransactionCreated(TransactionCreated {
                transaction: transfer(),
                balances: balances(),
            }),
        ),
        (
            "hold_created",
            Event::TransactionCreated(TransactionCreated {
                transaction: Transaction {
                    id: id(KEY),
                    progress: vec![],
                    version: 1,
                    ..hold()
                },
                balances: balances(),
            }),
        ),
        (
            "transaction_captured",
            Event::TransactionCaptured(TransactionCaptured {
                capture,
                hold: hold(),
                balances: balances(),
            }),
        ),
        (
            "transaction_released",
            Event::TransactionReleased(TransactionReleased {
                hold: Transaction {
                    status: TransactionStatus::Expired,
                    ..hold()
                },
                expired: true,
                reason: None,
                balances: balances(),
            }),
        ),
        (
            "transaction_reversed",
            Event::TransactionReversed(TransactionReversed {
                reversal,
                original: original.clone(),
                balances: balances(),
            }),
        ),
        (
            "transaction_updated",
            Event::TransactionUpdated(TransactionUpdated {
                transaction: Transaction {
                    description: Some(sealed()),
                    ..original
                },
            }),
        ),
        (
            "books_changed",
            Event::BooksChanged(BooksChanged {
                closed_through: Some(at(0)),
                reason: Some(Text::plain("year 2025")),
                version: 5,
            }),
        ),
        (
            "books_opened",
            Event::BooksChanged(BooksChanged {
                closed_through: None,
                reason: Some(Text::plain("late invoice")),
                version: 6,
            }),
        ),
        (
            "atomic",
            Event::Atomic(vec![
                Event::AccountOpened(AccountOpened {
                    number: AccountNumber(8),
                    terms: account_terms(),
                }),
                Event::TransactionCreated(TransactionCreated {
                    transaction: transfer(),
                    balances: balances(),
                }),
            ]),
        ),
    ]
}

fn samples() -> Vec<(&'static str, Record)> {
    let record = |payload| Record {
        log_id: LogId([0x11; 16]),
        shard: 0,
        epoch: 3,
        sequence: 1_000,
        ledger: LedgerName::new("main").expect("a name"),
        ledger_sequence: 990,
        previous_hash: Some(RecordHash([0x22; 32])),
        moment: Moment {
            recorded_at: at(0),
            business_date: Day(20_454),
        },
        key: IdempotencyKey::parse(KEY).expect("a key"),
        request_hash: Some([0x33; 16]),
        actor: None,
        origin: Origin::Grpc,
        traceparent: None,
        payload,
    };
    let mut samples: Vec<_> = events()
        .into_iter()
        .map(|(name, event)| (name, record(Payload::Event(event))))
        .collect();
    let rejection = Rejection::new(Code::InsufficientFunds)
        .with("account", "customers:42:checking")
        .with("available", 100)
        .with("required", 500)
        .at_member(1);
    samples.push((
        "rejection",
        Record {
            key: IdempotencyKey::text("import-2026-01-01-17").expect("a key"),
            actor: Some(Arc::from("teller-3")),
            origin: Origin::Import(Arc::from("january.csv:17")),
            traceparent: Some(Arc::from(
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )),
            ..record(Payload::Rejection(rejection))
        },
    ));
    let engine = |payload| Record {
        ledger: LedgerName::of_shard(0),
        key: IdempotencyKey::text("daybook:claim:3").expect("a key"),
        request_hash: None,
        origin: Origin::Timer,
        ..record(payload)
    };
    samples.push((
        "writer_claimed",
        engine(Payload::WriterClaimed(WriterClaimed {
            epoch: 3,
            nonce: [0x44; 16],
            build: Arc::from("daybook 0.1.0"),
        })),
    ));
    samples.push((
        "log_started",
        Record {
            previous_hash: None,
            ..engine(Payload::LogStarted(LogStarted {
                shard_count: 4,
                parent: Some(Parent {
                    log_id: LogId([0x55; 16]),
                    sequence: 123,
                    hash: RecordHash([0x66; 32]),
                }),
            }))
        },
    ));
    samples.push((
        "log_migrated",
        engine(Payload::LogMigrated(LogMigrated {
            shard_count: 3,
            source: LogId([0x55; 16]),
            shards: vec![
                SealedShard {
                    sequence: 123,
                    hash: RecordHash([0x66; 32]),
                },
                SealedShard {
                    sequence: 7,
                    hash: RecordHash([0x67; 32]),
                },
            ],
            last_hash: Some(RecordHash([0x68; 32])),
        })),
    ));
    samples.push((
        "log_sealed",
        engine(Payload::LogSealed(LogSealed {
            moved_to: LogId([0x77; 16]),
            place: Arc::from("/var/lib/daybook"),
        })),
    ));
    samples.push((
        "log_reopened",
        engine(Payload::LogReopened(LogReopened {
            reason: Arc::from("the cluster was given up"),
        })),
    ));
    samples.push((
        "kafka_origin",
        Record {
            origin: Origin::Kafka {
                topic: Arc::from("transfers"),
                partition: 2,
                offset: 77,
                resume: 77,
            },
            ..samples[5].1.clone()
        },
    ));
    samples.push((
        "kafka_origin_behind",
        Record {
            origin: Origin::Kafka {
                topic: Arc::from("transfers"),
                partition: 2,
                offset: 77,
                resume: 70,
            },
            ..samples[5].1.clone()
        },
    ));
    samples
}

/// The record of the golden file `name`.
pub(super) fn sample(name: &str) -> Record {
    let samples = samples();
    let found = samples.into_iter().find(|(of, _)| *of == name);
    found.expect("a sample of this name").1
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    lines.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two hex digits")
        })
        .collect()
}

/// Writes files that are not there yet; never touches one that is.
fn bless_new(path: &Path, content: &str) {
    if std::env::var_os("DAYBOOK_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(folder()).expect("the folder can be made");
        std::fs::write(path, content).expect("the file can be written");
    }
}

#[test]
fn every_kind_is_written_as_ever() {
    for (name, record) in samples() {
        let sealed = record::encode(&record);
        let (bytes, says) = (hex(&sealed.bytes), format!("{:#?}\n", sealed.record));
        let path = |ending| folder().join(format!("{name}.{ending}"));
        bless_new(&path("hex"), &bytes);
        bless_new(&path("txt"), &says);
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).unwrap_or_else(|error| {
                panic!("{}: {error}. A new kind? DAYBOOK_BLESS=1 cargo test -p schemas --test records makes its golden files", path.display())
            })
        };
        assert_eq!(
            bytes,
            read(path("hex")),
            "{name} is not written as it was: logs already hold the old bytes. Give the kind a new version and keep reading the old one"
        );
        assert_eq!(says, read(path("txt")), "{name}");
    }
}

#[test]
fn every_committed_file_is_read_as_ever() {
    let mut read = 0;
    for entry in std::fs::read_dir(folder()).expect("the golden files") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "hex") {
            continue;
        }
        let bytes = unhex(&std::fs::read_to_string(&path).expect("readable"));
        let decoded = record::decode(bytes.clone().into());
        let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(decoded.hash, record::hash(&bytes));
        let says = std::fs::read_to_string(path.with_extension("txt")).expect("what it says");
        assert_eq!(
            format!("{:#?}\n", decoded.record),
            says,
            "{}",
            path.display()
        );
        read += 1;
    }
    assert!(read >= samples().len(), "only {read} golden files");
}

#[test]
fn a_transfer_takes_less_than_200_bytes() {
    let mut record = sample("transaction_created");
    record.sequence = 5_000_000;
    record.ledger_sequence = 5_000_000;
    let bytes = record::encode(&record).bytes.len() + 2;
    assert!(bytes < 200, "{bytes} bytes");
}
