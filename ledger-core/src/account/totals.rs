//! Debits and credits of an account, posted and pending.

use crate::amount::Amount;

/// The side of an account on which its balance normally stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormalSide {
    /// Debits go in, credits go out.
    Debit,
    /// Credits go in, debits go out.
    Credit,
}

/// Which of an account's two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Debits.
    Debits,
    /// Credits.
    Credits,
}

/// Totals of all that was ever posted (they only grow) and of all that is pending now. Each is
/// at most `i128::MAX`, and so is posted and pending of one column together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Totals {
    /// Sum of posted debits.
    pub debits_posted: Amount,
    /// Sum of posted credits.
    pub credits_posted: Amount,
    /// Sum of debits that open holds reserve.
    pub debits_pending: Amount,
    /// Sum of credits that open holds reserve.
    pub credits_pending: Amount,
}

impl Totals {
    /// Posted and pending of one column.
    pub(crate) fn column_mut(&mut self, column: Column) -> (&mut Amount, &mut Amount) {
        match column {
            Column::Debits => (&mut self.debits_posted, &mut self.debits_pending),
            Column::Credits => (&mut self.credits_posted, &mut self.credits_pending),
        }
    }

    /// posted + pending in: what a maximum is tested on.
    pub fn incoming(&self, side: NormalSide) -> i128 {
        self.posted(side)
            .saturating_add(self.pending_in(side).minor_units() as i128)
    }

    /// posted: in − out on the normal side.
    pub fn posted(&self, side: NormalSide) -> i128 {
        match side {
            NormalSide::Debit => self.debits_posted.signed_sub(self.credits_posted),
            NormalSide::Credit => self.credits_posted.signed_sub(self.debits_posted),
        }
    }

    /// Pending amounts that would come in.
    pub fn pending_in(&self, side: NormalSide) -> Amount {
        match side {
            NormalSide::Debit => self.debits_pending,
            NormalSide::Credit => self.credits_pending,
        }
    }

    /// Pending amounts that would go out.
    pub fn pending_out(&self, side: NormalSide) -> Amount {
        match side {
            NormalSide::Debit => self.credits_pending,
            NormalSide::Credit => self.debits_pending,
        }
    }

    /// posted + pending in − pending out. Saturates at the ends of `i128`, which totals that
    /// `decide` let through cannot reach.
    pub fn pending(&self, side: NormalSide) -> i128 {
        self.posted(side)
            .saturating_add(self.pending_in(side).minor_units() as i128)
            .saturating_sub(self.pending_out(side).minor_units() as i128)
    }

    /// posted − pending out: what no open hold has reserved.
    pub fn available(&self, side: NormalSide) -> i128 {
        self.posted(side)
            .saturating_sub(self.pending_out(side).minor_units() as i128)
    }

    /// True when nothing was ever left standing: debits equal credits and nothing is pending.
    pub fn is_settled(&self) -> bool {
        self.debits_posted == self.credits_posted
            && self.debits_pending.is_zero()
            && self.credits_pending.is_zero()
    }
}
