//! Closing and reopening the books of a ledger.

use crate::command::{CloseBooks, ReopenBooks};
use crate::event::{BooksChanged, Event, LedgerTerms};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};

/// Decides [`CloseBooks`].
pub(crate) fn close<B: Books>(
    case: &Case<'_, B>,
    terms: &LedgerTerms,
    asked: &CloseBooks,
) -> Result<Event, Rejection> {
    case.judge_conditions()?;
    let closed = case.books.closed_through();
    let refusal = || Rejection::new(Code::BooksCloseNotForward).with("through", asked.through);
    if let Some(closed) = closed
        && asked.through <= closed
    {
        return Err(refusal().with("closed_through", closed));
    }
    if asked.through > case.at.recorded_at {
        return Err(refusal().with("now", case.at.recorded_at));
    }
    Ok(Event::BooksChanged(BooksChanged {
        closed_through: Some(asked.through),
        reason: asked.reason.clone(),
        version: terms.version + 1,
    }))
}

/// Decides [`ReopenBooks`].
pub(crate) fn reopen<B: Books>(
    case: &Case<'_, B>,
    terms: &LedgerTerms,
    asked: &ReopenBooks,
) -> Result<Event, Rejection> {
    case.judge_conditions()?;
    let refusal = Rejection::new(Code::BooksNotClosed);
    match (case.books.closed_through(), asked.through) {
        (None, _) => return Err(refusal),
        (Some(closed), Some(through)) if through >= closed => {
            return Err(refusal
                .with("through", through)
                .with("closed_through", closed));
        }
        _ => {}
    }
    Ok(Event::BooksChanged(BooksChanged {
        closed_through: asked.through,
        reason: Some(asked.reason.clone()),
        version: terms.version + 1,
    }))
}
