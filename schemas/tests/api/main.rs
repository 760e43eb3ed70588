//! The API and ledger-core: what comes in is parsed or refused by field, what goes out says what
//! core says.

mod errors;
mod malformed;
mod packed;
mod parse;
mod shown;

use prost_types::Timestamp;
use schemas::proto::v1;

/// A command with nothing wrong: a transfer of 12.50.
fn transfer() -> v1::Command {
    v1::Command {
        idempotency_key: "01970000-0000-7000-8000-000000000001".to_owned(),
        ledger: "main".to_owned(),
        operation: Some(v1::command::Operation::CreateTransaction(
            v1::CreateTransaction {
                postings: vec![posting("customers:42", "customers:43", "1250")],
                ..v1::CreateTransaction::default()
            },
        )),
        ..v1::Command::default()
    }
}

fn posting(debit: &str, credit: &str, amount: &str) -> v1::PostingSpec {
    v1::PostingSpec {
        debit: debit.to_owned(),
        credit: credit.to_owned(),
        asset: String::new(),
        amount_spec: Some(v1::posting_spec::AmountSpec::Amount(amount.to_owned())),
    }
}

fn plain(text: &str) -> v1::Text {
    v1::Text {
        text: Some(v1::text::Text::Plain(text.to_owned())),
    }
}

fn with(operation: v1::command::Operation) -> v1::Command {
    v1::Command {
        operation: Some(operation),
        ..transfer()
    }
}

fn instant(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}
