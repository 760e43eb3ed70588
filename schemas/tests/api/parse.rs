//! What is well-formed becomes the command that it says.

use std::sync::Arc;

use ledger_core::account::{
    AccountNumber, AccountType, Direction, FreezeScope, Limits, LimitsChange, VelocityLimit,
    VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::{
    AccountRef, AmountSpec, BalanceKind, Comparison, Condition, Operation, PostingSpec,
};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::text::Text;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode};
use prost_types::FieldMask;
use schemas::api::parse;
use schemas::proto::v1::{self, command::Operation as Op};

use super::{instant, plain, posting, transfer, with};

fn operation(op: Op) -> Operation {
    let parsed = parse::command(with(op)).expect("well-formed");
    parsed.command.operation
}

fn name(text: &str) -> AccountName {
    AccountName::new(text).expect("a name")
}

fn by_name(text: &str) -> AccountRef {
    AccountRef::Name(name(text))
}

fn amount(minor: u128) -> Amount {
    Amount::new(minor).expect("in range")
}

#[test]
fn a_transfer() {
    let parsed = parse::command(transfer()).expect("well-formed");
    assert_eq!(parsed.ledger.as_str(), "main");
    assert_eq!(
        parsed.command.key,
        IdempotencyKey::Uuid(0x0197_0000_0000_7000_8000_0000_0000_0001)
    );
    assert!(!parsed.validate_only && !parsed.return_balances);
    let Operation::CreateTransaction(create) = parsed.command.operation else {
        panic!("another operation")
    };
    assert_eq!(
        create.postings,
        [PostingSpec {
            debit: by_name("customers:42"),
            credit: by_name("customers:43"),
            amount: AmountSpec::Exact(amount(1_250)),
            asset: None,
        }]
    );
    assert_eq!(
        (create.effective_at, create.hold, create.limits),
        (None, None, LimitsMode::Enforce)
    );
}

#[test]
fn a_hold_with_everything() {
    let create = v1::CreateTransaction {
        postings: vec![
            v1::PostingSpec {
                asset: "CZK/2".to_owned(),
                ..posting("#7", "bank:cash", "0")
            },
            v1::PostingSpec {
                amount_spec: Some(v1::posting_spec::AmountSpec::UpTo(v1::UpTo {
                    most: "500".to_owned(),
                    at_least: String::new(),
                })),
                ..posting("a", "b", "")
            },
        ],
        effective_at: Some(instant(-1, 999_999_999)),
        hold: Some(v1::HoldSpec {
            expires_at: Some(instant(1_767_225_600, 1_500)),
            over_capture_up_to: "170141183460469231731687303715884105727".to_owned(),
        }),
        record_only_reason: Some(plain("card clearing")),
        description: Some(plain("")),
        metadata: [("k".to_owned(), plain("v"))].into(),
    };
    let Operation::CreateTransaction(create) = operation(Op::CreateTransaction(create)) else {
        panic!("another operation")
    };
    // That a zero is refused is a rule of core's, on record.
    assert_eq!(create.postings[0].amount, AmountSpec::Exact(Amount::ZERO));
    assert_eq!(
        create.postings[0].debit,
        AccountRef::Number(AccountNumber(7))
    );
    assert_eq!(create.postings[0].asset, Asset::new("CZK", 2).ok());
    assert_eq!(
        create.postings[1].amount,
        AmountSpec::UpTo {
            most: amount(500),
            at_least: Amount::ZERO
        }
    );
    // Finer than a microsecond is cut off, before 1970 too.
    assert_eq!(create.effective_at, Timestamp::from_micros(-1));
    assert_eq!(
        create.hold,
        Some(HoldTerms {
            expires_at: Timestamp::from_micros(1_767_225_600_000_001),
            over_capture_up_to: Some(Amount::MAX),
        })
    );
    assert_eq!(
        create.limits,
        LimitsMode::RecordOnly(Text::plain("card clearing"))
    );
    assert_eq!(create.description, Some(Text::plain("")));
    assert_eq!(create.metadata.entries()["k"], Text::plain("v"));
}

#[test]
fn a_ledger() {
    let create = |time_zone: &str, cut_off: &str| {
        let create = v1::CreateLedger {
            time_zone: time_zone.to_owned(),
            cut_off: cut_off.to_owned(),
            settlement_accounts: [("USD/2", "bank:usd"), ("CZK/2", "bank:czk")]
                .map(|(asset, account)| (asset.to_owned(), account.to_owned()))
                .into(),
            ..v1::CreateLedger::default()
        };
        match operation(Op::CreateLedger(create)) {
            Operation::CreateLedger(create) => create,
            other => panic!("{other:?}"),
        }
    };
    let unsaid = create("", "");
    assert_eq!((&*unsaid.time_zone, unsaid.cut_off_seconds), ("UTC", 0));
    let said = create("Europe/Prague", "22:00");
    assert_eq!(
        (&*said.time_zone, said.cut_off_seconds),
        ("Europe/Prague", 79_200)
    );
    assert_eq!(
        create("Pacific/Kiritimati", "23:59:59").cut_off_seconds,
        86_399
    );
    assert_eq!(
        said.settlement_accounts,
        [
            (Asset::new("CZK", 2).expect("an asset"), name("bank:czk")),
            (Asset::new("USD", 2).expect("an asset"), name("bank:usd")),
        ]
    );
}

