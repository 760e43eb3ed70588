//! Remembered transactions, packed: most are one plain posting.

use crate::account::AccountNumber;
use crate::amount::Amount;
use crate::key::TransactionId;
use crate::text::{Metadata, Text};
use crate::time::Timestamp;
use crate::transaction::{
    LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};

/// A transaction in memory.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// A plain one.
    Transfer(TransactionId, Transfer),
    /// Any other.
    Full(Box<Transaction>),
}

/// A posted transaction of one posting, with limits judged, to which nothing was attached and
/// nothing has happened; or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    /// Two halves, so that a record needs no padding to 16 bytes.
    amount: [u64; 2],
    effective_at: Timestamp,
    /// 0 for no transfer: accounts are numbered from 1.
    debit: u32,
    credit: u32,
}

impl Transfer {
    pub(super) const NONE: Self = Self {
        amount: [0; 2],
        effective_at: Timestamp::MIN,
        debit: 0,
        credit: 0,
    };

    fn pack(transaction: &Transaction) -> Option<Self> {
        let [posting] = transaction.postings[..] else {
            return None;
        };
        let plain = transaction.status == TransactionStatus::Posted
            && transaction.kind == TransactionKind::Direct
            && transaction.version == 1
            && transaction.progress.is_empty()
            && transaction.sources.is_empty()
            && transaction.description.is_none()
            && transaction.metadata.is_empty()
            && transaction.limits == LimitsMode::Enforce;
        let amount = posting.amount.minor_units();
        plain.then_some(Self {
            amount: [(amount >> 64) as u64, amount as u64],
            effective_at: transaction.effective_at,
            debit: posting.debit.0,
            credit: posting.credit.0,
        })
    }

    pub(super) fn unpack(&self, id: TransactionId) -> Option<Transaction> {
        if self.debit == 0 {
            return None;
        }
        let amount = u128::from(self.amount[0]) << 64 | u128::from(self.amount[1]);
        Some(Transaction {
            id,
            status: TransactionStatus::Posted,
            kind: TransactionKind::Direct,
            effective_at: self.effective_at,
            postings: vec![Posting {
                debit: AccountNumber(self.debit),
                credit: AccountNumber(self.credit),
                amount: Amount::new(amount).expect("it was an amount when it was packed"),
            }],
            progress: Vec::new(),
            sources: Vec::new(),
            description: None,
            metadata: Metadata::default(),
            limits: LimitsMode::Enforce,
            version: 1,
        })
    }
}

impl Kept {
    pub(super) fn pack(transaction: &Transaction) -> Self {
        match Transfer::pack(transaction) {
            Some(transfer) => Self::Transfer(transaction.id, transfer),
            None => Self::Full(Box::new(transaction.clone())),
        }
    }

    pub(super) fn id(&self) -> TransactionId {
        match self {
            Self::Transfer(id, _) => *id,
            Self::Full(transaction) => transaction.id,
        }
    }

    /// Bytes that it takes, about: a whole transaction may be large.
    pub(super) fn bytes(&self) -> u64 {
        let Self::Full(transaction) = self else {
            return size_of::<Self>() as u64;
        };
        // What an entry of a map costs beside its key and value.
        const ENTRY: usize = 64;
        let metadata: usize = transaction
            .metadata
            .entries()
            .iter()
            .map(|(key, value)| ENTRY + key.len() + value.size())
            .sum();
        let words = transaction.description.as_ref().map_or(0, Text::size);
        let postings = transaction.postings.len() * size_of::<Posting>();
        let progress = transaction.progress.len() * size_of::<Progress>();
        (size_of::<Transaction>() + metadata + words + postings + progress) as u64
    }

    pub(super) fn unpack(&self) -> Transaction {
        match self {
            Self::Transfer(id, transfer) => transfer
                .unpack(*id)
                .expect("a packed transfer has a debit account"),
            Self::Full(transaction) => (**transaction).clone(),
        }
    }
}
