//! Posting a transaction or making a hold.

use crate::account::AccountNumber;
use crate::amount::Amount;
use crate::command::{AmountSpec, CreateTransaction};
use crate::event::{Event, TransactionCreated};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::transaction::judge::{First, Judged};
use crate::transaction::moves::{Moves, Stage};
use crate::transaction::{LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus};

/// Decides [`CreateTransaction`].
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &CreateTransaction,
) -> Result<Event, Rejection> {
    let mut postings = Vec::with_capacity(asked.postings.len());
    for (index, spec) in asked.postings.iter().enumerate() {
        let number = |account| -> Result<AccountNumber, Rejection> {
            let found = case.account(account);
            Ok(found.map_err(|r| r.with("posting", index))?.number)
        };
        postings.push(Posting {
            debit: number(&spec.debit)?,
            credit: number(&spec.credit)?,
            amount: Amount::ZERO,
        });
    }
    case.judge_conditions()?;
    let effective_at = case.effective_at(asked.effective_at);
    case.judge_period(effective_at)?;
    if let Some(expires_at) = asked.hold.and_then(|terms| terms.expires_at)
        && expires_at <= case.at.recorded_at
    {
        return Err(Rejection::new(Code::ExpiryInPast)
            .with("expires_at", expires_at)
            .with("now", case.at.recorded_at));
    }
    judge_postings(case, asked, &postings)?;

    let (kind, status, stage) = match asked.hold {
        None => (
            TransactionKind::Direct,
            TransactionStatus::Posted,
            Stage::Posted,
        ),
        Some(terms) => (
            TransactionKind::Hold(terms),
            TransactionStatus::Pending,
            Stage::Pending,
        ),
    };
    let enforced = asked.limits == LimitsMode::Enforce;
    let mut moves = Moves::new(postings.len());
    for (spec, posting) in asked.postings.iter().zip(&mut postings) {
        posting.amount = match spec.amount {
            AmountSpec::Exact(amount) => amount,
            AmountSpec::UpTo { most, at_least } if enforced => {
                case.room(&mut moves, posting, most, at_least)?
            }
            AmountSpec::UpTo { most, .. } => most,
        };
        moves
            .create(case.books, posting, stage)
            .map_err(|unmovable| case.refuse_move(unmovable))?;
    }
    if enforced {
        case.judge_limits(&moves, Judged::All)?;
    }
    Ok(Event::TransactionCreated(TransactionCreated {
        transaction: Transaction {
            id: case.transaction_id(),
            status,
            kind,
            effective_at,
            postings,
            progress: Vec::new(),
            sources: Vec::new(),
            description: asked.description.clone(),
            metadata: asked.metadata.clone(),
            limits: asked.limits.clone(),
            version: 1,
        },
        balances: moves.balances(),
    }))
}

/// What can be said of the postings before any amount is moved. The first code over all postings
/// wins, the earliest posting where codes are the same.
fn judge_postings<B: Books>(
    case: &Case<'_, B>,
    asked: &CreateTransaction,
    postings: &[Posting],
) -> Result<(), Rejection> {
    let over_capture = asked.hold.and_then(|terms| terms.over_capture_up_to);
    let mut first = First::default();
    for (index, (spec, posting)) in asked.postings.iter().zip(postings).enumerate() {
        let (most, at_least) = match spec.amount {
            AmountSpec::Exact(amount) => (amount, amount),
            AmountSpec::UpTo { most, at_least } => (most, at_least),
        };
        if most.is_zero() {
            first.note(Code::AmountNotPositive, |r| r.with("posting", index));
        }
        if at_least > most {
            first.note(Code::AmountSpecInvalid, |r| {
                r.with("problem", "at_least is more than most")
                    .with("posting", index)
            });
        }
        if let Some(up_to) = over_capture {
            if asked.postings.len() > 1 {
                first.note(Code::AmountSpecInvalid, |r| {
                    r.with("problem", "over_capture_up_to needs a single posting")
                });
            } else if up_to < most {
                first.note(Code::AmountSpecInvalid, |r| {
                    r.with("problem", "over_capture_up_to is less than the hold")
                        .with("posting", index)
                });
            }
        }
        let debit = case.known(posting.debit);
        if posting.debit == posting.credit {
            first.note(Code::SameAccount, |r| {
                r.with("account", &debit.terms.name).with("posting", index)
            });
        }
        let (debit_asset, credit_asset) =
            (debit.terms.asset, case.known(posting.credit).terms.asset);
        if debit_asset != credit_asset || spec.asset.is_some_and(|asset| asset != debit_asset) {
            first.note(Code::AssetMismatch, |r| {
                let r = r
                    .with("debit_asset", debit_asset)
                    .with("credit_asset", credit_asset);
                match spec.asset {
                    Some(asset) => r.with("asset", asset),
                    None => r,
                }
                .with("posting", index)
            });
        }
        case.judge_accounts(index, posting, &mut first);
    }
    first.into_result()
}
