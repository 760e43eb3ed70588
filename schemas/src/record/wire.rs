//! The wire form of what is written often, by hand: the same bytes as the generated code's
//! (a test holds it to that), without its allocations. All else goes through the generated code.

use bytes::{BufMut, BytesMut};
use ledger_core::event::{ResultingBalance, TransactionCreated};
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::convert::{Enclosing, to_proto};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

fn tag(number: u32, wire_type: u32, out: &mut BytesMut) {
    let tag = number << 3 | wire_type;
    if tag < 0x80 {
        out.put_u8(tag as u8);
    } else {
        encode_varint(u64::from(tag), out);
    }
}

/// A number; zero is left out.
pub(super) fn uint(number: u32, value: u64, out: &mut BytesMut) {
    if value != 0 {
        tag(number, VARINT, out);
        encode_varint(value, out);
    }
}

/// A signed number in zigzag form; zero is left out.
pub(super) fn sint(number: u32, value: i32, out: &mut BytesMut) {
    uint(number, u64::from((value << 1 ^ value >> 31) as u32), out);
}

/// A number of eight bytes; zero is left out.
pub(super) fn sfixed64(number: u32, value: i64, out: &mut BytesMut) {
    if value != 0 {
        tag(number, FIXED64, out);
        out.put_i64_le(value);
    }
}

/// Bytes or text; empty ones are left out.
pub(super) fn bytes(number: u32, value: &[u8], out: &mut BytesMut) {
    if !value.is_empty() {
        present(number, value, out);
    }
}

/// Bytes or text of a oneof, where empty ones count too.
pub(super) fn present(number: u32, value: &[u8], out: &mut BytesMut) {
    length(number, value.len(), out);
    out.put_slice(value);
}

/// The head of a message of `length` bytes.
pub(super) fn length(number: u32, length: usize, out: &mut BytesMut) {
    tag(number, LENGTH, out);
    encode_varint(length as u64, out);
}

/// Of a number whose tag has one byte.
fn uint_len(value: u64) -> usize {
    if value == 0 {
        0
    } else {
        1 + encoded_len_varint(value)
    }
}

/// Of a message whose tag has one byte.
fn message_len(body: usize) -> usize {
    1 + encoded_len_varint(body as u64) + body
}

fn posting_len(posting: &Posting) -> usize {
    let amount = posting.amount.minor_units();
    uint_len(posting.debit.0.into())
        + uint_len(posting.credit.0.into())
        + uint_len(amount as u64)
        + uint_len((amount >> 64) as u64)
}

fn posting(posting: &Posting, out: &mut BytesMut) {
    let amount = posting.amount.minor_units();
    uint(1, posting.debit.0.into(), out);
    uint(2, posting.credit.0.into(), out);
    uint(3, amount as u64, out);
    uint(4, (amount >> 64) as u64, out);
}

fn balance_fields(b: &ResultingBalance) -> [u64; 10] {
    let totals = [
        b.totals.debits_posted.minor_units(),
        b.totals.credits_posted.minor_units(),
        b.totals.debits_pending.minor_units(),
        b.totals.credits_pending.minor_units(),
    ];
    [
        b.account.0.into(),
        b.version,
        totals[0] as u64,
        totals[1] as u64,
        totals[2] as u64,
        totals[3] as u64,
        (totals[0] >> 64) as u64,
        (totals[1] >> 64) as u64,
        (totals[2] >> 64) as u64,
        (totals[3] >> 64) as u64,
    ]
}

/// A transaction that has nothing but postings.
#[derive(Clone, Copy)]
struct Plain<'a> {
    transaction: &'a Transaction,
    id_left_out: bool,
    effective_is_recorded: bool,
}

impl<'a> Plain<'a> {
    fn new(transaction: &'a Transaction, enclosing: Option<&Enclosing>) -> Option<Self> {
        let plain = transaction.kind == TransactionKind::Direct
            && transaction.progress.is_empty()
            && transaction.sources.is_empty()
            && transaction.description.is_none()
            && transaction.metadata.is_empty()
            && transaction.limits == LimitsMode::Enforce;
        plain.then(|| Self {
            transaction,
            id_left_out: enclosing.is_some_and(|record| record.id == Some(transaction.id)),
            effective_is_recorded: enclosing
                .is_some_and(|record| record.recorded_at == transaction.effective_at),
        })
    }

    fn status(&self) -> u64 {
        match self.transaction.status {
            TransactionStatus::Posted => 1,
            TransactionStatus::Pending => 2,
            TransactionStatus::Voided => 3,
            TransactionStatus::Expired => 4,
        }
    }

    fn len(&self) -> usize {
        let id = if self.id_left_out { 0 } else { 18 };
        let effective = if self.effective_is_recorded {
            2
        } else if self.transaction.effective_at.micros() == 0 {
            0
        } else {
            9
        };
        let postings = self.transaction.postings.iter();
        id + uint_len(self.status())
            + effective
            + postings.map(|p| message_len(posting_len(p))).sum::<usize>()
            + uint_len(self.transaction.version)
    }

    fn put(&self, out: &mut BytesMut) {
        if !self.id_left_out {
            present(1, &self.transaction.id.0.to_be_bytes(), out);
        }
        uint(2, self.status(), out);
        if self.effective_is_recorded {
            uint(7, 1, out);
        } else {
            sfixed64(6, self.transaction.effective_at.micros(), out);
        }
        for p in &self.transaction.postings {
            length(8, posting_len(p), out);
            posting(p, out);
        }
        uint(14, self.transaction.version, out);
    }
}

/// Appends the body of a `Transaction`.
pub(super) fn transaction(t: &Transaction, enclosing: Option<&Enclosing>, out: &mut BytesMut) {
    if let Some(plain) = Plain::new(t, enclosing) {
        out.reserve(plain.len());
        plain.put(out);
        return;
    }
    let message = to_proto::transaction(t, enclosing);
    out.reserve(message.encoded_len());
    message.encode_raw(out);
}

/// Appends field `number` of a record, an `Event` that says `created`; false, and nothing
/// appended, where that must go through the generated code.
pub(super) fn created(
    number: u32,
    created: &TransactionCreated,
    enclosing: &Enclosing,
    out: &mut BytesMut,
) -> bool {
    let Some(plain) = Plain::new(&created.transaction, Some(enclosing)) else {
        return false;
    };
    let transaction_len = plain.len();
    let balance_len = |b: &ResultingBalance| balance_fields(b).into_iter().map(uint_len).sum();
    let balances = created.balances.iter();
    let created_len =
        message_len(transaction_len) + balances.map(|b| message_len(balance_len(b))).sum::<usize>();
    let event_len = message_len(created_len);
    out.reserve(event_len + 8);
    length(number, event_len, out);
    length(6, created_len, out);
    length(1, transaction_len, out);
    plain.put(out);
    for b in &created.balances {
        length(2, balance_len(b), out);
        for (field, value) in (1..).zip(balance_fields(b)) {
            uint(field, value, out);
        }
    }
    true
}
