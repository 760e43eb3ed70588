//! Transactions as they are shown.

use anstyle::Style;
use schemas::proto::v1::*;

use super::options::{shown, shown_metadata};
use crate::client::output::{self, CYAN, DIM, GREEN, Table, YELLOW, cell};
use crate::client::{moment, money};

/// `posted`.
pub fn status_name(status: TransactionStatus) -> String {
    status
        .as_str_name()
        .trim_start_matches("TRANSACTION_STATUS_")
        .to_lowercase()
}

/// The colour of a status.
pub fn status_style(status: TransactionStatus) -> Style {
    match status {
        TransactionStatus::Posted => GREEN,
        TransactionStatus::Pending => YELLOW,
        _ => DIM,
    }
}

fn kind(transaction: &Transaction) -> &'static str {
    if !transaction.capture_of.is_empty() {
        "capture"
    } else if !transaction.reversal_of.is_empty() {
        "reversal"
    } else if transaction.hold.is_some() {
        "hold"
    } else {
        ""
    }
}

/// The postings of a transaction.
pub fn postings(transaction: &Transaction) {
    let done: Vec<_> = transaction.postings.iter().map(done).collect();
    let mut heads = vec!["debit", "credit", ">amount", ">minor units"];
    let with_done = done.iter().any(|text| !text.is_empty());
    if with_done {
        heads.push("of which");
    }
    let mut table = Table::new(&heads);
    for (posting, done) in transaction.postings.iter().zip(done) {
        let mut row = vec![
            cell(CYAN, &posting.debit),
            cell(CYAN, &posting.credit),
            money::human(&posting.amount, &posting.asset).into(),
            cell(DIM, &posting.amount),
        ];
        if with_done {
            row.push(done.into());
        }
        table.row(row);
    }
    if !table.is_empty() {
        output::line(table.render());
    }
}

fn done(posting: &Posting) -> String {
    [
        ("captured", &posting.captured),
        ("reversed", &posting.reversed),
    ]
    .into_iter()
    .filter(|(_, minor)| !matches!(minor.as_str(), "" | "0"))
    .map(|(what, minor)| format!("{} {what}", money::human(minor, &posting.asset)))
    .collect::<Vec<_>>()
    .join(", ")
}

/// All of a transaction.
pub fn show(transaction: &Transaction) {
    let hold = transaction.hold.clone().unwrap_or_default();
    let asset = transaction
        .postings
        .first()
        .map(|p| p.asset.clone())
        .unwrap_or_default();
    let over_capture = match hold.over_capture_up_to.as_str() {
        "" => String::new(),
        minor => money::both(minor, &asset),
    };
    output::fields(&[
        ("transaction", transaction.id.clone()),
        ("status", status_name(transaction.status())),
        ("kind", kind(transaction).to_owned()),
        ("capture of", transaction.capture_of.clone()),
        ("reversal of", transaction.reversal_of.clone()),
        ("expires", moment::exact(hold.expires_at.as_ref())),
        ("over-capture up to", over_capture),
        (
            "effective",
            moment::exact(transaction.effective_at.as_ref()),
        ),
        ("recorded", moment::exact(transaction.recorded_at.as_ref())),
        (
            "record",
            format!(
                "{} of ledger {}",
                transaction.ledger_sequence, transaction.ledger
            ),
        ),
        ("description", shown(transaction.description.as_ref())),
        ("metadata", shown_metadata(&transaction.metadata)),
        (
            "limits passed by",
            shown(transaction.record_only_reason.as_ref()),
        ),
        ("key", transaction.idempotency_key.clone()),
        ("version", transaction.version.to_string()),
    ]);
    postings(transaction);
}

/// Transactions, a line for each posting.
pub fn table(transactions: &[Transaction]) -> Table {
    let mut table = Table::new(&[
        "effective",
        "status",
        "kind",
        "debit",
        "credit",
        ">amount",
        "description",
        "transaction",
    ]);
    for transaction in transactions {
        for (index, posting) in transaction.postings.iter().enumerate() {
            let first = |text: String| if index == 0 { text } else { String::new() };
            table.row(vec![
                first(moment::short(transaction.effective_at.as_ref())).into(),
                cell(
                    status_style(transaction.status()),
                    first(status_name(transaction.status())),
                ),
                first(kind(transaction).to_owned()).into(),
                cell(CYAN, &posting.debit),
                cell(CYAN, &posting.credit),
                money::human(&posting.amount, &posting.asset).into(),
                first(shown(transaction.description.as_ref())).into(),
                cell(DIM, first(transaction.id.clone())),
            ]);
        }
    }
    table
}
