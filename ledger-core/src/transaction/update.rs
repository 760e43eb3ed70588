//! Changing a transaction's words. Its postings never change.

use crate::command::UpdateTransaction;
use crate::event::{Event, TransactionUpdated};
use crate::ledger::case::{Case, Found};
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};

/// Decides [`UpdateTransaction`].
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &UpdateTransaction,
) -> Result<Event, Rejection> {
    let mut transaction = match case.find(asked.transaction)? {
        Found::Open(hold) => hold.transaction.clone(),
        Found::Ended(transaction) => *transaction,
    };
    if let Some(expected) = asked.expected_version
        && expected != transaction.version
    {
        return Err(Rejection::new(Code::VersionConflict)
            .with("transaction", asked.transaction)
            .with("expected", expected)
            .with("actual", transaction.version));
    }
    case.judge_conditions()?;
    transaction.metadata = case.change_metadata(&asked.metadata, &transaction.metadata)?;
    if let Some(description) = &asked.description {
        transaction.description.clone_from(description);
    }
    transaction.version += 1;
    Ok(Event::TransactionUpdated(TransactionUpdated {
        transaction,
    }))
}
