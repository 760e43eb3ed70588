//! Currency exchange: two assets, one transaction, no conversion inside the books.
//!
//! A posting never changes its asset, so an exchange is two postings in one transaction, each
//! against the bank's *position* in that currency. The position accounts say how much of each
//! currency the bank is long (credit side) or short: its currency risk, to be read off at any time.
//!
//! ```text
//! Eve sells 100.00 EUR at 1.0850    debit customers:eve:eur  credit bank:position:eur  100.00 EUR
//!                                   debit bank:position:usd  credit customers:eve:usd  108.50 USD
//! ```
//!
//! Either both happen or none. The rate is the caller's, and stands in the metadata.
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use examples::{
    Ledger, RecipeOptions, Result, no_overdraft, posting, refusal, text, transaction, unlimited,
};
use schemas::proto::v1::command::Operation;
use schemas::proto::v1::{AccountType, Atomic, CreateTransaction, Member, OpenAccount, member};

/// `euros` (in cents) at a rate of so many ten-thousandths, in cents, rounded down: the caller
/// rounds once, in whole numbers.
fn dollars(euros: u64, rate: u64) -> u64 {
    euros * rate / 10_000
}

fn exchange(customer: &str, euros: u64, rate: u64) -> CreateTransaction {
    let mut exchange = transaction(
        "EUR to USD",
        [
            posting(
                &format!("customers:{customer}:eur"),
                "bank:position:eur",
                euros,
            ),
            posting(
                "bank:position:usd",
                &format!("customers:{customer}:usd"),
                dollars(euros, rate),
            ),
        ],
    );
    exchange.metadata.insert(
        "rate".into(),
        text(&format!("{}.{:04}", rate / 10_000, rate % 10_000)),
    );
    exchange
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = RecipeOptions::parse();
    let mut ledger = Ledger::create(&options.server, "recipe-currency-exchange").await?;

    let (asset, liability, equity) = (
        AccountType::Asset,
        AccountType::Liability,
        AccountType::Equity,
    );
    ledger
        .open("bank:nostro:eur", asset, "EUR/2", unlimited())
        .await?;
    ledger
        .open("bank:position:eur", equity, "EUR/2", unlimited())
        .await?;
    ledger
        .open("bank:position:usd", equity, "USD/2", unlimited())
        .await?;
    ledger
        .open("customers:eve:eur", liability, "EUR/2", no_overdraft())
        .await?;
    let deposit = transaction(
        "deposit",
        [posting("bank:nostro:eur", "customers:eve:eur", 25_000)],
    );
    ledger.post("deposit", deposit).await?;

    // Eve has no dollar account yet. An atomic batch opens it and exchanges: one record in the
    // log, all or none. (Accounts never open by themselves.)
    let members = |key: &str, euros| {
        let open = OpenAccount {
            name: "customers:eve:usd".into(),
            asset: "USD/2".into(),
            r#type: liability.into(),
            limits: Some(no_overdraft()),
            ..OpenAccount::default()
        };
        let operations = [
            member::Operation::OpenAccount(open),
            member::Operation::CreateTransaction(exchange("eve", euros, 10_850)),
        ];
        let members = operations.map(|operation| Member {
            operation: Some(operation),
            ..Member::default()
        });
        (
            key.to_owned(),
            Operation::Atomic(Atomic {
                members: members.to_vec(),
            }),
        )
    };
    // More euros than she has: the second member is refused, and the account is not opened.
    let (key, too_much) = members("open-and-exchange-1", 30_000);
    let code = refusal(ledger.write(&key, too_much).await)?;
    println!("exchanging 300.00 out of 250.00 EUR is refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");
    // (Were it open now, this one would be refused: ACCOUNT_ALREADY_EXISTS.)
    let (key, enough) = members("open-and-exchange-2", 10_000);
    ledger.write(&key, enough).await?;
    println!("100.00 EUR at 1.0850 are 108.50 USD");

    // Later ones are plain transactions: 33.33 EUR at 1.0910 are 36.363... USD, so 36.36.
    ledger
        .post("exchange-3", exchange("eve", 3_333, 10_910))
        .await?;

    // Each asset balances on its own.
    assert_eq!(
        ledger.posted("customers:eve:eur").await?,
        25_000 - 10_000 - 3_333
    );
    assert_eq!(ledger.posted("bank:position:eur").await?, 13_333); // long
    assert_eq!(ledger.posted("customers:eve:usd").await?, 10_850 + 3_636);
    assert_eq!(ledger.posted("bank:position:usd").await?, -14_486); // short: to be bought
    assert_eq!(ledger.posted("bank:nostro:eur").await?, 25_000);
    println!("Eve 116.67 EUR and 144.86 USD; the bank is long 133.33 EUR, short 144.86 USD");
    Ok(())
}
