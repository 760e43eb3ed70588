//! Taking a posted transaction back, in part or whole.

use crate::command::ReverseTransaction;
use crate::event::{Event, TransactionReversed};
use crate::ledger::case::{Case, Found};
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::transaction::judge::{First, Judged};
use crate::transaction::moves::Moves;
use crate::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus, parts,
};

/// Decides [`ReverseTransaction`]. Balance limits are judged, per-transaction and velocity
/// limits are not: a reversal takes flow back that was judged when it was made, gives nothing
/// back to velocity counters and counts nothing in them.
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &ReverseTransaction,
) -> Result<Event, Rejection> {
    let found = case.find(asked.original)?;
    case.judge_conditions()?;
    let refused = |kind: &str| {
        Rejection::new(Code::TransactionNotReversible)
            .with("transaction", asked.original)
            .with("kind", kind)
    };
    let mut original = match found {
        Found::Open(_) => return Err(refused("hold")),
        Found::Ended(transaction) => match transaction.kind {
            TransactionKind::Hold(_) => return Err(refused("hold")),
            TransactionKind::Reversal(_) => return Err(refused("reversal")),
            TransactionKind::Direct | TransactionKind::Capture(_) => *transaction,
        },
    };
    let effective_at = case.effective_at(asked.effective_at);
    case.judge_period(effective_at)?;
    let taken = parts::asked_or_all(&original, &asked.amounts, |i| original.reversible(i))?;
    let postings: Vec<Posting> = parts::postings_of(&original, &taken)
        .iter()
        .map(mirrored)
        .collect();
    let mut first = First::default();
    for ((index, _), posting) in taken.iter().zip(&postings) {
        case.judge_accounts(*index as usize, posting, &mut first);
    }
    first.into_result()?;
    parts::judge_left(
        &original,
        &taken,
        |index| original.reversible(index),
        Code::ReversalExceedsOriginal,
    )?;
    if taken.is_empty() {
        return Err(Rejection::new(Code::NothingToReverse).with("transaction", asked.original));
    }
    let mut moves = Moves::new(postings.len());
    for posting in &postings {
        moves
            .reverse(case.books, posting)
            .map_err(|unmovable| case.refuse_move(unmovable))?;
    }
    if asked.limits == LimitsMode::Enforce {
        case.judge_limits(&moves, Judged::Balances)?;
    }
    parts::advance(&mut original, &taken, |progress| &mut progress.reversed);
    original.version += 1;
    let reversal = Transaction {
        id: case.transaction_id(),
        status: TransactionStatus::Posted,
        kind: TransactionKind::Reversal(asked.original),
        effective_at,
        postings,
        progress: Vec::new(),
        sources: taken.iter().map(|(index, _)| *index).collect(),
        description: asked.description.clone(),
        metadata: asked.metadata.clone(),
        limits: asked.limits.clone(),
        version: 1,
    };
    Ok(Event::TransactionReversed(TransactionReversed {
        reversal,
        original,
        balances: moves.balances(),
    }))
}

/// The posting that takes `posting` back.
pub(crate) fn mirrored(posting: &Posting) -> Posting {
    Posting {
        debit: posting.credit,
        credit: posting.debit,
        amount: posting.amount,
    }
}
