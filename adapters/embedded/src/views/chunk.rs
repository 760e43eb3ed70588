//! Rows of `history`: records of one account, one after another, packed.
//!
//! A row per record and account would be most of all rows and bytes of the read models, and most
//! of the time that it takes to write them. So what a stretch did to an account is packed into
//! one row (or some, where it is much): a version byte, then per record, numbers as LEB128 and
//! differences to the record before (signed ones zigzag):
//!
//! - difference of the ledger sequence, of `recorded_at` and of the version;
//! - differences of the four totals;
//! - the number of movements; of each: 16 bytes of the transaction's id, `effective_at` less
//!   `recorded_at`, a byte of effect and side, the other account, the amount.

use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::key::TransactionId;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Posting, TransactionStatus};
use ports::projection::{HistoryRow, LedgerIndex, Movement, ProjectionError};

use super::values::{transaction_status, unusable};

/// A row is closed when it has so many bytes. A page keeps a quarter of itself of one row; more
/// would go to pages of its own.
const BYTES_FULL: usize = 700;

/// Version of this encoding.
const VERSION: u8 = 1;

/// The account is the debit side of the posting (otherwise the credit side).
const DEBIT: u8 = 0x10;
/// Neither side is the account: both follow.
const BOTH: u8 = 0x20;

/// One row of `history`.
pub(super) struct Chunk {
    pub(super) ledger: LedgerIndex,
    pub(super) account: AccountNumber,
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) first_recorded_at: Timestamp,
    pub(super) records: Vec<u8>,
}

/// Packs `rows`, which are sorted by (ledger, account, ledger sequence).
pub(super) fn chunks(rows: Vec<HistoryRow>) -> impl Iterator<Item = Chunk> {
    let mut rows = rows.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = rows.next()?;
        let mut packer = Packer::default();
        packer.push(&first);
        let mut last_sequence = first.ledger_sequence;
        while packer.bytes.len() < BYTES_FULL
            && let Some(row) = rows.next_if(|row| {
                row.ledger == first.ledger
                    && row.account == first.account
                    && row.ledger_sequence > last_sequence
            })
        {
            packer.push(&row);
            last_sequence = row.ledger_sequence;
        }
        Some(Chunk {
            ledger: first.ledger,
            account: first.account,
            first_sequence: first.ledger_sequence,
            last_sequence,
            first_recorded_at: first.recorded_at,
            records: packer.bytes,
        })
    })
}

/// The record before, which differences are taken to.
#[derive(Default)]
struct Before {
    sequence: u64,
    recorded_at: i64,
    version: u64,
    totals: [i128; 4],
}

#[derive(Default)]
struct Packer {
    before: Before,
    bytes: Vec<u8>,
}

impl Packer {
    fn push(&mut self, row: &HistoryRow) {
        if self.bytes.is_empty() {
            self.bytes.reserve(96);
            self.bytes.push(VERSION);
        }
        let recorded_at = row.recorded_at.micros();
        let totals = signed(&row.totals);
        let (out, before) = (&mut self.bytes, &self.before);
        put(
            out,
            u128::from(row.ledger_sequence.wrapping_sub(before.sequence)),
        );
        put_signed(
            out,
            i128::from(recorded_at) - i128::from(before.recorded_at),
        );
        put(out, u128::from(row.version.wrapping_sub(before.version)));
        for (total, before) in totals.iter().zip(before.totals) {
            put_signed(out, total - before);
        }
        put(out, row.movements.len() as u128);
        for movement in &row.movements {
            put_movement(out, row.account, recorded_at, movement);
        }
        self.before = Before {
            sequence: row.ledger_sequence,
            recorded_at,
            version: row.version,
            totals,
        };
    }
}

