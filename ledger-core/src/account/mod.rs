//! Accounts: what holds an amount of one asset.

mod limits;
pub(crate) mod open;
pub(crate) mod status;
mod totals;
pub(crate) mod update;

pub use limits::{Direction, Limits, LimitsChange, VelocityLimit, VelocityWindow};
pub(crate) use totals::Column;
pub use totals::{NormalSide, Totals};

use crate::asset::Asset;
use crate::command::BalanceKind;
use crate::name::AccountName;
use crate::text::Metadata;
use crate::time::Timestamp;

/// The dense number of an account in its ledger: given by `decide`, starting at 1, immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(pub u32);

/// What kind of thing an account is in bookkeeping. Gives its normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountType {
    /// What the ledger's owner has. Debit side.
    Asset,
    /// What the owner owes; customers' money stands here. Credit side.
    Liability,
    /// What belongs to the owners. Credit side.
    Equity,
    /// What was earned. Credit side.
    Income,
    /// What was spent. Debit side.
    Expense,
    /// Kept for information, outside of the statements. Debit side.
    Memo,
}

impl AccountType {
    /// The side on which the account's balance normally stands.
    pub const fn normal_side(self) -> NormalSide {
        match self {
            Self::Asset | Self::Expense | Self::Memo => NormalSide::Debit,
            Self::Liability | Self::Equity | Self::Income => NormalSide::Credit,
        }
    }
}

/// Which new postings a freeze keeps out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FreezeScope {
    /// New debits.
    Debits,
    /// New credits.
    Credits,
    /// Both.
    All,
}

impl FreezeScope {
    /// As it stands in figures: `debits`, `credits` or `all`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debits => "debits",
            Self::Credits => "credits",
            Self::All => "all",
        }
    }
}

/// Whether an account takes part in new transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountStatus {
    /// Takes part in all.
    Open,
    /// Keeps out what the scope says; earlier holds may still be captured and voided.
    Frozen(FreezeScope),
    /// Takes part in nothing; its balance is zero (debits equal credits) and it has no holds.
    /// Reopened, it is open, also where it was frozen before.
    Closed,
}

/// What an account is, all but its moving parts: as `OpenAccount` made it and updates changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountTerms {
    /// The path that names it.
    pub name: AccountName,
    /// What its amounts are amounts of; never changes.
    pub asset: Asset,
    /// Never changes.
    pub account_type: AccountType,
    /// What it is held to.
    pub limits: Limits,
    /// The user's own.
    pub metadata: Metadata,
}

/// An account as a ledger's state holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number in the ledger.
    pub number: AccountNumber,
    /// What it is.
    pub terms: AccountTerms,
    /// Whether it takes part.
    pub status: AccountStatus,
    /// Debits and credits, posted and pending.
    pub totals: Totals,
    /// Counts every event that changed the account, the opening included.
    pub version: u64,
    /// Holds that are open on it.
    pub open_holds: u32,
    /// When it was opened.
    pub opened_at: Timestamp,
}

impl Account {
    /// The balance of this kind, on the normal side.
    pub fn balance(&self, kind: BalanceKind) -> i128 {
        let side = self.normal_side();
        match kind {
            BalanceKind::Posted => self.totals.posted(side),
            BalanceKind::Pending => self.totals.pending(side),
            BalanceKind::Available => self.totals.available(side),
        }
    }

    /// The side on which its balance normally stands.
    pub fn normal_side(&self) -> NormalSide {
        self.terms.account_type.normal_side()
    }

    /// available − minimum: what may still leave; `None` without a minimum (no bound).
    pub fn spendable(&self) -> Option<i128> {
        self.terms.limits.minimum.map(|minimum| {
            self.totals
                .available(self.normal_side())
                .saturating_sub(minimum)
        })
    }
}
