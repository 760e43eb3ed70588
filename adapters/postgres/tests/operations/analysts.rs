//! What people see, and that what they build on it lives on.

use std::collections::BTreeMap;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Limits, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::text::{Metadata, Sealed, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};
use ports::conformance::samples::{at, ledger, terms};
use ports::conformance::story::Story;
use ports::log::Position;
use ports::projection::{
    AccountRow, BalanceRow, Changes, Checkpoint, DayRow, HeadRow, LedgerIndex, LedgerRow,
    TransactionMade, TransactionRow,
};
use schemas::record::RecordHash;

use crate::common::{LOG, Schema};

const LEDGER: LedgerIndex = LedgerIndex(0);

fn amount(minor_units: u128) -> Amount {
    Amount::new(minor_units).unwrap()
}

fn to() -> Checkpoint {
    Checkpoint {
        log_id: LOG,
        sequence: 1,
        record_hash: RecordHash([1; 32]),
        position: Position(1),
        recorded_at: at(1_700_000_000_123_456),
    }
}

fn account(number: u32, name: &str, asset: &str, account_type: AccountType) -> AccountRow {
    let sealed = Sealed {
        key_id: "k1".into(),
        nonce: Box::from([1u8]),
        ciphertext: Box::from([2u8]),
    };
    let metadata = BTreeMap::from([
        (
            Box::from("plain"),
            Text::plain("with \"quotes\" and NUL \0"),
        ),
        (Box::from("sealed"), Text::Sealed(Box::new(sealed))),
    ]);
    AccountRow {
        ledger: LEDGER,
        number: AccountNumber(number),
        terms: Some(AccountTerms {
            name: AccountName::new(name).unwrap(),
            asset: Asset::parse(asset).unwrap(),
            account_type,
            limits: Limits {
                minimum: Some(i128::MIN),
                maximum: Some(i128::MAX),
                ..Limits::default()
            },
            metadata: Metadata::new(metadata).unwrap(),
        }),
        status: Some(AccountStatus::Open),
        opened_at: Some(Timestamp::MIN),
        version: 1,
    }
}

fn balance(number: u32, totals: [u128; 4]) -> BalanceRow {
    BalanceRow {
        ledger: LEDGER,
        account: AccountNumber(number),
        version: 2,
        totals: Totals {
            debits_posted: amount(totals[0]),
            credits_posted: amount(totals[1]),
            debits_pending: amount(totals[2]),
            credits_pending: amount(totals[3]),
        },
        open_holds_delta: 0,
    }
}

const MOST: u128 = i128::MAX as u128;

/// A ledger with the largest of everything.
fn changes() -> Changes {
    let posting = |debit, credit, minor_units| Posting {
        debit: AccountNumber(debit),
        credit: AccountNumber(credit),
        amount: amount(minor_units),
    };
    let transaction = Transaction {
        id: TransactionId(u128::MAX),
        status: TransactionStatus::Posted,
        kind: TransactionKind::Direct,
        effective_at: Timestamp::MAX,
        postings: vec![posting(1, 2, 12_345), posting(3, 4, MOST)],
        progress: Vec::new(),
        sources: Vec::new(),
        description: Some(Text::plain("a text with NUL \0 in it")),
        metadata: Metadata::default(),
        limits: LimitsMode::Enforce,
        version: 1,
    };
    Changes {
        ledgers: vec![ledger("bank")],
        ledger_rows: vec![LedgerRow {
            ledger: LEDGER,
            terms: Some(terms(3)),
            created_at: Some(Timestamp::MIN),
            closed_through: Some(Some(Timestamp::MAX)),
            version: 1,
        }],
        heads: vec![HeadRow {
            ledger: LEDGER,
            ledger_sequence: 1,
            record_hash: RecordHash([1; 32]),
            recorded_at: to().recorded_at,
        }],
        accounts: vec![
            account(1, "cash", "USD/2", AccountType::Asset),
            account(2, "customers:42", "USD/2", AccountType::Liability),
            account(3, "pool", "WEI/30", AccountType::Asset),
            account(4, "owed", "WEI/30", AccountType::Liability),
        ],
        balances: vec![
            balance(1, [12_345, 45, 7, 300]),
            balance(2, [45, 12_345, 300, 7]),
            balance(3, [MOST, 0, 0, 0]),
            balance(4, [0, MOST, 0, 0]),
        ],
        transactions: vec![TransactionRow {
            ledger: LEDGER,
            transaction,
            made: Some(TransactionMade {
                ledger_sequence: 1,
                recorded_at: to().recorded_at,
                key: IdempotencyKey::text("018f2b6e-7a2c-7d3e-9b1a-0123456789ab").unwrap(),
                key_entry: Some(KeyEntry {
                    request_hash: [9; 16],
                    sequence: 1,
                }),
            }),
        }],
        days: vec![DayRow {
            ledger: LEDGER,
            account: AccountNumber(3),
            day: Timestamp::MAX.utc_day(),
            debits: amount(MOST),
            credits: Amount::ZERO,
            first_ledger_sequence: 1,
            last_ledger_sequence: 1,
        }],
        ..Changes::default()
    }
}