fn put_movement(out: &mut Vec<u8>, account: AccountNumber, recorded_at: i64, movement: &Movement) {
    out.extend_from_slice(&movement.transaction.0.to_be_bytes());
    let effective_at = movement.effective_at.micros();
    put_signed(out, i128::from(effective_at) - i128::from(recorded_at));
    let effect = transaction_status(movement.effect) as u8;
    let posting = &movement.posting;
    if posting.debit == account {
        out.push(effect | DEBIT);
        put(out, u128::from(posting.credit.0));
    } else if posting.credit == account {
        out.push(effect);
        put(out, u128::from(posting.debit.0));
    } else {
        out.push(effect | BOTH);
        put(out, u128::from(posting.debit.0));
        put(out, u128::from(posting.credit.0));
    }
    put(out, posting.amount.minor_units());
}

fn signed(totals: &Totals) -> [i128; 4] {
    // At most i128::MAX each, and so are the differences of two.
    [
        totals.debits_posted,
        totals.credits_posted,
        totals.debits_pending,
        totals.credits_pending,
    ]
    .map(|total| total.minor_units() as i128)
}

fn put(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i128) {
    put(out, ((value << 1) ^ (value >> 127)) as u128);
}

/// The records of a row.
pub(super) fn unpack(
    account: AccountNumber,
    bytes: &[u8],
) -> Result<Vec<HistoryRow>, ProjectionError> {
    let mut reader = Reader(bytes);
    reader.rows(account).ok_or_else(|| {
        unusable(format!(
            "a row of account {}'s history is damaged",
            account.0
        ))
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn rows(&mut self, account: AccountNumber) -> Option<Vec<HistoryRow>> {
        if self.byte()? != VERSION {
            return None;
        }
        let mut before = Before::default();
        let mut rows = Vec::new();
        while !self.0.is_empty() {
            let sequence = before.sequence.wrapping_add(self.u64()?);
            let recorded_at = before.recorded_at.checked_add(self.i64()?)?;
            let version = before.version.wrapping_add(self.u64()?);
            let mut totals = before.totals;
            for total in &mut totals {
                *total = total.checked_add(self.signed()?)?;
            }
            let amount = |total: i128| Amount::new(u128::try_from(total).ok()?);
            let count = usize::try_from(self.u64()?).ok()?;
            let mut movements = Vec::with_capacity(count.min(16));
            for _ in 0..count {
                movements.push(self.movement(account, recorded_at)?);
            }
            rows.push(HistoryRow {
                ledger: LedgerIndex(0),
                account,
                ledger_sequence: sequence,
                recorded_at: Timestamp::from_micros(recorded_at)?,
                version,
                totals: Totals {
                    debits_posted: amount(totals[0])?,
                    credits_posted: amount(totals[1])?,
                    debits_pending: amount(totals[2])?,
                    credits_pending: amount(totals[3])?,
                },
                movements,
            });
            before = Before {
                sequence,
                recorded_at,
                version,
                totals,
            };
        }
        Some(rows)
    }

    fn movement(&mut self, account: AccountNumber, recorded_at: i64) -> Option<Movement> {
        let (id, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        let effective_at = recorded_at.checked_add(self.i64()?)?;
        let kind = self.byte()?;
        let other = AccountNumber(u32::try_from(self.u64()?).ok()?);
        let (debit, credit) = match kind & !0xf {
            DEBIT => (account, other),
            0 => (other, account),
            BOTH => (other, AccountNumber(u32::try_from(self.u64()?).ok()?)),
            _ => return None,
        };
        Some(Movement {
            transaction: TransactionId(u128::from_be_bytes(*id)),
            effective_at: Timestamp::from_micros(effective_at)?,
            effect: match kind & 0xf {
                1 => TransactionStatus::Posted,
                2 => TransactionStatus::Pending,
                3 => TransactionStatus::Voided,
                4 => TransactionStatus::Expired,
                _ => return None,
            },
            posting: Posting {
                debit,
                credit,
                amount: Amount::new(self.unsigned()?)?,
            },
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn unsigned(&mut self) -> Option<u128> {
        let mut value = 0u128;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            if shift > 126 {
                return None;
            }
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> Option<i128> {
        let value = self.unsigned()?;
        Some((value >> 1) as i128 ^ -((value & 1) as i128))
    }

    fn u64(&mut self) -> Option<u64> {
        u64::try_from(self.unsigned()?).ok()
    }

    fn i64(&mut self) -> Option<i64> {
        i64::try_from(self.signed()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        account: u32,
        sequence: u64,
        amounts: [u128; 4],
        movements: Vec<Movement>,
    ) -> HistoryRow {
        HistoryRow {
            ledger: LedgerIndex(0),
            account: AccountNumber(account),
            ledger_sequence: sequence,
            recorded_at: Timestamp::from_micros(-5 + sequence as i64 * 3).unwrap(),
            version: sequence * 2,
            totals: Totals {
                debits_posted: Amount::new(amounts[0]).unwrap(),
                credits_posted: Amount::new(amounts[1]).unwrap(),
                debits_pending: Amount::new(amounts[2]).unwrap(),
                credits_pending: Amount::new(amounts[3]).unwrap(),
            },
            movements,
        }
    }

    fn movement(effect: TransactionStatus, debit: u32, credit: u32, amount: u128) -> Movement {
        Movement {
            transaction: TransactionId(u128::MAX - 7),
            effective_at: Timestamp::MAX,
            effect,
            posting: Posting {
                debit: AccountNumber(debit),
                credit: AccountNumber(credit),
                amount: Amount::new(amount).unwrap(),
            },
        }
    }

    fn rows() -> Vec<HistoryRow> {
        let most = i128::MAX as u128;
        vec![
            row(7, 1, [0, 0, 0, 0], Vec::new()),
            row(
                7,
                2,
                [most, 1, 127, 128],
                vec![movement(TransactionStatus::Posted, 7, 8, most)],
            ),
            row(
                7,
                900_000_000_000,
                [0, most, 0, 1 << 64],
                vec![
                    movement(TransactionStatus::Pending, u32::MAX, 7, 0),
                    movement(TransactionStatus::Voided, 1, 2, 1),
                    movement(TransactionStatus::Expired, 7, 7, 1 << 100),
                ],
            ),
        ]
    }

    #[test]
    fn records_are_unpacked_as_they_were_packed() {
        let packed: Vec<_> = chunks(rows()).collect();
        assert_eq!(packed.len(), 1);
        assert_eq!(
            unpack(AccountNumber(7), &packed[0].records).unwrap(),
            rows()
        );
        assert_eq!(packed[0].first_sequence, 1);
        assert_eq!(packed[0].last_sequence, 900_000_000_000);
        assert_eq!(packed[0].first_recorded_at.micros(), -2);
    }

    #[test]
    fn every_account_and_every_so_many_bytes_begin_a_row() {
        let many: Vec<_> = (1..=3)
            .flat_map(|account| {
                (1..=100).map(move |n| {
                    let moved = movement(TransactionStatus::Posted, account, 9, u128::from(n));
                    row(account, n, [u128::from(n), 0, 0, 0], vec![moved])
                })
            })
            .collect();
        let packed: Vec<_> = chunks(many.clone()).collect();
        assert!(
            packed.len() > 6 && packed.len() < 100,
            "{} rows",
            packed.len()
        );
        assert!(
            packed
                .iter()
                .all(|chunk| chunk.records.len() < BYTES_FULL + 100)
        );
        let unpacked: Vec<_> = packed
            .iter()
            .flat_map(|chunk| unpack(chunk.account, &chunk.records).unwrap())
            .collect();
        assert_eq!(unpacked, many);
    }

    #[test]
    fn damaged_rows_are_refused_and_never_panic() {
        let packed = chunks(rows()).next().unwrap().records;
        let whole = unpack(AccountNumber(7), &packed).unwrap();
        for cut in 0..packed.len() {
            if let Ok(some) = unpack(AccountNumber(7), &packed[..cut]) {
                assert_eq!(some[..], whole[..some.len()], "a cut between two records");
            }
        }
        for at in 0..packed.len() {
            for flip in [1, 0x80, 0xff] {
                let mut other = packed.clone();
                other[at] ^= flip;
                if let Ok(some) = unpack(AccountNumber(7), &other) {
                    assert_ne!(some, whole);
                }
            }
        }
        assert!(unpack(AccountNumber(7), &[]).is_err());
        assert!(unpack(AccountNumber(7), &[9, 1]).is_err());
    }
}