#[test]
fn a_time_zone_in_another_case_is_the_same_zone() {
    let create = v1::CreateLedger {
        time_zone: "europe/prague".to_owned(),
        ..v1::CreateLedger::default()
    };
    let Operation::CreateLedger(create) = operation(Op::CreateLedger(create)) else {
        panic!("another operation")
    };
    assert_eq!(create.time_zone, Arc::from("Europe/Prague"));
}

fn limits_message() -> v1::Limits {
    v1::Limits {
        minimum: "-50000".to_owned(),
        maximum: String::new(),
        per_transaction: "100".to_owned(),
        velocity: vec![v1::VelocityLimit {
            direction: v1::velocity_limit::Direction::Inflow.into(),
            amount: "9".to_owned(),
            window: Some(v1::velocity_limit::Window::CalendarMonth(true)),
        }],
    }
}

fn limits() -> Limits {
    Limits {
        minimum: Some(-50_000),
        maximum: None,
        per_transaction: Some(amount(100)),
        velocity: vec![VelocityLimit {
            direction: Direction::Inflow,
            window: VelocityWindow::CalendarMonth,
            amount: amount(9),
        }],
    }
}

#[test]
fn an_account() {
    let open = v1::OpenAccount {
        name: "customers:42".to_owned(),
        asset: "BTC/8".to_owned(),
        r#type: v1::AccountType::Liability.into(),
        limits: Some(limits_message()),
        ..v1::OpenAccount::default()
    };
    let Operation::OpenAccount(open) = operation(Op::OpenAccount(open)) else {
        panic!("another operation")
    };
    assert_eq!(open.account_type, AccountType::Liability);
    assert_eq!(open.limits, limits());
    // What was parsed is shown as it was sent.
    assert_eq!(schemas::api::view::limits(&open.limits), limits_message());

    let contradicting = v1::Limits {
        minimum: "1".to_owned(),
        maximum: "0".to_owned(),
        ..v1::Limits::default()
    };
    let parsed = parse::limits(contradicting, "limits");
    assert!(
        parsed.is_ok(),
        "LIMITS_INVALID is a rule of core's, on record"
    );
}

#[test]
fn an_update_of_an_account_changes_what_its_mask_names() {
    let update = |limits: Option<v1::Limits>, paths: &[&str]| {
        let update = v1::UpdateAccount {
            account: "a".to_owned(),
            limits,
            metadata: Some(v1::MetadataChange {
                set: [("k".to_owned(), plain("v"))].into(),
                remove: vec!["old".to_owned()],
            }),
        };
        let Operation::UpdateAccount(mut update) = operation(Op::UpdateAccount(update)) else {
            panic!("another operation")
        };
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        parse::update_mask(Some(&FieldMask { paths }), &mut update, "update_mask")
            .expect("known paths");
        update
    };
    let unmasked = update(Some(limits_message()), &[]);
    assert_eq!(unmasked.limits, LimitsChange::replace_all(limits()));
    assert_eq!(unmasked.metadata.remove, [Box::from("old")]);
    let masked = update(
        Some(limits_message()),
        &["limits.minimum", "limits.maximum"],
    );
    assert_eq!(
        masked.limits,
        LimitsChange {
            minimum: Some(Some(-50_000)),
            maximum: Some(None),
            ..LimitsChange::default()
        }
    );
    assert!(masked.metadata.set.is_empty() && masked.metadata.remove.is_empty());
    let cleared = update(None, &["limits", "metadata"]);
    assert_eq!(cleared.limits, LimitsChange::replace_all(Limits::default()));
    assert_eq!(cleared.metadata, unmasked.metadata);
    assert_eq!(update(None, &[]).limits, LimitsChange::default());
}

