//! Releasing what is left of a hold: by command, or because its time has come.

use crate::command::VoidTransaction;
use crate::event::{Event, TransactionReleased};
use crate::key::TransactionId;
use crate::ledger::case::{Case, Found};
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::text::Text;
use crate::transaction::capture::open_hold;
use crate::transaction::moves::Moves;
use crate::transaction::{Transaction, TransactionStatus};

/// Decides [`VoidTransaction`].
pub(crate) fn void<B: Books>(
    case: &Case<'_, B>,
    asked: &VoidTransaction,
) -> Result<Event, Rejection> {
    let found = case.find(asked.hold)?;
    case.judge_conditions()?;
    let hold = open_hold(case, asked.hold, &found)?;
    release(case, &hold.transaction, false, asked.reason.clone())
}

/// Decides `ExpireHold`, which the engine says when a hold is due.
pub(crate) fn expire<B: Books>(case: &Case<'_, B>, id: TransactionId) -> Result<Event, Rejection> {
    let found = case.find(id)?;
    case.judge_conditions()?;
    if let Found::Open(hold) = &found {
        return match hold.expires_at() {
            Some(expires_at) if expires_at <= case.at.recorded_at => {
                release(case, &hold.transaction, true, None)
            }
            _ => Err(Rejection::new(Code::CommandInvalid).with("problem", "the hold is not due")),
        };
    }
    // It ended, or is none: this says which.
    let hold = open_hold(case, id, &found)?;
    release(case, &hold.transaction, true, None)
}

fn release<B: Books>(
    case: &Case<'_, B>,
    before: &Transaction,
    expired: bool,
    reason: Option<Text>,
) -> Result<Event, Rejection> {
    let mut moves = Moves::new(before.postings.len());
    moves
        .release(case.books, before)
        .map_err(|unmovable| case.refuse_move(unmovable))?;
    let mut hold = before.clone();
    hold.status = status_after(before, expired);
    hold.version += 1;
    Ok(Event::TransactionReleased(TransactionReleased {
        hold,
        expired,
        reason,
        balances: moves.balances(),
    }))
}

/// How a hold ends that is released.
pub(crate) fn status_after(before: &Transaction, expired: bool) -> TransactionStatus {
    match (before.was_captured(), expired) {
        (true, _) => TransactionStatus::Posted,
        (false, true) => TransactionStatus::Expired,
        (false, false) => TransactionStatus::Voided,
    }
}
