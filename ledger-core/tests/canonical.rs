//! Request hashes: the same for the same request, for ever, and different for any other.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod harness;

use std::collections::{BTreeMap, HashMap};

use ledger_core::account::*;
use ledger_core::asset::Asset;
use ledger_core::canonical::request_hash;
use ledger_core::command::*;
use ledger_core::key::TransactionId;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::{Metadata, MetadataChange, Sealed, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode};

use harness::table::amount;
use harness::{ledger, uuid_key};

fn command(operation: Operation) -> Command {
    Command {
        key: uuid_key(1, 1),
        conditions: Vec::new(),
        operation,
    }
}

fn name(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

fn by_name(text: &str) -> AccountRef {
    AccountRef::Name(name(text))
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn asset(text: &str) -> Asset {
    Asset::parse(text).unwrap()
}

fn words(text: &str) -> Option<Text> {
    Some(Text::plain(text))
}

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    let entries: BTreeMap<Box<str>, Text> = pairs
        .iter()
        .map(|(k, v)| (Box::from(*k), Text::plain(*v)))
        .collect();
    Metadata::new(entries).unwrap()
}

fn posting(debit: &str, credit: &str, units: &str) -> PostingSpec {
    PostingSpec {
        debit: by_name(debit),
        credit: by_name(credit),
        amount: AmountSpec::Exact(amount(units)),
        asset: None,
    }
}

fn post() -> CreateTransaction {
    CreateTransaction {
        postings: vec![posting("a", "b", "5")],
        effective_at: None,
        hold: None,
        limits: LimitsMode::Enforce,
        description: None,
        metadata: Metadata::default(),
    }
}

fn posted(change: impl FnOnce(&mut CreateTransaction)) -> Command {
    let mut asked = post();
    change(&mut asked);
    command(Operation::CreateTransaction(asked))
}

fn opened(change: impl FnOnce(&mut OpenAccount)) -> Command {
    let mut asked = OpenAccount {
        name: name("a"),
        asset: asset("USD/2"),
        account_type: AccountType::Asset,
        limits: Limits::default(),
        metadata: Metadata::default(),
    };
    change(&mut asked);
    command(Operation::OpenAccount(asked))
}

fn updated(change: impl FnOnce(&mut UpdateAccount)) -> Command {
    let mut asked = UpdateAccount {
        account: by_name("a"),
        limits: LimitsChange::default(),
        metadata: MetadataChange::default(),
    };
    change(&mut asked);
    command(Operation::UpdateAccount(asked))
}

fn velocity(direction: Direction, window: VelocityWindow) -> VelocityLimit {
    VelocityLimit {
        direction,
        window,
        amount: amount("5"),
    }
}

fn condition(comparison: Comparison, kind: BalanceKind, demanded: i128) -> Condition {
    Condition::Balance {
        account: by_name("a"),
        kind,
        comparison,
        amount: demanded,
    }
}

/// Commands that differ in one thing each, however alike their bytes are.
fn all_different() -> Vec<Command> {
    let hold = TransactionId(7);
    let change = || ChangeAccount {
        account: by_name("a"),
        reason: None,
    };
    let capture = |amounts: Vec<(u32, ledger_core::amount::Amount)>, is_final| {
        command(Operation::CaptureTransaction(CaptureTransaction {
            hold,
            amounts,
            is_final,
            effective_at: None,
            description: None,
            metadata: Metadata::default(),
        }))
    };
    let amend = |change: &dyn Fn(&mut UpdateTransaction)| {
        let mut asked = UpdateTransaction {
            transaction: hold,
            expected_version: None,
            description: None,
            metadata: MetadataChange::default(),
        };
        change(&mut asked);
        command(Operation::UpdateTransaction(asked))
    };
    let create = |change: &dyn Fn(&mut CreateLedger)| {
        let mut asked = CreateLedger::default();
        change(&mut asked);
        command(Operation::CreateLedger(asked))
    };
    let member = |conditions: Vec<Condition>, operation| AtomicMember {
        conditions,
        operation,
    };
    let version = |account: &str, version| Condition::AccountVersion {
        account: by_name(account),
        version,
    };
    let with = |conditions: Vec<Condition>| Command {
        conditions,
        ..posted(|_| {})
    };
    vec![
        posted(|_| {}),
        posted(|t| t.postings[0] = posting("ab", "b", "5")),
        posted(|t| t.postings[0] = posting("a", "bb", "5")),
        posted(|t| t.postings[0] = posting("b", "a", "5")),
        posted(|t| t.postings[0] = posting("a", "b", "6")),
        posted(|t| t.postings.push(posting("a", "b", "5"))),
        posted(|t| t.postings[0].debit = AccountRef::Number(AccountNumber(1))),
        posted(|t| t.postings[0].debit = AccountRef::Number(AccountNumber(2))),
        posted(|t| t.postings[0].asset = Some(asset("USD/2"))),
        posted(|t| t.postings[0].asset = Some(asset("USD/3"))),
        posted(|t| {
            t.postings[0].amount = AmountSpec::UpTo {
                most: amount("5"),
                at_least: amount("0"),
            }
        }),
        posted(|t| {
            t.postings[0].amount = AmountSpec::UpTo {
                most: amount("5"),
                at_least: amount("5"),
            }
        }),
        posted(|t| t.effective_at = Some(time(0))),
        posted(|t| t.effective_at = Some(time(1))),
        posted(|t| t.hold = Some(HoldTerms::default())),
        posted(|t| {
            t.hold = Some(HoldTerms {
                expires_at: Some(time(0)),
                over_capture_up_to: None,
            })
        }),
        posted(|t| {
            t.hold = Some(HoldTerms {
                expires_at: None,
                over_capture_up_to: Some(amount("0")),
            })
        }),
        posted(|t| t.limits = LimitsMode::RecordOnly(Text::plain(""))),
        posted(|t| t.limits = LimitsMode::RecordOnly(Text::plain("x"))),
        posted(|t| t.description = words("")),
        posted(|t| t.description = words("x")),
        posted(|t| {
            t.description = Some(Text::Sealed(Box::new(Sealed {
                key_id: "x".into(),
                nonce: Box::default(),
                ciphertext: Box::default(),
            })))
        }),
        posted(|t| {
            t.description = Some(Text::Sealed(Box::new(Sealed {
                key_id: "".into(),
                nonce: vec![b'x'].into(),
                ciphertext: Box::default(),
            })))
        }),
        posted(|t| t.metadata = metadata(&[("a", "b")])),
        posted(|t| t.metadata = metadata(&[("ab", "")])),
        posted(|t| t.metadata = metadata(&[("a", "b"), ("c", "d")])),
        with(vec![version("a", 1)]),
        with(vec![version("a", 2)]),
        with(vec![version("b", 1)]),
        with(vec![version("a", 1), version("b", 1)]),
        with(vec![version("b", 1), version("a", 1)]),
        with(vec![condition(Comparison::AtLeast, BalanceKind::Posted, 1)]),
        with(vec![condition(Comparison::AtMost, BalanceKind::Posted, 1)]),
        with(vec![condition(Comparison::Equal, BalanceKind::Posted, 1)]),
        with(vec![condition(Comparison::Equal, BalanceKind::Pending, 1)]),
        with(vec![condition(
            Comparison::Equal,
            BalanceKind::Available,
            1,
        )]),
        with(vec![condition(Comparison::Equal, BalanceKind::Posted, -1)]),
        opened(|_| {}),
        opened(|a| a.name = name("b")),
        opened(|a| a.asset = asset("USD/3")),
        opened(|a| a.asset = asset("USDT/2")),
        opened(|a| a.account_type = AccountType::Liability),
        opened(|a| a.account_type = AccountType::Equity),
        opened(|a| a.account_type = AccountType::Income),
        opened(|a| a.account_type = AccountType::Expense),
        opened(|a| a.account_type = AccountType::Memo),
        opened(|a| a.limits.minimum = Some(0)),
        opened(|a| a.limits.maximum = Some(0)),
        opened(|a| a.limits.per_transaction = Some(amount("0"))),
        opened(|a| {
            a.limits.velocity = vec![velocity(Direction::Inflow, VelocityWindow::CalendarDay)]
        }),
        opened(|a| {
            a.limits.velocity = vec![velocity(Direction::Outflow, VelocityWindow::CalendarDay)]
        }),
        opened(|a| {
            a.limits.velocity = vec![velocity(Direction::Outflow, VelocityWindow::CalendarMonth)]
        }),
        opened(|a| {
            let window = VelocityWindow::Rolling { seconds: 60 };
            a.limits.velocity = vec![velocity(Direction::Outflow, window)];
        }),
        opened(|a| a.metadata = metadata(&[("a", "b")])),
        updated(|_| {}),
        updated(|a| a.limits.minimum = Some(None)),
        updated(|a| a.limits.minimum = Some(Some(0))),
        updated(|a| a.limits.maximum = Some(None)),
        updated(|a| a.limits.maximum = Some(Some(0))),
        updated(|a| a.limits.per_transaction = Some(None)),
        updated(|a| a.limits.per_transaction = Some(Some(amount("0")))),
        updated(|a| a.limits.velocity = Some(Vec::new())),
        updated(|a| a.metadata.set = metadata(&[("a", "b")])),
        updated(|a| a.metadata.remove = vec!["a".into()]),
        command(Operation::UnfreezeAccount(change())),
        command(Operation::CloseAccount(change())),
        command(Operation::ReopenAccount(change())),
        command(Operation::CloseAccount(ChangeAccount {
            reason: words("x"),
            ..change()
        })),
        command(Operation::FreezeAccount(FreezeAccount {
            account: by_name("a"),
            scope: FreezeScope::All,
            reason: None,
        })),
        command(Operation::FreezeAccount(FreezeAccount {
            account: by_name("a"),
            scope: FreezeScope::Debits,
            reason: None,
        })),
        command(Operation::FreezeAccount(FreezeAccount {
            account: by_name("a"),
            scope: FreezeScope::Credits,
            reason: None,
        })),
        capture(Vec::new(), false),
        capture(Vec::new(), true),
        capture(vec![(0, amount("1"))], false),
        capture(vec![(1, amount("1"))], false),
        capture(vec![(0, amount("1")), (1, amount("1"))], false),
        capture(vec![(1, amount("1")), (0, amount("1"))], false),
        command(Operation::VoidTransaction(VoidTransaction {
            hold,
            reason: None,
        })),
        command(Operation::ExpireHold(hold)),
        command(Operation::ExpireHold(TransactionId(8))),
        command(Operation::ReverseTransaction(ReverseTransaction {
            original: hold,
            amounts: Vec::new(),
            effective_at: None,
            limits: LimitsMode::Enforce,
            description: None,
            metadata: Metadata::default(),
        })),
        amend(&|_| {}),
        amend(&|t| t.expected_version = Some(0)),
        amend(&|t| t.description = Some(None)),
        amend(&|t| t.description = Some(words("x"))),
        create(&|_| {}),
        create(&|l| l.time_zone = "Europe/Prague".into()),
        create(&|l| l.cut_off_seconds = 1),
        create(&|l| l.description = words("x")),
        create(&|l| l.settlement_accounts = vec![(asset("USD/2"), name("a"))]),
        command(Operation::UpdateLedger(UpdateLedger::default())),
        command(Operation::UpdateLedger(UpdateLedger {
            settlement_accounts: Some(Vec::new()),
            ..UpdateLedger::default()
        })),
        command(Operation::UpdateLedger(UpdateLedger {
            description: Some(None),
            ..UpdateLedger::default()
        })),
        command(Operation::CloseBooks(CloseBooks {
            through: time(1),
            reason: None,
        })),
        command(Operation::ReopenBooks(ReopenBooks {
            through: Some(time(1)),
            reason: Text::plain("x"),
        })),
        command(Operation::ReopenBooks(ReopenBooks {
            through: None,
            reason: Text::plain("x"),
        })),
        command(Operation::Atomic(vec![member(
            Vec::new(),
            Operation::CreateTransaction(post()),
        )])),
        command(Operation::Atomic(vec![member(
            vec![version("a", 1)],
            Operation::CreateTransaction(post()),
        )])),
        command(Operation::Atomic(vec![
            member(Vec::new(), Operation::CreateTransaction(post())),
            member(Vec::new(), Operation::CreateTransaction(post())),
        ])),
    ]
}

#[test]
fn requests_that_differ_hash_differently() {
    let mut seen = HashMap::new();
    for command in all_different() {
        for in_ledger in ["bank", "bankb"] {
            let in_ledger = LedgerName::new(in_ledger).unwrap();
            let hash = request_hash(&in_ledger, &command);
            if let Some(other) = seen.insert(hash, (in_ledger, command.clone())) {
                panic!("{command:?} and {other:?} hash alike");
            }
        }
    }
}

#[test]
fn what_says_nothing_changes_nothing() {
    let same = |a: &Command, b: &Command| {
        assert_eq!(
            request_hash(&ledger(), a),
            request_hash(&ledger(), b),
            "{a:?} {b:?}"
        );
    };
    let other_key = Command {
        key: uuid_key(9, 9),
        ..posted(|_| {})
    };
    same(&posted(|_| {}), &other_key);
    same(
        &updated(|a| a.metadata.remove = vec!["a".into(), "b".into(), "a".into()]),
        &updated(|a| a.metadata.remove = vec!["b".into(), "a".into()]),
    );
    let create = |time_zone: &str, accounts: &[(&str, &str)]| {
        command(Operation::CreateLedger(CreateLedger {
            time_zone: time_zone.into(),
            settlement_accounts: accounts.iter().map(|(a, n)| (asset(a), name(n))).collect(),
            ..CreateLedger::default()
        }))
    };
    same(&create("", &[]), &create("UTC", &[]));
    same(
        &create("", &[("USD/2", "u"), ("EUR/2", "e")]),
        &create("", &[("EUR/2", "e"), ("USD/2", "u")]),
    );
}

/// Long forms take another way through the hasher; it must be the same form.
#[test]
fn every_byte_of_a_long_request_counts() {
    let long = |at: usize| {
        posted(|t| {
            t.postings = (0..200)
                .map(|i| posting("customers:1:checking", "b", if i == at { "6" } else { "5" }))
                .collect();
            t.description = Some(Text::plain("x".repeat(1_000)));
        })
    };
    let mut seen = std::collections::HashSet::new();
    for at in 0..=200 {
        assert!(
            seen.insert(request_hash(&ledger(), &long(at))),
            "posting {at}"
        );
    }
}

/// Written down: these never change, since a repeat may come after years.
#[test]
fn hashes_stay_as_they_are() {
    let hex = |command: &Command| {
        let hash = request_hash(&ledger(), command);
        hash.iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let all: Vec<String> = all_different().iter().map(hex).collect();
    insta::assert_snapshot!("request_hashes_v1", all.join("\n"));
}