#[test]
fn conditions() {
    let mut command = transfer();
    command.conditions = vec![
        v1::Condition {
            condition: Some(v1::condition::Condition::AccountVersion(
                v1::AccountVersion {
                    account: "#3".to_owned(),
                    version: 0,
                },
            )),
        },
        v1::Condition {
            condition: Some(v1::condition::Condition::Balance(v1::BalanceCondition {
                account: "a".to_owned(),
                kind: v1::balance_condition::Kind::Available.into(),
                comparison: Some(v1::balance_condition::Comparison::AtMost(
                    i128::MIN.to_string(),
                )),
            })),
        },
    ];
    let parsed = parse::command(command).expect("well-formed");
    assert_eq!(
        parsed.command.conditions,
        [
            Condition::AccountVersion {
                account: AccountRef::Number(AccountNumber(3)),
                version: 0,
            },
            Condition::Balance {
                account: by_name("a"),
                kind: BalanceKind::Available,
                comparison: Comparison::AtMost,
                amount: i128::MIN,
            },
        ]
    );
}

#[test]
fn every_other_operation_is_understood() {
    let id = "01970000-0000-7000-8000-00000000000a";
    let uuid = TransactionId::parse(id).expect("a UUID");
    let change = || v1::ChangeAccount {
        account: "a".to_owned(),
        reason: Some(plain("why")),
    };
    let change_is = |parsed: &ledger_core::command::ChangeAccount| {
        parsed.account == by_name("a") && parsed.reason == Some(Text::plain("why"))
    };
    assert!(
        matches!(operation(Op::UnfreezeAccount(change())), Operation::UnfreezeAccount(c) if change_is(&c))
    );
    assert!(
        matches!(operation(Op::CloseAccount(change())), Operation::CloseAccount(c) if change_is(&c))
    );
    assert!(
        matches!(operation(Op::ReopenAccount(change())), Operation::ReopenAccount(c) if change_is(&c))
    );
    let freeze = v1::FreezeAccount {
        account: "a".to_owned(),
        scope: v1::freeze_account::Scope::Credits.into(),
        reason: None,
    };
    assert!(
        matches!(operation(Op::FreezeAccount(freeze)), Operation::FreezeAccount(f) if f.scope == FreezeScope::Credits)
    );
    let capture = v1::CaptureTransaction {
        hold: id.to_uppercase(),
        amounts: vec![v1::PostingAmount {
            posting: 2,
            amount: "5".to_owned(),
        }],
        r#final: true,
        ..v1::CaptureTransaction::default()
    };
    assert!(
        matches!(operation(Op::CaptureTransaction(capture)), Operation::CaptureTransaction(c)
        if c.hold == uuid && c.is_final && c.amounts == [(2, amount(5))])
    );
    let void = v1::VoidTransaction {
        hold: id.to_owned(),
        reason: None,
    };
    assert!(
        matches!(operation(Op::VoidTransaction(void)), Operation::VoidTransaction(v) if v.hold == uuid)
    );
    let reverse = v1::ReverseTransaction {
        original: id.to_owned(),
        ..v1::ReverseTransaction::default()
    };
    assert!(
        matches!(operation(Op::ReverseTransaction(reverse)), Operation::ReverseTransaction(r)
        if r.original == uuid && r.amounts.is_empty() && r.limits == LimitsMode::Enforce)
    );
    let update = |expected_version, clear_description| {
        Op::UpdateTransaction(v1::UpdateTransaction {
            transaction: id.to_owned(),
            expected_version,
            clear_description,
            ..v1::UpdateTransaction::default()
        })
    };
    assert!(
        matches!(operation(update(0, false)), Operation::UpdateTransaction(u)
        if u.expected_version.is_none() && u.description.is_none())
    );
    assert!(
        matches!(operation(update(4, true)), Operation::UpdateTransaction(u)
        if u.expected_version == Some(4) && u.description == Some(None))
    );
    let close = v1::CloseBooks {
        through: Some(instant(5, 0)),
        reason: None,
    };
    assert!(
        matches!(operation(Op::CloseBooks(close)), Operation::CloseBooks(c) if c.through.micros() == 5_000_000)
    );
    let reopen = v1::ReopenBooks {
        through: None,
        reason: Some(plain("late invoice")),
    };
    assert!(
        matches!(operation(Op::ReopenBooks(reopen)), Operation::ReopenBooks(r) if r.through.is_none())
    );
    let update = v1::UpdateLedger {
        settlement_accounts: Some(v1::SettlementAccounts::default()),
        description: Some(plain("new")),
        ..v1::UpdateLedger::default()
    };
    assert!(
        matches!(operation(Op::UpdateLedger(update)), Operation::UpdateLedger(u)
        if u.settlement_accounts == Some(vec![]) && u.description == Some(Some(Text::plain("new"))))
    );
    let atomic = v1::Atomic {
        members: vec![v1::Member {
            conditions: vec![],
            operation: Some(v1::member::Operation::CloseAccount(change())),
        }],
    };
    assert!(
        matches!(operation(Op::Atomic(atomic)), Operation::Atomic(members)
        if matches!(&members[..], [m] if matches!(&m.operation, Operation::CloseAccount(c) if change_is(c))))
    );
}
