//! Receipts, and accounts before and after.

use schemas::proto::v1::*;

use crate::client::money;
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN, Table, YELLOW, cell, paint};

/// Says what was done, and under which key and number it stands in the log.
pub fn headline(what: &str, object: &str, receipt: &Receipt) {
    if receipt.ledger_sequence == 0 {
        output::line(format!(
            "{YELLOW}dry run{YELLOW:#}: would have {what} {BOLD}{object}{BOLD:#}; nothing was recorded"
        ));
        return;
    }
    let repeated = match receipt.repeated {
        true => paint(YELLOW, " (repeated: decided before under this key)"),
        false => String::new(),
    };
    output::line(format!(
        "{GREEN}{what}{GREEN:#} {BOLD}{object}{BOLD:#}{repeated}"
    ));
    output::line(format!(
        "  {DIM}record {} of ledger {}, key {}{DIM:#}",
        receipt.ledger_sequence, receipt.ledger, receipt.idempotency_key
    ));
}

/// The accounts as they were and as they are, or would be.
pub fn before_and_after(before: &[Account], after: &[Balance]) {
    let mut table = Table::new(&[
        "account",
        ">posted before",
        ">posted after",
        ">available before",
        ">available after",
    ]);
    for balance in after {
        let old = before
            .iter()
            .find(|account| account.name == balance.account)
            .and_then(|account| account.balance.as_ref());
        let shown = |minor: &str| money::human(minor, &balance.asset);
        table.row(vec![
            cell(CYAN, &balance.account),
            old.map(|b| shown(&b.posted)).unwrap_or_default().into(),
            cell(BOLD, shown(&balance.posted)),
            old.map(|b| shown(&b.available)).unwrap_or_default().into(),
            cell(BOLD, shown(&balance.available)),
        ]);
    }
    if !table.is_empty() {
        output::line(table.render());
    }
}

/// Balances after a command.
pub fn balances(after: &[Balance]) {
    let mut table = Table::new(&["account", ">posted", ">pending", ">available"]);
    for balance in after {
        let shown = |minor: &str| money::human(minor, &balance.asset);
        table.row(vec![
            cell(CYAN, &balance.account),
            cell(BOLD, shown(&balance.posted)),
            shown(&balance.pending).into(),
            shown(&balance.available).into(),
        ]);
    }
    if !table.is_empty() {
        output::line(table.render());
    }
}
