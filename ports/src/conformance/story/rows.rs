//! The rows that a story folds, one by one.

use super::*;

/// Moves totals; the amounts of a story stay far below the end of `Amount`.
pub(super) fn change(
    totals: &mut Totals,
    account: AccountNumber,
    movement: &Movement,
    released: bool,
) {
    let posting = movement.posting;
    let (posted, pending) = match posting.debit == account {
        true => (&mut totals.debits_posted, &mut totals.debits_pending),
        false => (&mut totals.credits_posted, &mut totals.credits_pending),
    };
    let add = |total: &mut Amount| {
        *total = total
            .checked_add(posting.amount)
            .expect("a story's totals are small");
    };
    match movement.effect {
        TransactionStatus::Posted => add(posted),
        TransactionStatus::Pending => add(pending),
        TransactionStatus::Voided | TransactionStatus::Expired => {}
    }
    if released {
        *pending = pending
            .checked_sub(posting.amount)
            .expect("it was reserved before");
    }
}

pub(super) fn add_day(fold: &mut Fold, now: Now, account: AccountNumber, movement: &Movement) {
    let day = movement.effective_at.utc_day();
    let row = fold
        .days
        .entry((now.index, account, day))
        .or_insert(DayRow {
            ledger: now.index,
            account,
            day,
            debits: Amount::ZERO,
            credits: Amount::ZERO,
            first_ledger_sequence: now.ledger_sequence,
            last_ledger_sequence: 0,
        });
    let sum = match movement.posting.debit == account {
        true => &mut row.debits,
        false => &mut row.credits,
    };
    *sum = sum
        .checked_add(movement.posting.amount)
        .expect("a story's sums are small");
    row.last_ledger_sequence = now.ledger_sequence;
}

pub(super) fn remember<E: std::fmt::Debug>(
    fold: &mut Fold,
    now: Now,
    key: Result<IdempotencyKey, E>,
) {
    let key = key.expect("a right key");
    fold.keys.insert(
        (now.index, key.clone()),
        KeyRow {
            ledger: now.index,
            key,
            entry: entry(now.sequence),
        },
    );
}

pub(super) fn entry(sequence: u64) -> KeyEntry {
    KeyEntry {
        request_hash: [sequence as u8; 16],
        sequence,
    }
}

pub(super) fn hash(sequence: u64) -> RecordHash {
    RecordHash([sequence as u8; 32])
}

/// A UUIDv7 that stands for `sequence`.
pub fn uuid(sequence: u64) -> u128 {
    (u128::from(1_700_000_000_000 + sequence) << 80)
        | (7 << 76)
        | (0b10 << 62)
        | u128::from(sequence.wrapping_mul(0x9e37_79b9) & 0xffff_ffff)
}

pub(super) fn metadata(n: u64) -> Metadata {
    let entries = BTreeMap::from([(Box::from("n"), Text::plain(n.to_string()))]);
    Metadata::new(entries).expect("small enough")
}

pub(super) fn account_terms(
    name: &str,
    asset: &str,
    account_type: AccountType,
    n: u64,
) -> AccountTerms {
    AccountTerms {
        name: AccountName::new(name).expect("a right name"),
        asset: Asset::parse(asset).expect("a right asset"),
        account_type,
        limits: Limits {
            minimum: Some(-(n as i128)),
            ..Limits::default()
        },
        metadata: metadata(n),
    }
}
