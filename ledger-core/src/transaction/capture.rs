//! Taking from a hold.

use crate::command::CaptureTransaction;
use crate::event::{Event, TransactionCaptured};
use crate::key::TransactionId;
use crate::ledger::case::{Case, Found};
use crate::ledger::holds::Hold;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::transaction::moves::Moves;
use crate::transaction::{LimitsMode, Transaction, TransactionKind, TransactionStatus, parts};

/// Decides [`CaptureTransaction`]. No limit is judged: the hold was, and what is taken over it
/// passes all limits by its terms. Frozen accounts let captures in.
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &CaptureTransaction,
) -> Result<Event, Rejection> {
    let found = case.find(asked.hold)?;
    case.judge_conditions()?;
    let before = &open_hold(case, asked.hold, &found)?.transaction;
    let effective_at = case.effective_at(asked.effective_at);
    case.judge_period(effective_at)?;
    let taken = parts::asked_or_all(before, &asked.amounts, |i| before.remaining(i))?;
    parts::judge_left(
        before,
        &taken,
        |index| before.capturable(index),
        Code::CaptureExceedsHold,
    )?;
    if taken.is_empty() {
        return Err(Rejection::new(Code::NothingToCapture).with("transaction", asked.hold));
    }
    let mut hold = before.clone();
    parts::advance(&mut hold, &taken, |progress| &mut progress.captured);
    hold.version += 1;
    let more = (0..hold.postings.len()).any(|index| !hold.capturable(index).is_zero());
    if asked.is_final || !more {
        hold.status = TransactionStatus::Posted;
    }
    let capture = Transaction {
        id: case.transaction_id(),
        status: TransactionStatus::Posted,
        kind: TransactionKind::Capture(asked.hold),
        effective_at,
        postings: parts::postings_of(before, &taken),
        progress: Vec::new(),
        sources: taken.iter().map(|(index, _)| *index).collect(),
        description: asked.description.clone(),
        metadata: asked.metadata.clone(),
        limits: LimitsMode::Enforce,
        version: 1,
    };
    let mut moves = Moves::new(capture.postings.len());
    moves
        .capture(case.books, before, &capture, &hold)
        .map_err(|unmovable| case.refuse_move(unmovable))?;
    Ok(Event::TransactionCaptured(TransactionCaptured {
        capture,
        hold,
        balances: moves.balances(),
    }))
}

/// The hold that was found, where it is open and its time has not come.
pub(crate) fn open_hold<'a, B: Books>(
    case: &Case<'_, B>,
    id: TransactionId,
    found: &Found<'a>,
) -> Result<&'a Hold, Rejection> {
    let refused = |code| Err(Rejection::new(code).with("transaction", id));
    match found {
        Found::Open(hold) => match hold.expires_at() {
            // Whatever a timer did: a hold is over at its time.
            Some(expires_at) if expires_at <= case.at.recorded_at => {
                Err(Rejection::new(Code::HoldExpired)
                    .with("transaction", id)
                    .with("expires_at", expires_at))
            }
            _ => Ok(hold),
        },
        Found::Ended(transaction) => match (&transaction.kind, transaction.status) {
            (TransactionKind::Hold(_), TransactionStatus::Voided) => {
                refused(Code::HoldAlreadyVoided)
            }
            (TransactionKind::Hold(terms), TransactionStatus::Expired) => {
                let refusal = Rejection::new(Code::HoldExpired).with("transaction", id);
                Err(match terms.expires_at {
                    Some(expires_at) => refusal.with("expires_at", expires_at),
                    None => refusal,
                })
            }
            (TransactionKind::Hold(_), _) => refused(Code::HoldAlreadyPosted),
            _ => refused(Code::TransactionNotAHold),
        },
    }
}
