//! Rules over postings: which accounts may take part, and what limits allow.

use crate::account::{
    Account, AccountNumber, AccountStatus, Direction, FreezeScope, NormalSide, VelocityWindow,
};
use crate::amount::Amount;
use crate::ledger::case::Case;
use crate::ledger::velocity::flow;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::transaction::Posting;
use crate::transaction::moves::{Moved, Moves, Unmovable};

/// The refusal that stands first in the order of codes among all postings, the earliest posting
/// where the code is the same.
#[derive(Debug, Default)]
pub(crate) struct First(Option<Rejection>);

impl First {
    /// Notes a refusal; `figures` are made only where it comes before what was noted.
    pub(crate) fn note(&mut self, code: Code, figures: impl FnOnce(Rejection) -> Rejection) {
        if self.0.as_ref().is_none_or(|noted| code < noted.code) {
            self.0 = Some(figures(Rejection::new(code)));
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Rejection> {
        match self.0 {
            Some(rejection) => Err(rejection),
            None => Ok(()),
        }
    }
}

/// Which limits are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Per-transaction, velocity and balance limits: a new transaction or hold.
    All,
    /// Balance limits alone: a reversal takes back flow that was judged before.
    Balances,
}

impl<B: Books> Case<'_, B> {
    /// An account that is known to exist: it was resolved before, or stands in a transaction.
    pub(crate) fn known(&self, number: AccountNumber) -> &Account {
        self.books
            .account(number)
            .expect("accounts of postings exist: they are resolved first and never vanish")
    }

    /// Both accounts of a new posting take part in it.
    pub(crate) fn judge_accounts(&self, index: usize, posting: &Posting, first: &mut First) {
        use AccountStatus::{Closed, Frozen};
        use FreezeScope::{All, Credits, Debits};
        for (number, keeps_out) in [(posting.debit, Debits), (posting.credit, Credits)] {
            let account = self.known(number);
            match account.status {
                Closed => first.note(Code::AccountClosed, |r| {
                    r.with("account", &account.terms.name)
                        .with("posting", index)
                }),
                Frozen(scope) if scope == All || scope == keeps_out => {
                    first.note(Code::AccountFrozen, |r| {
                        r.with("account", &account.terms.name)
                            .with("scope", scope.as_str())
                            .with("posting", index)
                    });
                }
                _ => {}
            }
        }
    }

    /// The refusal of a move that cannot be made.
    ///
    /// # Panics
    /// When it is no overflow: then the state contradicts itself.
    pub(crate) fn refuse_move(&self, unmovable: Unmovable) -> Rejection {
        match unmovable {
            Unmovable::Overflow(number) => Rejection::new(Code::BalanceOverflow)
                .with("account", &self.known(number).terms.name),
            broken => panic!(
                "the state of ledger {} is broken: {broken}",
                self.books.name()
            ),
        }
    }

    /// What of velocity limit `place` of the account is counted by now.
    fn counted(&self, account: &Account, place: usize) -> Amount {
        let window = account.terms.limits.velocity[place].window;
        self.books
            .velocity(account.number)
            .get(place)
            .map_or(Amount::ZERO, |counter| counter.counted(window, self.at))
    }

    /// Limits, once after the last posting: rule by rule in the order of codes, each over the
    /// accounts by number.
    pub(crate) fn judge_limits(&self, moves: &Moves, judged: Judged) -> Result<(), Rejection> {
        let broken = moves
            .list()
            .iter()
            .filter_map(|moved| {
                let account = self.known(moved.number);
                let broken = self.broken_limit(account, moved, judged)?;
                Some((broken.code(), moved.number, broken))
            })
            .min_by_key(|(code, number, _)| (*code, *number));
        match broken {
            None => Ok(()),
            Some((_, number, broken)) => Err(broken.refusal(self.known(number))),
        }
    }

    /// The first limit of `account` that does not allow what moved.
    fn broken_limit(&self, account: &Account, moved: &Moved, judged: Judged) -> Option<Broken> {
        let limits = &account.terms.limits;
        if judged == Judged::All {
            if let Some(limit) = limits.per_transaction
                && let gross = moved.debited.max(moved.credited)
                && gross > limit
            {
                return Some(Broken::PerTransaction {
                    limit,
                    required: gross,
                });
            }
            for (place, limit) in limits.velocity.iter().enumerate() {
                let required = flow(moved.side, limit.direction, moved.debited, moved.credited);
                if required.is_zero() {
                    continue;
                }
                let counted = self.counted(account, place);
                if counted
                    .checked_add(required)
                    .is_none_or(|sum| sum > limit.amount)
                {
                    return Some(Broken::Velocity {
                        place,
                        counted,
                        required,
                    });
                }
            }
        }
        if let Some(minimum) = limits.minimum {
            let before = moved.before.available(moved.side);
            let after = moved.after.available(moved.side);
            if after < before && after < minimum {
                return Some(Broken::Minimum {
                    minimum,
                    available: before,
                    required: before.saturating_sub(after),
                });
            }
        }
        if let Some(maximum) = limits.maximum {
            let before = moved.before.incoming(moved.side);
            let after = moved.after.incoming(moved.side);
            if after > before && after > maximum {
                return Some(Broken::Maximum {
                    maximum,
                    balance: before,
                    required: after.saturating_sub(before),
                });
            }
        }
        None
    }

