//! A marketplace that keeps a fee, and a partial refund that gives its part of the fee back.
//!
//! ```text
//! sale 100.00   debit platform:card-processor 90.00   credit sellers:bob   90.00
//!               debit platform:card-processor 10.00   credit platform:fees 10.00
//! refund 30.00  debit sellers:bob             27.00   credit platform:card-processor 27.00
//!               debit platform:fees            3.00   credit platform:card-processor  3.00
//! ```
//!
//! The sale is one transaction of two postings: no moment exists in which the seller has been
//! paid and the fee has not. The refund is a *reversal* of the sale with amounts of its own; the
//! engine keeps count, so that all refunds of a sale together never exceed it.
#![allow(clippy::print_stdout)]

use clap::Parser as _;
use examples::{
    Ledger, RecipeOptions, Result, no_overdraft, posting, refusal, text, transaction, unlimited,
};
use schemas::proto::v1::command::Operation;
use schemas::proto::v1::{AccountType, PostingAmount, ReverseTransaction};

#[tokio::main]
async fn main() -> Result<()> {
    let options = RecipeOptions::parse();
    let mut ledger = Ledger::create(&options.server, "recipe-marketplace").await?;

    // The processor owes us what buyers paid by card (an asset); the seller's money is owed to
    // the seller (a liability); the fee is earned (income).
    let processor = "platform:card-processor";
    ledger
        .open(processor, AccountType::Asset, "USD/2", unlimited())
        .await?;
    ledger
        .open("platform:fees", AccountType::Income, "USD/2", unlimited())
        .await?;
    ledger
        .open(
            "sellers:bob",
            AccountType::Liability,
            "USD/2",
            no_overdraft(),
        )
        .await?;

    // A sale of 100.00 with a fee of a tenth. The arithmetic is the caller's: the fee is rounded
    // once, and the seller gets the rest, so that no cent is lost.
    let price = 10_000;
    let fee = price / 10;
    let sale = transaction(
        "order 1001",
        [
            posting(processor, "sellers:bob", price - fee),
            posting(processor, "platform:fees", fee),
        ],
    );
    let sale = ledger.post("order-1001", sale).await?;

    // The buyer sends a part back: 30.00, of which 27.00 from the seller and 3.00 of the fee.
    let refund = |from_seller: u64, of_fee: u64| {
        let amounts = [(0, from_seller), (1, of_fee)];
        Operation::ReverseTransaction(ReverseTransaction {
            original: sale.transaction_id.clone(),
            amounts: amounts
                .map(|(posting, amount)| PostingAmount {
                    posting,
                    amount: amount.to_string(),
                })
                .to_vec(),
            description: Some(text("order 1001: one item came back")),
            ..ReverseTransaction::default()
        })
    };
    ledger
        .write("order-1001-refund-1", refund(2_700, 300))
        .await?;

    // 80.00 more would be 110.00 of 100.00.
    let code = refusal(
        ledger
            .write("order-1001-refund-2", refund(7_200, 800))
            .await,
    )?;
    println!("refunds of 110.00 for a sale of 100.00 are refused: {code}");
    assert_eq!(code, "REVERSAL_EXCEEDS_ORIGINAL");

    // A reversal obeys limits like all else: after a payout the seller cannot give back.
    let payout = transaction("payout", [posting("sellers:bob", processor, 6_000)]);
    ledger.post("payout-bob-1", payout).await?;
    let code = refusal(ledger.write("order-1001-refund-3", refund(900, 100)).await)?;
    println!("a refund that the seller has no money for is refused: {code}");
    assert_eq!(code, "INSUFFICIENT_FUNDS");

    assert_eq!(ledger.posted("sellers:bob").await?, 300); // 90.00 - 27.00 - 60.00
    assert_eq!(ledger.posted("platform:fees").await?, 700); // 10.00 - 3.00
    assert_eq!(ledger.posted(processor).await?, 1_000); // 100.00 - 30.00 - 60.00
    println!("seller 3.00, fees 7.00, processor 10.00 USD");
    Ok(())
}
