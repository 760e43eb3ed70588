//! Digests of account history. The rows stand in a store of their own; what was written there
//! for an account is told from anything else by their number and the XOR of their hashes, which
//! does not depend on the stretches that they came in.

use std::collections::BTreeMap;

use ledger_core::account::AccountNumber;
use ledger_core::transaction::TransactionStatus;
use ports::projection::{HistoryRow, LedgerIndex};

/// The digest of some rows of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Digest {
    /// How many.
    pub(crate) rows: i64,
    /// XOR of the first 64 bits of each one's BLAKE3.
    pub(crate) xor: i64,
}

/// The digests of `rows`, by account.
pub(crate) fn digests(rows: &[HistoryRow]) -> BTreeMap<(LedgerIndex, AccountNumber), Digest> {
    let mut found = BTreeMap::<_, Digest>::new();
    let mut bytes = Vec::with_capacity(256);
    for row in rows {
        bytes.clear();
        put(&mut bytes, row);
        let hash = schemas::record::hash(&bytes).0;
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        let digest = found.entry((row.ledger, row.account)).or_default();
        digest.rows += 1;
        digest.xor ^= i64::from_be_bytes(first);
    }
    found
}

/// The form that is hashed: every field in order, big-endian, of fixed width.
fn put(out: &mut Vec<u8>, row: &HistoryRow) {
    out.extend_from_slice(&row.account.0.to_be_bytes());
    out.extend_from_slice(&row.ledger_sequence.to_be_bytes());
    out.extend_from_slice(&row.recorded_at.micros().to_be_bytes());
    out.extend_from_slice(&row.version.to_be_bytes());
    let totals = &row.totals;
    for total in [
        totals.debits_posted,
        totals.credits_posted,
        totals.debits_pending,
        totals.credits_pending,
    ] {
        out.extend_from_slice(&total.minor_units().to_be_bytes());
    }
    for movement in &row.movements {
        out.extend_from_slice(&movement.transaction.0.to_be_bytes());
        out.extend_from_slice(&movement.effective_at.micros().to_be_bytes());
        out.push(match movement.effect {
            TransactionStatus::Posted => 1,
            TransactionStatus::Pending => 2,
            TransactionStatus::Voided => 3,
            TransactionStatus::Expired => 4,
        });
        out.extend_from_slice(&movement.posting.debit.0.to_be_bytes());
        out.extend_from_slice(&movement.posting.credit.0.to_be_bytes());
        out.extend_from_slice(&movement.posting.amount.minor_units().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use ports::conformance::story::Story;
    use schemas::record::LogId;

    use super::*;

    #[test]
    fn digests_do_not_depend_on_stretches_and_show_any_change() {
        let mut story = Story::new(LogId([1; 16]), 5, &["a", "b"]);
        let mut rows = story.step(10, 20).changes.history;
        let whole = digests(&rows);
        let mut parts = BTreeMap::<_, Digest>::new();
        for part in rows.chunks(7) {
            for (key, digest) in digests(part) {
                let sum = parts.entry(key).or_default();
                sum.rows += digest.rows;
                sum.xor ^= digest.xor;
            }
        }
        assert_eq!(whole, parts);
        rows[3].movements[0].posting.debit.0 ^= 1;
        assert_ne!(whole, digests(&rows));
    }
}
