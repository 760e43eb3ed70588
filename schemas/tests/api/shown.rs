//! What goes out: accounts, transactions, tokens, JSON.

use ledger_core::account::{
    Account, AccountNumber, AccountStatus, AccountTerms, AccountType, FreezeScope, Limits, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::LedgerTerms;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::rejection::{Code, Rejection};
use ledger_core::text::{Metadata, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    HoldTerms, LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};
use proptest::prelude::*;
use schemas::api::token::ReadToken;
use schemas::api::{json, parse, view};
use schemas::error::rejection_status;
use schemas::proto::v1;
use schemas::record::{LogId, RecordHash};

use super::transfer;

fn amount(minor: u128) -> Amount {
    Amount::new(minor).expect("in range")
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("in range")
}

fn ledger() -> LedgerName {
    LedgerName::new("main").expect("a name")
}

fn account() -> Account {
    Account {
        number: AccountNumber(7),
        terms: AccountTerms {
            name: AccountName::new("customers:42").expect("a name"),
            asset: Asset::new("USD", 2).expect("an asset"),
            account_type: AccountType::Liability,
            limits: Limits {
                minimum: Some(-100),
                ..Limits::default()
            },
            metadata: Metadata::default(),
        },
        status: AccountStatus::Frozen(FreezeScope::Debits),
        totals: Totals {
            debits_posted: amount(300),
            credits_posted: amount(1_000),
            debits_pending: amount(50),
            credits_pending: amount(20),
        },
        version: 9,
        open_holds: 2,
        opened_at: at(-1),
    }
}

#[test]
fn an_account_stands_on_its_normal_side() {
    let shown = view::account(&ledger(), &account());
    assert_eq!(shown.status(), v1::AccountStatus::FrozenDebits);
    assert_eq!(shown.r#type(), v1::AccountType::Liability);
    assert_eq!(shown.opened_at, Some(super::instant(-1, 999_999_000)));
    let balance = shown.balance.expect("a balance");
    assert_eq!(balance.posted, "700");
    assert_eq!(balance.pending, "670");
    assert_eq!(balance.available, "650");
    assert_eq!(balance.spendable, "750");
    assert_eq!(
        (
            balance.account.as_str(),
            balance.account_number,
            balance.asset.as_str()
        ),
        ("customers:42", 7, "USD/2")
    );
    let mut without = account();
    without.terms.limits.minimum = None;
    assert_eq!(view::balance(&without).spendable, "");
}

#[test]
fn a_ledger_shows_its_calendar() {
    let terms = |cut_off_seconds| LedgerTerms {
        time_zone: "Europe/Prague".into(),
        cut_off_seconds,
        version: 1,
        ..LedgerTerms::default()
    };
    let shown = |cut_off| view::ledger(&ledger(), &terms(cut_off), at(0), None, 3);
    assert_eq!(shown(0).cut_off, "00:00");
    assert_eq!(shown(79_200).cut_off, "22:00");
    assert_eq!(shown(86_399).cut_off, "23:59:59");
    assert_eq!(shown(0).shard, 3);
}

fn hold() -> Transaction {
    Transaction {
        id: TransactionId(0x0197_0000_0000_7000_8000_0000_0000_0001),
        status: TransactionStatus::Pending,
        kind: TransactionKind::Hold(HoldTerms {
            expires_at: Some(at(1_500_000)),
            over_capture_up_to: Some(amount(2_000)),
        }),
        effective_at: at(1_000_001),
        postings: vec![Posting {
            debit: AccountNumber(7),
            credit: AccountNumber(8),
            amount: amount(1_250),
        }],
        progress: vec![Progress {
            captured: amount(250),
            reversed: Amount::ZERO,
        }],
        sources: vec![],
        description: Some(Text::plain("table 9")),
        metadata: Metadata::default(),
        limits: LimitsMode::Enforce,
        version: 2,
    }
}

fn shown(transaction: &Transaction) -> v1::Transaction {
    let key = IdempotencyKey::text("import-7").expect("a key");
    let name_of = |number: AccountNumber| {
        (
            format!("a{}", number.0),
            Asset::new("USD", 2).expect("an asset"),
        )
    };
    view::transaction(&ledger(), transaction, at(2_000_000), 5, &key, &name_of)
}

#[test]
fn a_hold_shows_what_was_captured() {
    let hold = shown(&hold());
    assert_eq!(hold.id, "01970000-0000-7000-8000-000000000001");
    assert_eq!(hold.idempotency_key, "import-7");
    assert_eq!(hold.effective_at, Some(super::instant(1, 1_000)));
    assert_eq!((hold.ledger_sequence, hold.version), (5, 2));
    let posting = &hold.postings[0];
    assert_eq!(
        (posting.debit.as_str(), posting.credit.as_str()),
        ("a7", "a8")
    );
    assert_eq!(
        (posting.amount.as_str(), posting.asset.as_str()),
        ("1250", "USD/2")
    );
    assert_eq!(
        (posting.captured.as_str(), posting.reversed.as_str()),
        ("250", "")
    );
    assert_eq!(posting.source, None);
    assert_eq!(
        hold.hold.map(|h| h.over_capture_up_to),
        Some("2000".to_owned())
    );
}

#[test]
fn a_capture_shows_what_it_takes_from() {
    let capture = shown(&Transaction {
        status: TransactionStatus::Posted,
        kind: TransactionKind::Capture(TransactionId(7)),
        progress: vec![],
        sources: vec![4],
        limits: LimitsMode::RecordOnly(Text::plain("tip")),
        ..hold()
    });
    assert_eq!(capture.capture_of, "00000000-0000-0000-0000-000000000007");
    assert_eq!((capture.reversal_of.as_str(), capture.hold), ("", None));
    assert_eq!(capture.postings[0].source, Some(4));
    assert_eq!(
        (
            capture.postings[0].captured.as_str(),
            capture.postings[0].reversed.as_str()
        ),
        ("", "0")
    );
    assert_eq!(capture.record_only_reason, Some(super::plain("tip")));
}

#[test]
fn json_is_protobufs_own_and_comes_back() {
    let command = transfer();
    let value = json::to_json("daybook.v1.Command", &command).expect("a command");
    assert_eq!(
        value,
        serde_json::json!({
            "idempotency_key": "01970000-0000-7000-8000-000000000001",
            "ledger": "main",
            "create_transaction": {
                "postings": [{ "debit": "customers:42", "credit": "customers:43", "amount": "1250" }],
            },
        })
    );
    assert_eq!(
        json::from_json::<v1::Command>("daybook.v1.Command", &value),
        Ok(command)
    );
    let unknown = serde_json::json!({ "ledgre": "main" });
    let refused =
        json::from_json::<v1::Command>("daybook.v1.Command", &unknown).expect_err("unknown");
    assert!(refused.to_string().contains("ledgre"), "{refused}");
    assert!(json::to_json("daybook.v1.Nothing", &transfer()).is_err());
}

#[test]
fn json_tells_the_details_of_errors() {
    let rejection = Rejection::new(Code::AccountClosed).with("account", "a");
    let outcome = v1::Outcome {
        outcome: Some(v1::outcome::Outcome::Error(rejection_status(&rejection))),
    };
    let value = json::to_json("daybook.v1.Outcome", &outcome).expect("an outcome");
    assert_eq!(
        value["error"]["details"][0],
        serde_json::json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCOUNT_CLOSED",
            "domain": "daybook",
            "metadata": { "account": "a" },
        })
    );
}