    /// What an up-to posting of at most `most` moves: as much as the limits of both accounts
    /// leave room for after the postings before it.
    ///
    /// # Errors
    /// The code of the first limit, in the order of codes, that leaves less than `at_least`.
    pub(crate) fn room(
        &self,
        moves: &mut Moves,
        posting: &Posting,
        most: Amount,
        at_least: Amount,
    ) -> Result<Amount, Rejection> {
        let mut amount = most;
        let mut refused: Option<(Code, Rejection)> = None;
        for (number, is_debit) in [(posting.debit, true), (posting.credit, false)] {
            let moved = *moves
                .entry(self.books, number)
                .map_err(|unmovable| self.refuse_move(unmovable))?;
            let account = self.known(number);
            for (room, broken) in self.rooms(account, &moved, is_debit, at_least) {
                amount = amount.min(room);
                let code = broken.code();
                if room < at_least && refused.as_ref().is_none_or(|(noted, _)| code < *noted) {
                    refused = Some((code, broken.refusal(account)));
                }
            }
        }
        match refused {
            Some((_, rejection)) => Err(rejection),
            None => Ok(amount),
        }
    }

    /// What each limit of `account` leaves room for in one direction, and how it would refuse
    /// `required`.
    fn rooms(
        &self,
        account: &Account,
        moved: &Moved,
        is_debit: bool,
        required: Amount,
    ) -> Vec<(Amount, Broken)> {
        let limits = &account.terms.limits;
        let direction = if is_debit == (moved.side == NormalSide::Debit) {
            Direction::Inflow
        } else {
            Direction::Outflow
        };
        let gross = if is_debit {
            moved.debited
        } else {
            moved.credited
        };
        let mut rooms = Vec::new();
        if let Some(limit) = limits.per_transaction {
            let room = limit.checked_sub(gross).unwrap_or_default();
            rooms.push((room, Broken::PerTransaction { limit, required }));
        }
        for (place, limit) in limits.velocity.iter().enumerate() {
            if limit.direction == direction {
                let counted = self.counted(account, place);
                let used = counted.checked_add(gross).unwrap_or(Amount::MAX);
                let room = limit.amount.checked_sub(used).unwrap_or_default();
                rooms.push((
                    room,
                    Broken::Velocity {
                        place,
                        counted: used,
                        required,
                    },
                ));
            }
        }
        match direction {
            Direction::Outflow => rooms.extend(limits.minimum.map(|minimum| {
                let available = moved.after.available(moved.side);
                let broken = Broken::Minimum {
                    minimum,
                    available,
                    required: signed(required),
                };
                (room_of(available, minimum), broken)
            })),
            Direction::Inflow => rooms.extend(limits.maximum.map(|maximum| {
                let balance = moved.after.incoming(moved.side);
                let broken = Broken::Maximum {
                    maximum,
                    balance,
                    required: signed(required),
                };
                (room_of(maximum, balance), broken)
            })),
        }
        rooms
    }
}

/// `upper − lower`, at least zero and at most the largest amount.
fn room_of(upper: i128, lower: i128) -> Amount {
    let room = upper.saturating_sub(lower).max(0);
    Amount::new(room as u128).unwrap_or(Amount::MAX)
}

fn signed(amount: Amount) -> i128 {
    amount.signed_sub(Amount::ZERO)
}

/// A limit that says no, with its figures.
#[derive(Debug, Clone, Copy)]
enum Broken {
    PerTransaction {
        limit: Amount,
        required: Amount,
    },
    Velocity {
        place: usize,
        counted: Amount,
        required: Amount,
    },
    Minimum {
        minimum: i128,
        available: i128,
        required: i128,
    },
    Maximum {
        maximum: i128,
        balance: i128,
        required: i128,
    },
}

impl Broken {
    const fn code(&self) -> Code {
        match self {
            Self::PerTransaction { .. } => Code::TransactionLimitExceeded,
            Self::Velocity { .. } => Code::VelocityLimitExceeded,
            Self::Minimum { .. } => Code::InsufficientFunds,
            Self::Maximum { .. } => Code::BalanceLimitExceeded,
        }
    }

    fn refusal(&self, account: &Account) -> Rejection {
        let refusal = Rejection::new(self.code()).with("account", &account.terms.name);
        match *self {
            Self::PerTransaction { limit, required } => {
                refusal.with("limit", limit).with("required", required)
            }
            Self::Velocity {
                place,
                counted,
                required,
            } => {
                let limit = &account.terms.limits.velocity[place];
                let window = match limit.window {
                    VelocityWindow::CalendarDay => "day".to_owned(),
                    VelocityWindow::CalendarMonth => "month".to_owned(),
                    VelocityWindow::Rolling { seconds } => format!("{seconds}s"),
                };
                refusal
                    .with("direction", limit.direction.as_str())
                    .with("window", window)
                    .with("limit", limit.amount)
                    .with("counted", counted)
                    .with("required", required)
            }
            Self::Minimum {
                minimum,
                available,
                required,
            } => refusal
                .with("available", available)
                .with("minimum", minimum)
                .with("required", required),
            Self::Maximum {
                maximum,
                balance,
                required,
            } => refusal
                .with("balance", balance)
                .with("maximum", maximum)
                .with("required", required),
        }
    }
}
