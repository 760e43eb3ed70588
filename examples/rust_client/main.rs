//! A tour of Daybook in Rust, on the generated client alone: a ledger, accounts, a deposit, a
//! transfer, a refused withdrawal, a hold with a capture, a statement.
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use schemas::proto::v1 as api;
use schemas::proto::v1::account_service_client::AccountServiceClient;
use schemas::proto::v1::ledger_service_client::LedgerServiceClient;
use schemas::proto::v1::posting_spec::AmountSpec;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use schemas::proto::v1::transaction_service_client::TransactionServiceClient;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// A tour of Daybook: makes a ledger of its own and books a few transactions.
#[derive(clap::Parser)]
struct Options {
    /// The server's address
    #[arg(long, env = "DAYBOOK_SERVER", default_value = examples::DEFAULT_SERVER)]
    server: String,
}

/// Every command has a key, which makes it safe to repeat: the same key with the same command
/// gives the first outcome again. Keep it until you have seen the answer.
fn new_key() -> Option<api::CommandOptions> {
    Some(api::CommandOptions {
        idempotency_key: Uuid::now_v7().to_string(),
        ..api::CommandOptions::default()
    })
}

/// Amounts are decimal strings of minor units: "12500" is 125.00 of USD/2.
fn posting(debit: &str, credit: &str, amount: &str) -> Vec<api::PostingSpec> {
    vec![api::PostingSpec {
        debit: debit.to_owned(),
        credit: credit.to_owned(),
        asset: "USD/2".to_owned(), // checked where given
        amount_spec: Some(AmountSpec::Amount(amount.to_owned())),
    }]
}

#[tokio::main]
async fn main() -> examples::Result<()> {
    let options = Options::parse();
    let channel = examples::connect(&options.server).await?;
    let mut ledgers = LedgerServiceClient::new(channel.clone());
    let mut accounts = AccountServiceClient::new(channel.clone());
    let mut transactions = TransactionServiceClient::new(channel.clone());
    let mut queries = QueryServiceClient::new(channel);

    // A ledger is an independent chart of accounts. This tour takes a new one each time.
    let ledger = format!("tour-{}", Uuid::now_v7());
    let create = api::CreateLedger {
        time_zone: "Europe/Prague".to_owned(),
        ..api::CreateLedger::default()
    };
    ledgers
        .create_ledger(api::CreateLedgerRequest {
            options: new_key(),
            ledger: ledger.clone(),
            create: Some(create),
        })
        .await?;
    println!("ledger {ledger}");

    // Cash is an asset of ours; what customers have with us is owed to them: a liability, which
    // may not fall below zero.
    for (name, account_type, minimum) in [
        ("cash", api::AccountType::Asset, ""),
        ("customers:ann", api::AccountType::Liability, "0"),
        ("customers:bob", api::AccountType::Liability, "0"),
    ] {
        let open = api::OpenAccount {
            name: name.to_owned(),
            asset: "USD/2".to_owned(),
            r#type: account_type.into(),
            limits: Some(api::Limits {
                minimum: minimum.to_owned(),
                ..api::Limits::default()
            }),
            ..api::OpenAccount::default()
        };
        let request = api::OpenAccountRequest {
            options: new_key(),
            ledger: ledger.clone(),
            open: Some(open),
        };
        let account = accounts.open_account(request).await?.into_inner().account;
        println!(
            "opened {name}, number {}",
            account.unwrap_or_default().number
        );
    }

    // A deposit and a transfer, each a transaction of one posting.
    let book = |postings, hold| api::CreateTransactionRequest {
        options: new_key(),
        ledger: ledger.clone(),
        create: Some(api::CreateTransaction {
            postings,
            hold,
            ..api::CreateTransaction::default()
        }),
    };
    let deposit = book(posting("cash", "customers:ann", "10000"), None);
    let first = transactions
        .create_transaction(deposit.clone())
        .await?
        .into_inner();
    let transfer = book(posting("customers:ann", "customers:bob", "2500"), None);
    transactions.create_transaction(transfer).await?;
    println!("Ann deposits 100.00 and sends Bob 25.00");

    // Was the answer lost? Send the same again: nothing is booked twice.
    let again = transactions.create_transaction(deposit).await?.into_inner();
    let (first, again) = (
        first.receipt.unwrap_or_default(),
        again.receipt.unwrap_or_default(),
    );
    assert!(again.repeated && again.transaction_id == first.transaction_id);

    // A refusal says which rule said no, and the figures that it was judged on.
    let withdrawal = book(posting("customers:bob", "cash", "2501"), None);
    let Err(refused) = transactions.create_transaction(withdrawal).await else {
        return Err("a withdrawal of 25.01 out of 25.00 was carried out".into());
    };
    let info = refused
        .get_details_error_info()
        .ok_or("a refusal without ErrorInfo")?;
    println!(
        "Bob's withdrawal of 25.01 is refused: {} {:?}",
        info.reason, info.metadata
    );

    // A hold reserves; a capture takes from it, and the final one releases the rest.
    let hold = book(
        posting("customers:ann", "customers:bob", "4000"),
        Some(api::HoldSpec::default()),
    );
    let hold = transactions.create_transaction(hold).await?.into_inner();
    let hold = hold.receipt.unwrap_or_default().transaction_id;
    let balance = api::GetBalanceRequest {
        ledger: ledger.clone(),
        account: "customers:ann".to_owned(),
        ..api::GetBalanceRequest::default() // strong: all that was acknowledged before
    };
    let held = queries
        .get_balance(balance.clone())
        .await?
        .into_inner()
        .balance
        .unwrap_or_default();
    println!(
        "40.00 are held: Ann has {} posted, {} available",
        held.posted, held.available
    );
    let capture = api::CaptureTransaction {
        hold,
        amounts: vec![api::PostingAmount {
            posting: 0,
            amount: "3000".to_owned(),
        }],
        r#final: true,
        ..api::CaptureTransaction::default()
    };
    transactions
        .capture_transaction(api::CaptureTransactionRequest {
            options: new_key(),
            ledger: ledger.clone(),
            capture: Some(capture),
        })
        .await?;
    let after = queries
        .get_balance(balance)
        .await?
        .into_inner()
        .balance
        .unwrap_or_default();
    println!(
        "30.00 were captured: {} posted, {} available",
        after.posted, after.available
    );

    let statement = queries
        .get_statement(api::GetStatementRequest {
            ledger: ledger.clone(),
            account: "customers:ann".to_owned(),
            ..api::GetStatementRequest::default()
        })
        .await?
        .into_inner();
    println!("Ann's statement, in minor units of {}:", statement.asset);
    for line in &statement.lines {
        let side = if line.direction() == api::Direction::Credit {
            "in"
        } else {
            "out"
        };
        println!(
            "  {side:>4} {:>8}  {:<14} {:>8}",
            line.amount, line.counter_account, line.balance
        );
    }

    assert_eq!(info.reason, "INSUFFICIENT_FUNDS");
    assert_eq!(
        (held.posted.as_str(), held.available.as_str()),
        ("7500", "3500")
    );
    assert_eq!(
        (after.posted.as_str(), after.available.as_str()),
        ("4500", "4500")
    );
    let balances: Vec<&str> = statement
        .lines
        .iter()
        .map(|line| line.balance.as_str())
        .collect();
    assert_eq!(balances, ["10000", "7500", "4500"]);
    assert_eq!(statement.closing_balance, "4500");
    println!("all as it should be");
    Ok(())
}