proptest! {
    #[test]
    fn a_token_is_read_as_it_was_written(
        log_id in any::<[u8; 16]>(), shard in any::<u32>(), sequence in any::<u64>(), ledger_sequence in any::<u64>(),
    ) {
        let token = ReadToken { log_id: LogId(log_id), shard, sequence, ledger_sequence };
        prop_assert_eq!(ReadToken::parse(&token.to_string()), Ok(token));
    }

    #[test]
    fn any_other_text_is_no_token(text in "[-+ 0-9a-fx]{0,60}") {
        if let Ok(token) = ReadToken::parse(&text) {
            prop_assert_eq!(token.to_string(), text);
        }
    }

    #[test]
    fn an_instant_is_shown_and_parsed_alike(micros in Timestamp::MIN.micros()..=Timestamp::MAX.micros()) {
        let shown = view::timestamp(at(micros));
        prop_assert_eq!(parse::timestamp(&shown, "at"), Ok(at(micros)));
    }

    #[test]
    fn hex_is_read_as_it_was_written(hash in any::<[u8; 32]>()) {
        let text = RecordHash(hash).to_string();
        prop_assert_eq!(RecordHash::parse(&text), Ok(RecordHash(hash)));
        prop_assert!(RecordHash::parse(&text[1..]).is_err());
        prop_assert!(LogId::parse(&text).is_err());
    }
}

#[test]
fn tokens_have_one_text_each() {
    let good = format!("1-{}-0-7-5", "ab".repeat(16));
    assert!(ReadToken::parse(&good).is_ok());
    for bad in [
        "",
        "1",
        "1-",
        &good[..good.len() - 2],
        &format!("{good}-9"),
        &good.replace("-7-", "-07-"),
        &good.replace("-7-", "-+7-"),
        &good.to_uppercase(),
        &good.replacen('1', "2", 1),
    ] {
        assert!(ReadToken::parse(bad).is_err(), "{bad}");
    }
}
