//! Sums over many accounts and over the largest amounts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, request};
use ledger_core::account::AccountType;
use ledger_core::amount::Amount;
use ledger_core::command::{AccountRef, AmountSpec, CreateTransaction, Operation, PostingSpec};
use ledger_core::name::AccountName;
use ledger_core::text::Metadata;
use ledger_core::transaction::{HoldTerms, LimitsMode};
use ports::memory::ACCOUNTS;
use schemas::proto::v1;

fn move_all(from: &str, to: &str, hold: bool) -> Operation {
    let name = |name| AccountRef::Name(AccountName::new(name).unwrap());
    Operation::CreateTransaction(CreateTransaction {
        postings: vec![PostingSpec {
            debit: name(from),
            credit: name(to),
            amount: AmountSpec::Exact(Amount::MAX),
            asset: None,
        }],
        effective_at: None,
        hold: hold.then(HoldTerms::default),
        limits: LimitsMode::Enforce,
        description: None,
        metadata: Metadata::default(),
    })
}

/// A bank where three accounts were debited, and three credited, with the largest amount there
/// is, and where as much again is held on two others.
async fn rich() -> Server {
    let server = Server::new(1).await;
    let books = server.books("bank", 1);
    for number in 1..=4 {
        books.open_account(&format!("rich:debit:{number}"), "USD/2", AccountType::Asset);
        books.open_account(
            &format!("rich:credit:{number}"),
            "USD/2",
            AccountType::Liability,
        );
        let hold = number == 4;
        let moved = move_all(
            &format!("rich:debit:{number}"),
            &format!("rich:credit:{number}"),
            hold,
        );
        server.scribe.write("bank", moved).unwrap();
    }
    server.scribe.commit().await;
    server
}

/// 3 × (2^127 − 1), which 128 bits do not hold.
const THRICE: &str = "510423550381407695195061911147652317181";

#[tokio::test]
async fn a_trial_balance_beyond_128_bits_is_exact() {
    let server = rich().await;
    let asked = v1::GetTrialBalanceRequest {
        ledger: "bank".to_owned(),
        ..Default::default()
    };
    let reply = server.api.get_trial_balance(request(asked)).await.unwrap();
    let dollars = reply.totals.iter().find(|total| total.asset == "USD/2");
    let dollars = dollars.unwrap();
    assert_eq!((&*dollars.debits, &*dollars.credits), (THRICE, THRICE));
    assert!(dollars.balanced);
}

#[tokio::test]
async fn sums_of_balances_beyond_128_bits_are_exact() {
    let server = rich().await;
    let sum = async |pattern: &str| {
        let asked = v1::AggregateBalancesRequest {
            ledger: "bank".to_owned(),
            pattern: pattern.to_owned(),
            ..Default::default()
        };
        let reply = server.api.aggregate_balances(request(asked)).await.unwrap();
        assert_eq!(reply.sums.len(), 1, "{pattern}");
        reply.sums[0].clone()
    };
    let max = Amount::MAX.to_string();
    assert_eq!(
        sum("rich:*:*").await,
        v1::AssetSum {
            asset: "USD/2".to_owned(),
            accounts: 8,
            debits_posted: THRICE.to_owned(),
            credits_posted: THRICE.to_owned(),
            debits_pending: max.clone(),
            credits_pending: max.clone(),
            // 6 and 8 times the largest amount; what is held came in, none went out.
            posted: "1020847100762815390390123822295304634362".to_owned(),
            pending: "1361129467683753853853498429727072845816".to_owned(),
            available: "1020847100762815390390123822295304634362".to_owned(),
        }
    );
    let debited = sum("rich:debit:*").await;
    assert_eq!(
        (&*debited.debits_posted, &*debited.posted),
        (THRICE, THRICE)
    );
    assert_eq!(debited.credits_posted, "0");
}

#[tokio::test]
async fn a_trial_balance_of_more_accounts_than_fit_is_refused_and_sums_are_not() {
    use tonic_types::StatusExt as _;
    let most = schemas::limits::TRIAL_BALANCE_ACCOUNTS_MAX;
    let server = Server::with(1, 10_000).await;
    let books = server.books("bank", 1);
    let trial = async || {
        let asked = v1::GetTrialBalanceRequest {
            ledger: "bank".to_owned(),
            ..Default::default()
        };
        server.api.get_trial_balance(request(asked)).await
    };
    for number in ACCOUNTS.len()..most {
        books.open_account(&format!("many:{number}"), "USD/2", AccountType::Asset);
    }
    server.scribe.commit().await;
    assert_eq!(trial().await.unwrap().lines.len(), most);
    books.open_account("one:more", "USD/2", AccountType::Asset);
    server.scribe.commit().await;
    let refused = trial().await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "REPLY_TOO_LARGE");
    assert_eq!(info.metadata["most"], most.to_string());
    let asked = v1::AggregateBalancesRequest {
        ledger: "bank".to_owned(),
        ..Default::default()
    };
    let reply = server.api.aggregate_balances(request(asked)).await.unwrap();
    let accounts: u64 = reply.sums.iter().map(|sum| sum.accounts).sum();
    assert_eq!(accounts, most as u64 + 1);
}
