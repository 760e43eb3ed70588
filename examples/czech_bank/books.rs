//! The bookkeeping: which accounts there are, and which two each row moves money between.
//!
//! What customers have with the bank is owed to them: liabilities, which grow on the credit side.
//! Cash, and what other banks and the card company owe the bank, are its assets; interest that it
//! pays is an expense; fees and penalty interest are its income. Nothing is limited: the bank let
//! some of its customers overdraw.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::Offset;
use schemas::proto::v1::command::Operation;
use schemas::proto::v1::{
    AccountType, Command, CreateLedger, CreateTransaction, OpenAccount, Text,
};

use crate::files::{AccountRow, OwnSide, TransactionRow};

/// Czech crowns, in hundredths.
pub const ASSET: &str = "CZK/2";

/// The bank's own accounts.
pub const OWN_SIDE: [(OwnSide, &str, AccountType); 6] = [
    (OwnSide::Cash, "bank:cash", AccountType::Asset),
    (OwnSide::Card, "bank:card", AccountType::Asset),
    (OwnSide::OtherBanks, "bank:other-banks", AccountType::Asset),
    (
        OwnSide::InterestPaid,
        "bank:interest-paid",
        AccountType::Expense,
    ),
    (
        OwnSide::InterestEarned,
        "bank:interest-earned",
        AccountType::Income,
    ),
    (OwnSide::Fees, "bank:fees", AccountType::Income),
];

/// The ledger itself.
pub fn create_ledger(ledger: &str) -> Command {
    let create = CreateLedger {
        description: Some(examples::text("PKDD'99: a Czech bank, 1993 and 1994")),
        ..CreateLedger::default()
    };
    command(ledger, "create".into(), Operation::CreateLedger(create))
}

/// One of the bank's own accounts.
pub fn open_own(ledger: &str, name: &str, account_type: AccountType) -> Command {
    open(ledger, name.to_owned(), account_type, BTreeMap::new())
}

/// `customers:OWNER:ACCOUNT`, so that a customer's accounts are `customers:OWNER:*`.
pub fn account_name(row: &AccountRow) -> String {
    format!("customers:{}:{}", row.owner.id, row.id)
}

/// A customer's account.
pub fn open_account(ledger: &str, row: &AccountRow) -> Command {
    let mut metadata = BTreeMap::from([
        ("opened".into(), examples::text(&row.opened.to_string())),
        ("statements".into(), examples::text(row.statements)),
        ("district".into(), number(row.district)),
        ("owner".into(), number(row.owner.id)),
        (
            "owner_born".into(),
            examples::text(&row.owner.born.to_string()),
        ),
        ("owner_district".into(), number(row.owner.district)),
    ]);
    if let Some(disponent) = row.disponent {
        metadata.insert("disponent".into(), number(disponent));
    }
    open(ledger, account_name(row), AccountType::Liability, metadata)
}

/// One row of the bank's transactions.
pub fn create_transaction(ledger: &str, row: &TransactionRow) -> Command {
    let own = OWN_SIDE
        .iter()
        .find_map(|(side, name, _)| (*side == row.own_side).then_some(*name))
        .expect("every own side has its account in the table");
    let (debit, credit) = if row.credit {
        (own, row.account_name.as_str())
    } else {
        (row.account_name.as_str(), own)
    };
    let mut metadata = BTreeMap::new();
    if let Some(purpose) = row.purpose {
        metadata.insert("purpose".into(), examples::text(purpose));
    }
    if let Some((bank, account)) = &row.counterparty {
        metadata.insert("counterparty_bank".into(), examples::text(bank));
        metadata.insert("counterparty_account".into(), examples::text(account));
    }
    let create = CreateTransaction {
        postings: vec![examples::posting(debit, credit, row.amount)],
        effective_at: Some(prost_types::Timestamp {
            seconds: start_of_day(row.date),
            nanos: 0,
        }),
        metadata,
        ..CreateTransaction::default()
    };
    command(
        ledger,
        row.id.to_string(),
        Operation::CreateTransaction(create),
    )
}

/// The last moment of a day, in the engine's microseconds: balances are as of `<=` it.
pub fn end_of_day(date: Date) -> prost_types::Timestamp {
    const SECONDS_A_DAY: i64 = 86_400;
    prost_types::Timestamp {
        seconds: start_of_day(date) + SECONDS_A_DAY - 1,
        nanos: 999_999_000,
    }
}

/// 00:00 UTC.
fn start_of_day(date: Date) -> i64 {
    let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0));
    midnight
        .expect("the bank's dates lie within the years of jiff")
        .as_second()
}

fn open(
    ledger: &str,
    name: String,
    account_type: AccountType,
    metadata: BTreeMap<String, Text>,
) -> Command {
    let key = format!("open:{name}");
    let open = OpenAccount {
        name,
        asset: ASSET.to_owned(),
        r#type: account_type.into(),
        limits: None,
        metadata,
    };
    command(ledger, key, Operation::OpenAccount(open))
}

fn command(ledger: &str, key: String, operation: Operation) -> Command {
    Command {
        idempotency_key: key,
        ledger: ledger.to_owned(),
        operation: Some(operation),
        ..Command::default()
    }
}

fn number(number: u32) -> Text {
    examples::text(&number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_in_utc() {
        let date = Date::constant(1993, 1, 1);
        assert_eq!(start_of_day(date), 725_846_400);
        assert_eq!(end_of_day(date).seconds, 725_932_799);
    }
}
