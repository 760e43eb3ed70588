//! Every malformed thing is named by its field and told.

use prost_types::FieldMask;
use schemas::api::parse;
use schemas::proto::v1::{self, command::Operation as Op};

use super::{instant, plain, posting, transfer, with};

/// What is wrong with `command`: `field: description`, one a line.
fn wrong(command: v1::Command) -> String {
    let malformed = parse::command(command).expect_err("something is wrong");
    let lines = malformed.violations.iter();
    let lines = lines.map(|v| format!("{}: {}", v.field, v.description));
    lines.collect::<Vec<_>>().join("\n")
}

fn changed(change: impl FnOnce(&mut v1::Command)) -> String {
    let mut command = transfer();
    change(&mut command);
    wrong(command)
}

fn created(change: impl FnOnce(&mut v1::CreateTransaction)) -> String {
    let mut create = v1::CreateTransaction {
        postings: vec![posting("a", "b", "1")],
        ..v1::CreateTransaction::default()
    };
    change(&mut create);
    wrong(with(Op::CreateTransaction(create)))
}

fn posted(change: impl FnOnce(&mut v1::PostingSpec)) -> String {
    created(|create| change(&mut create.postings[0]))
}

#[test]
fn the_envelope() {
    assert_eq!(
        changed(|c| c.idempotency_key.clear()),
        "idempotency_key: is required: a UUIDv7, or a text of 1 to 64 printable ASCII bytes that is used for this command alone"
    );
    assert_eq!(
        changed(|c| c.idempotency_key = "k".repeat(65)),
        "idempotency_key: a text key has 1 to 64 bytes; this one has 65"
    );
    assert_eq!(
        changed(|c| c.idempotency_key = "tab\there".to_owned()),
        "idempotency_key: a text key is made of printable ASCII"
    );
    assert_eq!(
        changed(|c| c.idempotency_key = "daybook:expire:1".to_owned()),
        "idempotency_key: keys that start with 'daybook:' belong to the engine"
    );
    assert_eq!(
        changed(|c| c.ledger.clear()),
        "ledger: ledger name has an empty segment"
    );
    assert_eq!(
        changed(|c| c.ledger = "daybook:shard:0".to_owned()),
        "ledger: ledger name starts with 'daybook', which is reserved for the engine"
    );
    assert_eq!(
        changed(|c| c.operation = None),
        "operation: is required: one of the operations of a command, known to this version of the server"
    );
}

#[test]
fn postings() {
    assert_eq!(
        created(|c| c.postings.clear()),
        "create_transaction.postings: 0 postings; 1 to 1000 are allowed"
    );
    assert_eq!(
        created(|c| c.postings = vec![posting("a", "b", "1"); 1_001]),
        "create_transaction.postings: 1001 postings; 1 to 1000 are allowed"
    );
    let field = "create_transaction.postings[0]";
    assert_eq!(
        posted(|p| p.amount_spec = None),
        format!("{field}: needs an amount or up_to")
    );
    for (amount, why) in [
        (
            "",
            "\"\" is not a whole number of minor units in decimal digits",
        ),
        (
            "12.50",
            "\"12.50\" is not a whole number of minor units in decimal digits",
        ),
        (
            "-1",
            "\"-1\" is not a whole number of minor units in decimal digits",
        ),
        (
            "+1",
            "\"+1\" is not a whole number of minor units in decimal digits",
        ),
        (
            " 1",
            "\" 1\" is not a whole number of minor units in decimal digits",
        ),
        (
            "1e3",
            "\"1e3\" is not a whole number of minor units in decimal digits",
        ),
        (
            "١",
            "\"١\" is not a whole number of minor units in decimal digits",
        ),
        (
            "170141183460469231731687303715884105728",
            "170141183460469231731687303715884105728 is above the largest amount, 170141183460469231731687303715884105727",
        ),
    ] {
        assert_eq!(
            posted(|p| *p = posting("a", "b", amount)),
            format!("{field}.amount: {why}")
        );
    }
    assert_eq!(
        posted(|p| p.debit = "#0".to_owned()),
        format!("{field}.debit: \"#0\" is not an account number such as #7 (1 to 4294967295)")
    );
    for number in ["#", "#07", "#-1", "#4294967296", "#seven", "#+7"] {
        assert!(
            posted(|p| p.credit = number.to_owned()).starts_with(&format!(
                "{field}.credit: {number:?} is not an account number"
            )),
            "{number}"
        );
    }
    assert_eq!(
        posted(|p| p.credit = "a b".to_owned()),
        format!(
            "{field}.credit: account name contains ' '; segments are made of A-Z a-z 0-9 _ . - and parted by ':'"
        )
    );
    assert_eq!(
        posted(|p| p.asset = "usd/2".to_owned()),
        format!(
            "{field}.asset: asset code \"usd\" is not a capital letter followed by at most 15 of A-Z 0-9 _ . -"
        )
    );
    assert_eq!(
        posted(|p| p.asset = "USD/31".to_owned()),
        format!("{field}.asset: asset exponent 31 is above 30")
    );
    assert_eq!(
        posted(
            |p| p.amount_spec = Some(v1::posting_spec::AmountSpec::UpTo(v1::UpTo {
                most: String::new(),
                at_least: "x".to_owned(),
            }))
        ),
        format!(
            "{field}.up_to.most: \"\" is not a whole number of minor units in decimal digits\n{field}.up_to.at_least: \"x\" is not a whole number of minor units in decimal digits"
        )
    );
}