#[tokio::test]
async fn people_read_decimal_amounts_and_names() {
    let schema = Schema::new();
    let opened = schema.open(1).await;
    opened
        .projection()
        .apply(0, None, &to(), changes())
        .await
        .unwrap();
    for (question, answers) in [
        (
            "SELECT concat_ws(' ', account, posted, pending, available) FROM $s.account_balances
              WHERE asset = 'USD/2' ORDER BY number",
            vec![
                "cash 123.00 120.07 120.00",
                "customers:42 123.00 120.07 120.00",
            ],
        ),
        (
            "SELECT posted::text FROM $s.account_balances WHERE account = 'owed'",
            vec!["170141183.460469231731687303715884105727"],
        ),
        (
            "SELECT concat_ws(' ', line, debit_account, credit_account, amount, asset)
               FROM $s.postings WHERE ledger = 'bank' ORDER BY line",
            vec![
                "1 cash customers:42 123.45 USD/2",
                "2 pool owed 170141183.460469231731687303715884105727 WEI/30",
            ],
        ),
        (
            "SELECT concat_ws(' ', transaction_id, status, kind, key, postings,
                    to_char(effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
                    extract(microseconds FROM recorded_at))
               FROM $s.transactions",
            vec![
                "ffffffff-ffff-ffff-ffff-ffffffffffff POSTED DIRECT \
                 018f2b6e-7a2c-7d3e-9b1a-0123456789ab 2 9999-12-31 23:59:59.999999 20123456",
            ],
        ),
        (
            "SELECT concat_ws(' ', account, day, debits, credits) FROM $s.daily_totals",
            vec![
                "pool 9999-12-31 170141183.460469231731687303715884105727 \
                 0.000000000000000000000000000000",
            ],
        ),
        (
            "SELECT concat_ws(' ', minimum_minor, maximum_minor, metadata->'sealed'->>'sealed_with')
               FROM $s.accounts WHERE number = 1",
            vec![
                "-170141183460469231731687303715884105728 \
                 170141183460469231731687303715884105727 k1",
            ],
        ),
        (
            "SELECT concat_ws(' ', ledger, shard, ledger_sequence, time_zone) FROM $s.ledgers",
            vec!["bank 0 1 UTC"],
        ),
        (
            "SELECT concat_ws(' ', shard, sequence) FROM $s.progress",
            vec!["0 1"],
        ),
    ] {
        assert_eq!(schema.ask(question).await, answers, "{question}");
    }
    // And the engine reads back exactly what was written.
    let views = opened.views();
    let name = ledger("bank");
    let found = views.transaction(&name, TransactionId(u128::MAX)).await;
    let expected = changes().transactions.remove(0);
    let found = found.unwrap().unwrap();
    assert_eq!(found.transaction, expected.transaction);
    assert_eq!(found.key, expected.made.unwrap().key);
    let found = views.account(&name, "pool").await.unwrap().unwrap();
    assert_eq!(Some(found.terms), changes().accounts.remove(2).terms);
    assert_eq!(found.totals.debits_posted, Amount::MAX);
    assert_eq!(found.opened_at, Timestamp::MIN);
    let ledgers = views.ledgers(None, 1).await.unwrap();
    assert_eq!(ledgers[0].closed_through, Some(Timestamp::MAX));
    opened.close().await;
}

#[tokio::test]
async fn everything_that_people_see_has_a_comment() {
    let schema = Schema::new();
    schema.open(1).await.close().await;
    let bare = schema
        .ask(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname LIKE '$s%' AND c.relkind IN ('r', 'v')
                AND c.relname <> '_sqlx_migrations'
                AND obj_description(c.oid, 'pg_class') IS NULL",
        )
        .await;
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test]
async fn what_people_built_on_the_views_lives_on_over_a_switch() {
    let schema = Schema::new();
    let opened = schema.open(1).await;
    let mut story = Story::new(LOG, 9, &["bank"]);
    let (first, second) = (story.step(4, 8), story.step(4, 8));
    let projection = opened.projection();
    projection
        .apply(0, None, &first.to, first.changes.clone())
        .await
        .unwrap();
    schema
        .run(
            "CREATE SCHEMA $s_reports;
             CREATE VIEW $s_reports.count AS SELECT count(*)::text AS n FROM $s.transactions",
        )
        .await;
    let count = "SELECT n FROM $s_reports.count";
    let before = schema.ask(count).await;
    let rebuild = opened.switch().begin_rebuild().await.unwrap();
    for step in [&first, &second] {
        rebuild
            .projection()
            .apply(0, step.from.as_ref(), &step.to, step.changes.clone())
            .await
            .unwrap();
    }
    rebuild.switch().await.unwrap();
    let after = schema.ask(count).await;
    assert_ne!(before, after, "the new generation is shown");
    let made = |step: &ports::conformance::story::Step| {
        let rows = step.changes.transactions.iter();
        rows.filter(|row| row.made.is_some()).count()
    };
    assert_eq!(before, [made(&first).to_string()]);
    assert_eq!(after, [(made(&first) + made(&second)).to_string()]);
    opened.close().await;
    schema.run("DROP SCHEMA $s_reports CASCADE").await;
}
