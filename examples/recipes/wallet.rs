//! A wallet: top-up, spending, and the limits that hold it.
//!
//! The money of a wallet belongs to its owner, so the wallet is a *liability* of ours: it grows on
//! the credit side. What we got for it lies at our bank, an *asset*, which grows on the debit side.
//!
//! ```text
//! top-up    debit  platform:bank        credit users:ann:wallet     (both grow)
//! spending  debit  users:ann:wallet     credit merchants:cafe       (ours to owe to another)
//! payout    debit  merchants:cafe       credit platform:bank        (both shrink)
//! ```
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use examples::{
    Ledger, RecipeOptions, Result, no_overdraft, posting, refusal, transaction, unlimited,
};
use schemas::proto::v1::velocity_limit::{Direction, Window};
use schemas::proto::v1::{AccountType, Limits, VelocityLimit};

#[tokio::main]
async fn main() -> Result<()> {
    let options = RecipeOptions::parse();
    let mut ledger = Ledger::create(&options.server, "recipe-wallet").await?;

    let wallet = Limits {
        minimum: "0".into(),             // never overdrawn
        maximum: "50000".into(),         // never above 500.00
        per_transaction: "20000".into(), // at most 200.00 at once
        velocity: vec![VelocityLimit {
            direction: Direction::Outflow.into(),
            amount: "25000".into(), // at most 250.00 out within an hour
            window: Some(Window::RollingSeconds(3_600)),
        }],
    };
    let (asset, liability) = (AccountType::Asset, AccountType::Liability);
    ledger
        .open("platform:bank", asset, "EUR/2", unlimited())
        .await?;
    ledger
        .open("users:ann:wallet", liability, "EUR/2", wallet)
        .await?;
    ledger
        .open("merchants:cafe", liability, "EUR/2", no_overdraft())
        .await?;

    // Ann tops up 200.00 twice; a third time would lift the wallet above its maximum.
    for (key, amount) in [("top-up-1", 20_000), ("top-up-2", 20_000)] {
        let top_up = transaction(
            "top-up",
            [posting("platform:bank", "users:ann:wallet", amount)],
        );
        ledger.post(key, top_up).await?;
    }
    let top_up = transaction(
        "top-up",
        [posting("platform:bank", "users:ann:wallet", 20_000)],
    );
    let code = refusal(ledger.post("top-up-3", top_up).await)?;
    println!("a third top-up of 200.00 is refused: {code}");
    assert_eq!(code, "BALANCE_LIMIT_EXCEEDED");

    // She spends 180.00. 210.00 at once is above the limit of one transaction, 100.00 more
    // above what may leave the wallet within an hour.
    let spend = |amount| {
        transaction(
            "coffee",
            [posting("users:ann:wallet", "merchants:cafe", amount)],
        )
    };
    ledger.post("spend-1", spend(18_000)).await?;
    let code = refusal(ledger.post("spend-2", spend(21_000)).await)?;
    println!("spending 210.00 at once is refused: {code}");
    assert_eq!(code, "TRANSACTION_LIMIT_EXCEEDED");
    let code = refusal(ledger.post("spend-3", spend(10_000)).await)?;
    println!("spending 280.00 within the hour is refused: {code}");
    assert_eq!(code, "VELOCITY_LIMIT_EXCEEDED");

    // The café takes its money out; more than it has is refused.
    let payout = |amount| {
        transaction(
            "payout",
            [posting("merchants:cafe", "platform:bank", amount)],
        )
    };
    ledger.post("payout-1", payout(15_000)).await?;
    let code = refusal(ledger.post("payout-2", payout(3_001)).await)?;
    println!("a payout of 30.01 out of 30.00 is refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");

    // What lies at the bank is what we owe: 220.00 to Ann and 30.00 to the café.
    assert_eq!(ledger.posted("users:ann:wallet").await?, 22_000);
    assert_eq!(ledger.posted("merchants:cafe").await?, 3_000);
    assert_eq!(ledger.posted("platform:bank").await?, 25_000);
    println!("wallet 220.00, café 30.00, bank 250.00 EUR");
    Ok(())
}
