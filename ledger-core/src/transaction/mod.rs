//! Transactions: postings that happen together.

pub(crate) mod capture;
pub(crate) mod create;
pub(crate) mod judge;
pub(crate) mod moves;
pub(crate) mod parts;
pub(crate) mod release;
pub(crate) mod reverse;
pub(crate) mod update;

use crate::account::AccountNumber;
use crate::amount::Amount;
use crate::key::TransactionId;
use crate::text::{Metadata, Text};
use crate::time::Timestamp;

/// One amount, from a debit account to a credit account of the same asset. It always balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Posting {
    /// The account that is debited.
    pub debit: AccountNumber,
    /// The account that is credited.
    pub credit: AccountNumber,
    /// How much.
    pub amount: Amount,
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Counts; of a hold: it ended, and something was captured.
    Posted,
    /// A hold that reserves.
    Pending,
    /// A hold that was released by command, with nothing captured.
    Voided,
    /// A hold that was released by time, with nothing captured.
    Expired,
}

/// How a transaction came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionKind {
    /// Posted at once.
    Direct,
    /// A hold, whatever became of it.
    Hold(HoldTerms),
    /// Takes from the hold of this id; posting `i` of the capture takes from the hold's posting
    /// that [`Transaction::sources`] names.
    Capture(TransactionId),
    /// Takes back (a part of) the transaction of this id, postings mirrored.
    Reversal(TransactionId),
}

/// What was agreed when a hold was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HoldTerms {
    /// When it expires by itself (`expires_at <= at`); `None` for never.
    pub expires_at: Option<Timestamp>,
    /// Captures may take up to this much in all, where the hold has exactly one posting (others
    /// refuse it); at least the hold's amount. The excess over the hold passes all limits.
    pub over_capture_up_to: Option<Amount>,
}

/// Whether balance, velocity and per-transaction limits were judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum LimitsMode {
    /// They were.
    #[default]
    Enforce,
    /// They were passed by, for this reason (a card clearing, a chargeback). Status, asset,
    /// overflow and period rules held all the same.
    RecordOnly(Text),
}

/// What has happened to one posting since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Progress {
    /// Of a hold: taken by captures so far.
    pub captured: Amount,
    /// Of a posted transaction: taken back by reversals so far.
    pub reversed: Amount,
}

/// A transaction, as it stands after the event that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id in the ledger.
    pub id: TransactionId,
    /// Where it stands.
    pub status: TransactionStatus,
    /// How it came to be.
    pub kind: TransactionKind,
    /// Business time, the caller's.
    pub effective_at: Timestamp,
    /// What it moves or reserves; never changes.
    pub postings: Vec<Posting>,
    /// Per posting, in order; empty while nothing has happened to any.
    pub progress: Vec<Progress>,
    /// Of a capture or reversal: which posting (index) of its hold or original each of its
    /// postings takes from; empty otherwise.
    pub sources: Vec<u32>,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
    /// Whether limits were judged.
    pub limits: LimitsMode,
    /// Counts every event that changed the transaction, the making included.
    pub version: u64,
}

impl Transaction {
    /// What has happened to posting `index`.
    pub fn progress_of(&self, index: usize) -> Progress {
        self.progress.get(index).copied().unwrap_or_default()
    }

    /// What was agreed when it was made, where it is a hold.
    pub fn hold_terms(&self) -> Option<&HoldTerms> {
        match &self.kind {
            TransactionKind::Hold(terms) => Some(terms),
            _ => None,
        }
    }

    /// Of a hold: what posting `index` still reserves while the hold is open.
    ///
    /// # Panics
    /// When there is no posting `index`.
    pub fn remaining(&self, index: usize) -> Amount {
        let amount = self.postings[index].amount;
        amount
            .checked_sub(self.progress_of(index).captured)
            .unwrap_or_default()
    }

    /// Of a hold: what captures may still take of posting `index`, over-capture included.
    ///
    /// # Panics
    /// When there is no posting `index`.
    pub fn capturable(&self, index: usize) -> Amount {
        let most = self
            .hold_terms()
            .and_then(|terms| terms.over_capture_up_to)
            .unwrap_or(self.postings[index].amount);
        most.checked_sub(self.progress_of(index).captured)
            .unwrap_or_default()
    }

    /// Of a posted transaction: what reversals may still take back of posting `index`.
    ///
    /// # Panics
    /// When there is no posting `index`.
    pub fn reversible(&self, index: usize) -> Amount {
        let amount = self.postings[index].amount;
        amount
            .checked_sub(self.progress_of(index).reversed)
            .unwrap_or_default()
    }

    /// True where any capture took from it.
    pub fn was_captured(&self) -> bool {
        self.progress.iter().any(|p| !p.captured.is_zero())
    }
}