#[test]
fn times_and_texts() {
    assert_eq!(
        created(|c| c.effective_at = Some(instant(253_402_300_800, 0))),
        "create_transaction.effective_at: 253402300800 seconds since 1970 are outside of the years 1 to 9999"
    );
    assert_eq!(
        created(|c| c.effective_at = Some(instant(i64::MAX, 0))),
        "create_transaction.effective_at: 9223372036854775807 seconds since 1970 are outside of the years 1 to 9999"
    );
    assert_eq!(
        created(|c| c.effective_at = Some(instant(0, -1))),
        "create_transaction.effective_at: -1 nanoseconds are not within 0 to 999999999"
    );
    assert_eq!(
        created(|c| c.description = Some(plain(&"x".repeat(1_025)))),
        "create_transaction.description: 1025 bytes; at most 1024 are allowed"
    );
    assert_eq!(
        created(|c| c.description = Some(v1::Text { text: None })),
        "create_transaction.description: says neither plain nor sealed"
    );
    assert_eq!(
        created(|c| c.description = Some(plain("a\0b"))),
        "create_transaction.description: contains the character U+0000, which cannot be kept"
    );
    let sealed = v1::text::Text::Sealed(v1::Sealed::default());
    assert_eq!(
        created(|c| c.record_only_reason = Some(v1::Text { text: Some(sealed) })),
        "create_transaction.record_only_reason.sealed.key_id: must name the key, without the character U+0000"
    );
}

#[test]
fn metadata() {
    let entries = |count| (0..count).map(|i| (format!("k{i}"), plain("v")));
    assert_eq!(
        created(|c| c.metadata = entries(51).collect()),
        "create_transaction.metadata: 51 keys; at most 50 are allowed"
    );
    assert_eq!(
        created(|c| c.metadata = [(String::new(), plain("v"))].into()),
        "create_transaction.metadata: key \"\" has 0 bytes; 1 to 64 are allowed"
    );
    assert_eq!(
        created(|c| c.metadata = [("k".to_owned(), plain(&"v".repeat(513)))].into()),
        "create_transaction.metadata: the value of \"k\" has 513 bytes; at most 512 are allowed"
    );
    assert_eq!(
        created(|c| c.metadata = (0..40)
            .map(|i| (format!("k{i:02}"), plain(&"v".repeat(500))))
            .collect()),
        "create_transaction.metadata: 20120 bytes in all; at most 16384 are allowed"
    );
    assert_eq!(
        created(|c| c.metadata = [("k".to_owned(), v1::Text { text: None })].into()),
        "create_transaction.metadata[\"k\"]: says neither plain nor sealed"
    );
}

#[test]
fn holds() {
    let id = "01970000-0000-7000-8000-000000000001";
    assert_eq!(
        wrong(with(Op::VoidTransaction(v1::VoidTransaction {
            hold: "7".to_owned(),
            reason: None,
        }))),
        "void_transaction.hold: \"7\" is not a UUID in its text form of 36 characters"
    );
    assert_eq!(
        wrong(with(Op::CaptureTransaction(v1::CaptureTransaction {
            hold: id.to_owned(),
            amounts: vec![
                v1::PostingAmount {
                    posting: 0,
                    amount: "1".to_owned()
                },
                v1::PostingAmount {
                    posting: 1,
                    amount: "one".to_owned()
                },
            ],
            ..v1::CaptureTransaction::default()
        }))),
        "capture_transaction.amounts[1].amount: \"one\" is not a whole number of minor units in decimal digits"
    );
    assert_eq!(
        wrong(with(Op::UpdateTransaction(v1::UpdateTransaction {
            transaction: id.to_owned(),
            description: Some(plain("new")),
            clear_description: true,
            ..v1::UpdateTransaction::default()
        }))),
        "update_transaction.clear_description: a description cannot be replaced and taken away at once"
    );
}

