//! A chargeback: what cannot be refused is recorded, whatever the limits say.
//!
//! A buyer disputes a card payment after the seller has taken the money out. The card scheme
//! pulls 80.00 from our account at the processor whether we like it or not: the books must say so.
//! `record_only_reason` passes balance and velocity limits (never status, asset or period rules),
//! and the event says that, and why. The seller's balance turns negative: a claim against the
//! seller, which the next sales pay off. The scheme's fee is ours to pay (an expense).
//!
//! ```text
//! sale        debit processor  credit sellers:mia     80.00
//! payout      debit sellers:mia     credit processor  80.00
//! chargeback  debit sellers:mia     credit processor  80.00   (reversal, RECORD_ONLY)
//! fee         debit platform:chargeback-fees  credit processor  15.00
//! ```
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use examples::{
    Ledger, RecipeOptions, Result, no_overdraft, posting, refusal, text, transaction, unlimited,
};
use schemas::proto::v1::command::Operation;
use schemas::proto::v1::{AccountType, ReverseTransaction};

#[tokio::main]
async fn main() -> Result<()> {
    let options = RecipeOptions::parse();
    let mut ledger = Ledger::create(&options.server, "recipe-chargeback").await?;

    let (asset, expense, liability) = (
        AccountType::Asset,
        AccountType::Expense,
        AccountType::Liability,
    );
    ledger
        .open("processor", asset, "USD/2", unlimited())
        .await?;
    ledger
        .open("platform:chargeback-fees", expense, "USD/2", unlimited())
        .await?;
    ledger
        .open("sellers:mia", liability, "USD/2", no_overdraft())
        .await?;

    let sale = transaction("order 7", [posting("processor", "sellers:mia", 8_000)]);
    let sale = ledger.post("order-7", sale).await?;
    let payout = transaction("payout", [posting("sellers:mia", "processor", 8_000)]);
    ledger.post("payout-1", payout).await?;

    // The dispute. Judged by her limits, taking the sale back is impossible ...
    let take_back = ReverseTransaction {
        original: sale.transaction_id,
        description: Some(text("order 7: chargeback")),
        ..ReverseTransaction::default()
    };
    let judged = Operation::ReverseTransaction(take_back.clone());
    let code = refusal(ledger.write("order-7-refund", judged).await)?;
    println!("taking 80.00 back from an empty account is refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");

    // ... but it has happened. So it is recorded, with the reason.
    let recorded = Operation::ReverseTransaction(ReverseTransaction {
        record_only_reason: Some(text("chargeback 4853, case 991")),
        ..take_back.clone()
    });
    ledger.write("order-7-chargeback", recorded.clone()).await?;
    let fee = transaction(
        "chargeback fee",
        [posting("platform:chargeback-fees", "processor", 1_500)],
    );
    ledger.post("order-7-chargeback-fee", fee).await?;
    assert_eq!(ledger.posted("platform:chargeback-fees").await?, 1_500);

    // The scheme's notice comes twice under two ids: the sale can be taken back only once.
    let code = refusal(ledger.write("order-7-chargeback-notice-2", recorded).await)?;
    println!("the same chargeback again is refused: {code}");
    assert_eq!(code, "NOTHING_TO_REVERSE");

    // RECORD_ONLY is per transaction. An ordinary payout stays refused until she has earned it.
    let payout = transaction("payout", [posting("sellers:mia", "processor", 1)]);
    let code = refusal(ledger.post("payout-2", payout).await)?;
    println!("a payout of 0.01 at a balance of -80.00 is refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");
    let next = transaction("order 8", [posting("processor", "sellers:mia", 10_000)]);
    ledger.post("order-8", next).await?;
    let payout = transaction("payout", [posting("sellers:mia", "processor", 2_000)]);
    ledger.post("payout-3", payout).await?;

    assert_eq!(ledger.posted("sellers:mia").await?, 0); // 100.00 - 80.00 - 20.00
    assert_eq!(ledger.posted("platform:chargeback-fees").await?, 1_500);
    assert_eq!(ledger.posted("processor").await?, -1_500); // the scheme's fee, not paid yet
    println!("seller 0.00, chargeback fees 15.00, processor -15.00 USD");
    Ok(())
}
