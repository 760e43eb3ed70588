//! The way back for what is read most: plain posted transactions, as [`super::wire`] writes
//! them. It takes nothing on trust, and gives up (`None`) on anything that it does not know;
//! the generated code then reads or refuses the record.

use std::sync::Arc;

use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::event::{Event, ResultingBalance, TransactionCreated};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::text::Metadata;
use ledger_core::time::{Day, Moment, Timestamp};
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};

use super::convert::Enclosing;
use super::{KIND_VERSION, LogId, Origin, Payload, Record, RecordHash};

/// One field: its value, in the wire form that it has.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Fixed(i64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    fn small(self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn fixed(self) -> Option<i64> {
        match self {
            Self::Fixed(number) => Some(number),
            _ => None,
        }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn exactly<const N: usize>(self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }

    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// The fields of a message, which must be in order of their numbers.
struct Fields<'a> {
    rest: &'a [u8],
    last: u32,
}

impl<'a> Fields<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            last: 0,
        }
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Some(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        // Nine bytes hold 63 bits; the few numbers that need a tenth go the other way.
        for (index, &byte) in self.rest.iter().enumerate().take(9) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next field; `Some(None)` at the end. A number may come again only where `repeated`.
    #[inline]
    fn next(&mut self, repeated: u32) -> Option<Option<(u32, Value<'a>)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let tag = u32::try_from(self.varint()?).ok()?;
        let number = tag >> 3;
        if number < self.last || number == self.last && number != repeated {
            return None;
        }
        self.last = number;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Fixed(i64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some(Some((number, value)))
    }
}

/// The record that `bytes` say, where it is a plain transaction that was created.
pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
    let mut log_id = None;
    let (mut shard, mut epoch, mut sequence, mut ledger_sequence) = (0, 0, 0, 0);
    let mut ledger = None;
    let mut previous_hash = None;
    let mut moment = Moment::default();
    let mut key = None;
    let mut request_hash = None;
    let (mut actor, mut traceparent) = (None, None);
    let mut version = None;
    let mut event = None;
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next(0)? {
        match number {
            1 => log_id = Some(LogId(value.exactly()?)),
            2 => shard = value.small()?,
            3 => epoch = value.number()?,
            4 => sequence = value.number()?,
            5 => ledger = Some(LedgerName::from_record(value.text()?).ok()?),
            6 => ledger_sequence = value.number()?,
            7 => previous_hash = Some(RecordHash(value.exactly()?)),
            8 => moment.recorded_at = Timestamp::from_micros(value.fixed()?)?,
            9 => {
                let zigzag = value.small()?;
                moment.business_date = Day((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32));
            }
            10 if key.is_none() => {
                key = Some(IdempotencyKey::from_uuid(u128::from_be_bytes(value.exactly()?)).ok()?);
            }
            11 if key.is_none() => key = Some(IdempotencyKey::text(value.text()?).ok()?),
            12 => request_hash = Some(value.exactly()?),
            13 => actor = Some(value.text().filter(|text| !text.is_empty())?),
            15 => traceparent = Some(value.text().filter(|text| !text.is_empty())?),
            16 => version = Some(value.small()?),
            20 => event = Some(value.bytes()?),
            _ => return None,
        }
    }
    if version != Some(KIND_VERSION) {
        return None;
    }
    let key = key?;
    let enclosing = Enclosing::new(&key, moment.recorded_at);
    let created = created(only(event?, 6)?, &enclosing)?;
    Some(Record {
        log_id: log_id?,
        shard,
        epoch,
        sequence,
        ledger: ledger?,
        ledger_sequence,
        previous_hash,
        moment,
        key,
        request_hash,
        actor: actor.map(Arc::from),
        origin: Origin::Grpc,
        traceparent: traceparent.map(Arc::from),
        payload: Payload::Event(Event::TransactionCreated(created)),
    })
}

/// The message in `message` that is its field `number`, where there is no other.
fn only(message: &[u8], number: u32) -> Option<&[u8]> {
    let mut fields = Fields::new(message);
    match fields.next(0)?? {
        (found, value) if found == number && fields.rest.is_empty() => value.bytes(),
        _ => None,
    }
}

fn created(message: &[u8], enclosing: &Enclosing) -> Option<TransactionCreated> {
    let mut transaction = None;
    let mut balances = Vec::with_capacity(2);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next(2)? {
        match number {
            1 => transaction = Some(self::transaction(value.bytes()?, enclosing)?),
            2 => balances.push(balance(value.bytes()?)?),
            _ => return None,
        }
    }
    Some(TransactionCreated {
        transaction: transaction?,
        balances,
    })
}

fn transaction(message: &[u8], enclosing: &Enclosing) -> Option<Transaction> {
    let mut id = enclosing.id;
    let mut status = None;
    let mut effective_at = None;
    let mut postings = Vec::with_capacity(1);
    let mut version = 0;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next(8)? {
        match number {
            1 => id = Some(TransactionId(u128::from_be_bytes(value.exactly()?))),
            2 => {
                status = Some(match value.number()? {
                    1 => TransactionStatus::Posted,
                    2 => TransactionStatus::Pending,
                    3 => TransactionStatus::Voided,
                    4 => TransactionStatus::Expired,
                    _ => return None,
                });
            }
            6 => effective_at = Some(Timestamp::from_micros(value.fixed()?)?),
            7 if effective_at.is_none() && value.number()? == 1 => {
                effective_at = Some(enclosing.recorded_at);
            }
            8 => postings.push(posting(value.bytes()?)?),
            14 => version = value.number()?,
            _ => return None,
        }
    }
    Some(Transaction {
        id: id?,
        status: status?,
        kind: TransactionKind::Direct,
        effective_at: effective_at.unwrap_or_default(),
        postings,
        progress: Vec::new(),
        sources: Vec::new(),
        description: None,
        metadata: Metadata::default(),
        limits: LimitsMode::Enforce,
        version,
    })
}

fn account(number: u64) -> Option<AccountNumber> {
    let number = u32::try_from(number).ok()?;
    (number != 0).then_some(AccountNumber(number))
}

fn amount(low: u64, high: u64) -> Option<Amount> {
    Amount::new(u128::from(high) << 64 | u128::from(low))
}

/// The numbers of a message that has nothing but numbers, by field; absent ones are zero.
fn numbers<const N: usize>(message: &[u8]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next(0)? {
        let place = (number as usize).checked_sub(1)?;
        *numbers.get_mut(place)? = value.number()?;
    }
    Some(numbers)
}

fn posting(message: &[u8]) -> Option<Posting> {
    let [debit, credit, low, high] = numbers(message)?;
    Some(Posting {
        debit: account(debit)?,
        credit: account(credit)?,
        amount: amount(low, high)?,
    })
}

fn balance(message: &[u8]) -> Option<ResultingBalance> {
    let [number, version, totals @ ..] = numbers::<10>(message)?;
    Some(ResultingBalance {
        account: account(number)?,
        version,
        totals: Totals {
            debits_posted: amount(totals[0], totals[4])?,
            credits_posted: amount(totals[1], totals[5])?,
            debits_pending: amount(totals[2], totals[6])?,
            credits_pending: amount(totals[3], totals[7])?,
        },
    })
}