#[test]
fn accounts() {
    let open = |change: fn(&mut v1::OpenAccount)| {
        let mut open = v1::OpenAccount {
            name: "a".to_owned(),
            asset: "USD/2".to_owned(),
            r#type: v1::AccountType::Asset.into(),
            ..v1::OpenAccount::default()
        };
        change(&mut open);
        wrong(with(Op::OpenAccount(open)))
    };
    assert_eq!(
        open(|o| o.r#type = 0),
        "open_account.type: must be one of ACCOUNT_TYPE_ASSET, _LIABILITY, _EQUITY, _INCOME, _EXPENSE, _MEMO"
    );
    assert_eq!(
        open(|o| o.r#type = 99),
        "open_account.type: 99 is not one of ACCOUNT_TYPE_ASSET, _LIABILITY, _EQUITY, _INCOME, _EXPENSE, _MEMO"
    );
    assert!(
        open(|o| o.name = "#7".to_owned())
            .starts_with("open_account.name: account name contains '#'")
    );
    assert_eq!(
        open(|o| o.limits = Some(v1::Limits {
            minimum: "--1".to_owned(),
            ..v1::Limits::default()
        })),
        "open_account.limits.minimum: \"--1\" is not a whole number of minor units in decimal digits"
    );
    assert_eq!(
        open(|o| o.limits = Some(v1::Limits {
            maximum: "9".repeat(40),
            ..v1::Limits::default()
        })),
        format!(
            "open_account.limits.maximum: {} is outside of {} to {}",
            "9".repeat(40),
            i128::MIN,
            i128::MAX
        )
    );
    assert_eq!(
        open(|o| o.limits = Some(v1::Limits {
            velocity: vec![v1::VelocityLimit::default(); 9],
            ..v1::Limits::default()
        })),
        "open_account.limits.velocity: 9 velocity limits; at most 8 are allowed"
    );
    assert_eq!(
        open(|o| o.limits = Some(v1::Limits {
            velocity: vec![v1::VelocityLimit {
                direction: 1,
                amount: "1".to_owned(),
                window: Some(v1::velocity_limit::Window::RollingSeconds(59)),
            }],
            ..v1::Limits::default()
        })),
        "open_account.limits.velocity[0].rolling_seconds: a rolling window of 59 s is outside of 60 s to 31 days"
    );
    assert_eq!(
        wrong(with(Op::FreezeAccount(v1::FreezeAccount {
            account: "a".to_owned(),
            ..v1::FreezeAccount::default()
        }))),
        "freeze_account.scope: must be one of SCOPE_DEBITS, SCOPE_CREDITS, SCOPE_ALL"
    );
}

#[test]
fn ledgers_and_books() {
    let create = |change: fn(&mut v1::CreateLedger)| {
        let mut create = v1::CreateLedger::default();
        change(&mut create);
        wrong(with(Op::CreateLedger(create)))
    };
    assert_eq!(
        create(|c| c.time_zone = "Mars/Olympus".to_owned()),
        "create_ledger.time_zone: \"Mars/Olympus\" is not a time zone of the IANA database such as Europe/Prague"
    );
    for text in [
        "24:00",
        "1:00",
        "01:60",
        "01:00:60",
        "01:00:00:00",
        "noon",
        "01-00",
    ] {
        let ledger = v1::CreateLedger {
            cut_off: text.to_owned(),
            ..v1::CreateLedger::default()
        };
        assert_eq!(
            wrong(with(Op::CreateLedger(ledger))),
            format!(
                "create_ledger.cut_off: {text:?} is not a time of day, HH:MM or HH:MM:SS, from 00:00 to 23:59:59"
            )
        );
    }
    assert_eq!(
        create(|c| c.settlement_accounts = [("USD".to_owned(), "a".to_owned())].into()),
        "create_ledger.settlement_accounts[\"USD\"]: \"USD\" is not an asset such as USD/2"
    );
    assert_eq!(
        wrong(with(Op::CloseBooks(v1::CloseBooks::default()))),
        "close_books.through: is required: effective times before it are refused from then on"
    );
    assert_eq!(
        wrong(with(Op::ReopenBooks(v1::ReopenBooks::default()))),
        "reopen_books.reason: is required: reopening always says why"
    );
}

#[test]
fn conditions() {
    assert_eq!(
        changed(|c| c.conditions = vec![v1::Condition { condition: None }]),
        "conditions[0]: needs account_version or balance"
    );
    assert_eq!(
        changed(|c| c.conditions = vec![v1::Condition { condition: None }; 101]),
        "conditions: 101 conditions; at most 100 are allowed"
    );
    let balance = v1::BalanceCondition {
        account: "a".to_owned(),
        kind: 0,
        comparison: None,
    };
    assert_eq!(
        changed(|c| c.conditions = vec![v1::Condition {
            condition: Some(v1::condition::Condition::Balance(balance)),
        }]),
        "conditions[0].balance.kind: must be one of KIND_POSTED, KIND_PENDING, KIND_AVAILABLE\nconditions[0].balance: needs at_least, at_most or equal"
    );
}

#[test]
fn members() {
    let atomic = |members| wrong(with(Op::Atomic(v1::Atomic { members })));
    assert_eq!(
        atomic(vec![]),
        "atomic.members: 0 members; 1 to 1000 are allowed"
    );
    assert_eq!(
        atomic(vec![v1::Member::default(); 1_001]),
        "atomic.members: 1001 members; 1 to 1000 are allowed"
    );
    let create = v1::CreateTransaction {
        postings: vec![posting("a", "b", "1"), posting("a", "b", "x")],
        ..v1::CreateTransaction::default()
    };
    let fine = v1::Member {
        conditions: vec![],
        operation: Some(v1::member::Operation::CloseAccount(v1::ChangeAccount {
            account: "a".to_owned(),
            reason: None,
        })),
    };
    assert_eq!(
        atomic(vec![
            fine,
            v1::Member::default(),
            v1::Member {
                conditions: vec![],
                operation: Some(v1::member::Operation::CreateTransaction(create)),
            },
        ]),
        "atomic.members[1].operation: is required: one of the operations of a command, known to this version of the server\natomic.members[2].create_transaction.postings[1].amount: \"x\" is not a whole number of minor units in decimal digits"
    );
}

#[test]
fn several_violations_are_told_at_once_but_not_without_bound() {
    let all = wrong(v1::Command {
        idempotency_key: String::new(),
        ledger: "a::b".to_owned(),
        operation: Some(Op::CreateTransaction(v1::CreateTransaction {
            postings: vec![posting("", "", ""); 1_000],
            ..v1::CreateTransaction::default()
        })),
        ..v1::Command::default()
    });
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 13, "{all}");
    assert!(lines[0].starts_with("idempotency_key: "));
    assert!(lines[1].starts_with("ledger: "));
    assert_eq!(lines[12], ": and 2990 more violations");

    let long = posted(|p| *p = posting("a", "b", &"x".repeat(1_000_000)));
    assert!(long.chars().count() < 400, "{}", long.len());
    assert!(long.ends_with('…'));
}

#[test]
fn field_masks() {
    let update = v1::UpdateAccount {
        account: "a".to_owned(),
        ..v1::UpdateAccount::default()
    };
    let parsed = parse::command(with(Op::UpdateAccount(update))).expect("well-formed");
    let ledger_core::command::Operation::UpdateAccount(mut update) = parsed.command.operation
    else {
        panic!("another operation")
    };
    let mask = FieldMask {
        paths: vec!["limits.minimum".to_owned(), "name".to_owned()],
    };
    let malformed = parse::update_mask(Some(&mask), &mut update, "update_mask").expect_err("name");
    assert_eq!(malformed.violations[0].field, "update_mask.paths[1]");
    assert!(
        malformed.violations[0]
            .description
            .starts_with("\"name\" is not one of limits,")
    );
}

#[test]
fn paths_move_with_their_request() {
    let malformed =
        parse::command(with(Op::CloseBooks(v1::CloseBooks::default()))).expect_err("no time");
    let single = malformed.clone().renamed("close_books", "close");
    assert_eq!(single.violations[0].field, "close.through");
    let untouched = malformed.clone().renamed("close", "x");
    assert_eq!(untouched, malformed);
    let batch = malformed.under("commands[7]");
    assert_eq!(batch.violations[0].field, "commands[7].close_books.through");
}
