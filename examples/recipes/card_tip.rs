//! A card payment with a tip: more is captured than was held.
//!
//! A restaurant holds 50.00 on the guest's card; the guest signs for 58.00. A *hold* reserves on
//! both accounts and moves nothing; a *capture* is a posted transaction that takes from the hold.
//! Only a hold that was made with `over_capture_up_to` may be captured beyond its amount, and the
//! excess passes the account's limits: the guest has left, and the money is owed.
//!
//! ```text
//! hold     50.00  (cards:guest -> merchants:bistro, reserved)      available 2.00
//! capture  58.00  debit cards:guest  credit merchants:bistro       posted   -6.00
//! ```
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use examples::{
    Ledger, RecipeOptions, Result, no_overdraft, posting, refusal, text, transaction, unlimited,
};
use schemas::proto::v1::command::Operation;
use schemas::proto::v1::{
    AccountType, CaptureTransaction, CreateTransaction, HoldSpec, PostingAmount, VoidTransaction,
};

fn capture(hold: &str, amount: u64, last: bool) -> Operation {
    Operation::CaptureTransaction(CaptureTransaction {
        hold: hold.to_owned(),
        amounts: vec![PostingAmount {
            posting: 0,
            amount: amount.to_string(),
        }],
        r#final: last,
        ..CaptureTransaction::default()
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = RecipeOptions::parse();
    let mut ledger = Ledger::create(&options.server, "recipe-card-tip").await?;

    let liability = AccountType::Liability;
    ledger
        .open("bank:cash", AccountType::Asset, "USD/2", unlimited())
        .await?;
    ledger
        .open("cards:guest", liability, "USD/2", no_overdraft())
        .await?;
    ledger
        .open("merchants:bistro", liability, "USD/2", no_overdraft())
        .await?;
    let deposit = transaction("deposit", [posting("bank:cash", "cards:guest", 5_200)]);
    ledger.post("deposit", deposit).await?;

    // The dinner: 50.00 held, up to 60.00 may be captured (the card scheme's fifth for a tip).
    let dinner = transaction(
        "dinner",
        [posting("cards:guest", "merchants:bistro", 5_000)],
    );
    let dinner = CreateTransaction {
        hold: Some(HoldSpec {
            over_capture_up_to: "6000".into(),
            ..HoldSpec::default()
        }),
        ..dinner
    };
    let hold = ledger.post("dinner", dinner).await?.transaction_id;
    println!("50.00 of 52.00 are held");

    // What is held cannot be spent twice: 2.00 are available.
    let taxi = transaction("taxi", [posting("cards:guest", "merchants:bistro", 201)]);
    let code = refusal(ledger.post("taxi", taxi).await)?;
    println!("2.01 more are refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");

    // A tip beyond what was agreed is refused, one within it is not, limits or no.
    let code = refusal(
        ledger
            .write("dinner-capture-1", capture(&hold, 6_001, true))
            .await,
    )?;
    println!("capturing 60.01 is refused: {code}");
    assert_eq!(code, "CAPTURE_EXCEEDS_HOLD");
    ledger
        .write("dinner-capture-2", capture(&hold, 5_800, true))
        .await?;
    println!("capturing 58.00 is not: the guest is overdrawn by 6.00");

    // The capture was final: the hold has ended.
    let void = Operation::VoidTransaction(VoidTransaction {
        hold: hold.clone(),
        reason: Some(text("too late")),
    });
    let code = refusal(ledger.write("dinner-void", void).await)?;
    assert_eq!(code, "HOLD_ALREADY_POSTED");

    let guest = ledger.balance("cards:guest").await?;
    assert_eq!(guest.posted, "-600");
    assert_eq!(guest.available, "-600"); // nothing is held any more
    assert_eq!(guest.debits_pending, "0");
    assert_eq!(ledger.posted("merchants:bistro").await?, 5_800);
    assert_eq!(ledger.posted("bank:cash").await?, 5_200);
    println!("guest -6.00, bistro 58.00, cash 52.00 USD");
    Ok(())
}
