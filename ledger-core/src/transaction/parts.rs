//! Which parts of a transaction's postings a capture or reversal asks for.

use crate::amount::Amount;
use crate::rejection::{Code, Rejection};
use crate::transaction::judge::First;
use crate::transaction::{Posting, Transaction};

/// The amounts asked for by posting: those given, or all that `left` says where none are given.
/// Indexes are checked, amounts are not yet held against what is left.
pub(crate) fn asked_or_all(
    of: &Transaction,
    given: &[(u32, Amount)],
    left: impl Fn(usize) -> Amount,
) -> Result<Vec<(u32, Amount)>, Rejection> {
    if given.is_empty() {
        return Ok((0..of.postings.len())
            .map(|index| (index as u32, left(index)))
            .filter(|(_, amount)| !amount.is_zero())
            .collect());
    }
    let mut first = First::default();
    let mut named = vec![false; of.postings.len()];
    for (index, amount) in given {
        match named.get_mut(*index as usize) {
            Some(again) if !*again => *again = true,
            _ => first.note(Code::PostingIndexInvalid, |r| r.with("posting", index)),
        }
        if amount.is_zero() {
            first.note(Code::AmountNotPositive, |r| r.with("posting", index));
        }
    }
    first.into_result()?;
    Ok(given.to_vec())
}

/// No part is more than what is left of its posting.
pub(crate) fn judge_left(
    of: &Transaction,
    parts: &[(u32, Amount)],
    left: impl Fn(usize) -> Amount,
    code: Code,
) -> Result<(), Rejection> {
    for (index, amount) in parts {
        let left = left(*index as usize);
        if *amount > left {
            return Err(Rejection::new(code)
                .with("transaction", of.id)
                .with("posting", index)
                .with("left", left)
                .with("required", amount));
        }
    }
    Ok(())
}

/// The postings that take these parts, in the direction of `of`.
pub(crate) fn postings_of(of: &Transaction, parts: &[(u32, Amount)]) -> Vec<Posting> {
    parts
        .iter()
        .map(|(index, amount)| Posting {
            amount: *amount,
            ..of.postings[*index as usize]
        })
        .collect()
}

/// Adds the parts to what has happened to the postings of `of`.
pub(crate) fn advance(
    of: &mut Transaction,
    parts: &[(u32, Amount)],
    pick: impl Fn(&mut crate::transaction::Progress) -> &mut Amount,
) {
    of.progress.resize(of.postings.len(), Default::default());
    for (index, amount) in parts {
        let sum = pick(&mut of.progress[*index as usize]);
        *sum = sum
            .checked_add(*amount)
            .expect("parts are held against what is left first");
    }
}
