//! Replies as they are, written down: statements and the trial balance of a small bank.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, request};
use ledger_core::account::AccountType;
use ledger_core::amount::Amount;
use ledger_core::command::{
    AccountRef, AmountSpec, CaptureTransaction, CreateTransaction, Operation, PostingSpec,
};
use ledger_core::key::IdempotencyKey;
use ledger_core::name::AccountName;
use ledger_core::text::{Metadata, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{HoldTerms, LimitsMode};
use schemas::proto::v1;
use v1::get_statement_request::By;

const DAY: i64 = 86_400_000_000;
/// 2025-06-02, a Monday.
const MONDAY: i64 = 20_241 * DAY;

fn name(name: &str) -> AccountRef {
    AccountRef::Name(AccountName::new(name).unwrap())
}

fn transfer(from: &str, to: &str, amount: u128, day: i64, hold: bool) -> Operation {
    Operation::CreateTransaction(CreateTransaction {
        postings: vec![PostingSpec {
            debit: name(from),
            credit: name(to),
            amount: AmountSpec::Exact(Amount::new(amount).unwrap()),
            asset: None,
        }],
        effective_at: Timestamp::from_micros(MONDAY + day * DAY),
        hold: hold.then(HoldTerms::default),
        limits: LimitsMode::Enforce,
        description: Some(Text::plain(format!("{from} to {to}"))),
        metadata: Metadata::default(),
    })
}

/// A bank with a deposit, a transfer, a hold with a part capture, and a fee that is booked late.
async fn bank() -> Server {
    let server = Server::new(1).await;
    let books = server.books("bank", 1);
    books.open_account("fees", "USD/2", AccountType::Income);
    let write = |key: &str, operation| {
        server.scribe.wait(3_600_000_000);
        let key = IdempotencyKey::text(key).unwrap();
        server.scribe.write_as("bank", key, operation).unwrap();
    };
    let (one, two) = ("customers:1:checking", "customers:2:checking");
    write("deposit", transfer("cash", one, 100_000, 0, false));
    write("rent", transfer(one, two, 45_000, 1, false));
    write(
        "euro",
        transfer("cash:euro", "customers:1:euro", 70_000, 1, false),
    );
    write("card", transfer(one, two, 10_000, 2, true));
    let hold = IdempotencyKey::text("card").unwrap();
    write(
        "clearing",
        Operation::CaptureTransaction(CaptureTransaction {
            hold: hold.transaction_id(&ledger_core::name::LedgerName::new("bank").unwrap()),
            amounts: vec![(0, Amount::new(8_250).unwrap())],
            is_final: true,
            effective_at: Timestamp::from_micros(MONDAY + 3 * DAY),
            description: None,
            metadata: Metadata::default(),
        }),
    );
    // Back-dated: it belongs before the rent.
    write("fee", transfer(one, "fees", 150, 0, false));
    server.scribe.commit().await;
    server
}

fn statement_text(reply: &v1::GetStatementResponse) -> String {
    let mut text = format!(
        "{} {}: opening {}, debits {}, credits {}, closing {}, at {}\n",
        reply.account,
        reply.asset,
        reply.opening_balance,
        reply.total_debits,
        reply.total_credits,
        reply.closing_balance,
        reply.ledger_sequence
    );
    for line in &reply.lines {
        let day = (line.effective_at.unwrap().seconds * 1_000_000 - MONDAY) / DAY;
        let hour = line.recorded_at.unwrap().seconds / 3_600 - 486_111;
        text.push_str(&format!(
            "#{} day {day} hour {hour} {:?} {} {:?} balance {} capture {}\n",
            line.ledger_sequence,
            line.direction(),
            line.amount,
            line.counter_account,
            line.balance,
            !line.capture_of.is_empty(),
        ));
    }
    text
}

async fn statement(server: &Server, by: By, days: Option<(i64, i64)>) -> String {
    let at = |day: i64| {
        Some(schemas::api::view::timestamp(Timestamp::from_micros(
            MONDAY + day * DAY,
        )?))
    };
    let reply = server.api.get_statement(request(v1::GetStatementRequest {
        ledger: "bank".to_owned(),
        account: "customers:1:checking".to_owned(),
        by: by.into(),
        from: days.and_then(|days| at(days.0)),
        to: days.and_then(|days| at(days.1)),
        ..v1::GetStatementRequest::default()
    }));
    statement_text(&reply.await.unwrap())
}

#[tokio::test]
async fn a_statement_by_recorded_time() {
    let server = bank().await;
    insta::assert_snapshot!(statement(&server, By::Recorded, None).await);
}

#[tokio::test]
async fn a_statement_by_effective_time() {
    let server = bank().await;
    insta::assert_snapshot!(statement(&server, By::Effective, None).await);
}

#[tokio::test]
async fn a_statement_of_one_effective_day() {
    let server = bank().await;
    insta::assert_snapshot!(statement(&server, By::Effective, Some((1, 2))).await);
}

async fn trial(server: &Server, effective_day: Option<i64>) -> String {
    let effective = effective_day.and_then(|day| Timestamp::from_micros(MONDAY + day * DAY));
    let reply = server
        .api
        .get_trial_balance(request(v1::GetTrialBalanceRequest {
            ledger: "bank".to_owned(),
            as_of: effective.map(|at| v1::AsOf {
                effective: common::time(at),
                recorded: None,
            }),
            consistency: None,
        }));
    let reply = reply.await.unwrap();
    let mut text = String::new();
    for line in &reply.lines {
        text.push_str(&format!(
            "{} {} {:?}: debit {:?}, credit {:?}\n",
            line.asset,
            line.account,
            line.r#type(),
            line.debit_balance,
            line.credit_balance
        ));
    }
    for total in &reply.totals {
        text.push_str(&format!(
            "{}: {} = {}, balanced {}\n",
            total.asset, total.debits, total.credits, total.balanced
        ));
    }
    text
}

#[tokio::test]
async fn the_trial_balance_now() {
    let server = bank().await;
    insta::assert_snapshot!(trial(&server, None).await);
}

#[tokio::test]
async fn the_trial_balance_as_of_an_effective_day() {
    let server = bank().await;
    insta::assert_snapshot!(trial(&server, Some(1)).await);
}

#[tokio::test]
async fn sums_by_pattern() {
    let server = bank().await;
    let reply = server
        .api
        .aggregate_balances(request(v1::AggregateBalancesRequest {
            ledger: "bank".to_owned(),
            pattern: "customers:**".to_owned(),
            as_of: None,
            consistency: None,
        }));
    insta::assert_debug_snapshot!(reply.await.unwrap().sums);
}
