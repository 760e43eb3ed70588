//! Lines: one movement on one account, as postings and statements show it.

use ledger_core::account::{Account, AccountNumber, NormalSide};
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::TransactionKind;
use ports::projection::{HistoryRow, Movement};
use schemas::api::view;
use schemas::error::Fault;
use schemas::proto::v1;

use crate::{QueryApi, fail};

/// A movement and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) ledger_sequence: u64,
    pub(crate) recorded_at: Timestamp,
    /// Which movement of its row.
    pub(crate) index: u64,
    pub(crate) movement: Movement,
    /// The posted balance after it, of a statement.
    pub(crate) balance: Option<i128>,
}

impl Line {
    /// The lines of `row`, in order.
    pub(crate) fn of(row: &HistoryRow) -> impl DoubleEndedIterator<Item = Self> + '_ {
        let lines = row.movements.iter().enumerate();
        lines.map(|(index, movement)| Self {
            ledger_sequence: row.ledger_sequence,
            recorded_at: row.recorded_at,
            index: index as u64,
            movement: *movement,
            balance: None,
        })
    }

    /// What it adds to the balance of `account`, on its normal side.
    pub(crate) fn change(&self, account: &Account) -> i128 {
        let amount = self.movement.posting.amount.minor_units() as i128;
        let debits = self.movement.posting.debit == account.number;
        if debits == (account.normal_side() == NormalSide::Debit) {
            amount
        } else {
            -amount
        }
    }
}

impl QueryApi {
    /// Lines of `account` as replies show them.
    pub(crate) async fn lines(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        lines: &[Line],
    ) -> Result<Vec<v1::PostingLine>, Fault> {
        let counter = |line: &Line| {
            let posting = line.movement.posting;
            if posting.debit == account {
                (v1::Direction::Debit, posting.credit)
            } else {
                (v1::Direction::Credit, posting.debit)
            }
        };
        let names = self
            .names(ledger, lines.iter().map(|line| counter(line).1))
            .await?;
        let ids: Vec<TransactionId> = lines.iter().map(|line| line.movement.transaction).collect();
        let transactions = self
            .views()
            .transactions_by_id(ledger, &ids)
            .await
            .map_err(fail::views)?;
        let mut shown = Vec::with_capacity(lines.len());
        for (line, transaction) in lines.iter().zip(transactions) {
            let Some(transaction) = transaction else {
                return Err(Fault::ReadModelsUnusable {
                    why: format!(
                        "transaction {} of ledger {ledger} is missing",
                        line.movement.transaction
                    ),
                });
            };
            let transaction = transaction.transaction;
            let (capture_of, reversal_of) = match transaction.kind {
                TransactionKind::Capture(hold) => (hold.to_string(), String::new()),
                TransactionKind::Reversal(original) => (String::new(), original.to_string()),
                TransactionKind::Direct | TransactionKind::Hold(_) => Default::default(),
            };
            let (direction, counter) = counter(line);
            shown.push(v1::PostingLine {
                transaction_id: transaction.id.to_string(),
                ledger_sequence: line.ledger_sequence,
                effective_at: Some(view::timestamp(line.movement.effective_at)),
                recorded_at: Some(view::timestamp(line.recorded_at)),
                direction: direction.into(),
                amount: line.movement.posting.amount.to_string(),
                counter_account: names.name(counter),
                status: view::transaction_status(line.movement.effect).into(),
                description: transaction.description.as_ref().map(view::text),
                capture_of,
                reversal_of,
                balance: line.balance.map(|b| b.to_string()).unwrap_or_default(),
            });
        }
        Ok(shown)
    }
}
