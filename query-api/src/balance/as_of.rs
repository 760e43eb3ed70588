//! A balance as of a time, exact in every case.
//!
//! By recorded time it is one row: the account's history carries the totals after each record.
//! By effective time nothing can be kept, since a back-dated posting changes all later
//! balances: so the totals at a record are taken, and the POSTED movements up to that record
//! with a later effective time are taken off. Whole days come from the buckets; of a bucket
//! that is cut by the instant or by the record, the movements are read.

use std::collections::BTreeSet;

use ledger_core::account::{Account, Totals};
use ledger_core::amount::Amount;
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::TransactionStatus;
use ports::projection::HistoryRow;
use ports::views::{DayBucket, HistoryRange};
use schemas::api::parse;
use schemas::error::Fault;
use schemas::proto::v1;

use crate::consistency::Book;
use crate::deadline::Deadline;
use crate::page::CHUNK;
use crate::{QueryApi, fail};

/// As of what; `<=` both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AsOf {
    pub(crate) effective: Option<Timestamp>,
    pub(crate) recorded: Option<Timestamp>,
}

impl AsOf {
    pub(crate) fn parse(said: Option<&v1::AsOf>) -> Result<Self, Fault> {
        let Some(said) = said else {
            return Ok(Self::default());
        };
        let time = |at: &Option<_>, field| parse::timestamp_or_none(at.as_ref(), field);
        Ok(Self {
            effective: time(&said.effective, "as_of.effective")?,
            recorded: time(&said.recorded, "as_of.recorded")?,
        })
    }

    pub(crate) fn is_now(self) -> bool {
        self == Self::default()
    }
}

/// Totals as of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Then {
    pub(crate) totals: Totals,
    /// Of the account then; 0 before anything moved on it.
    pub(crate) version: u64,
}

impl QueryApi {
    /// The totals of `account` as of `as_of`, as the ledger stood at `through` at the latest.
    pub(crate) async fn then(
        &self,
        book: &Book,
        account: &Account,
        as_of: AsOf,
        through: u64,
        deadline: Deadline,
    ) -> Result<Then, Fault> {
        let row = self
            .row_then(book, account, as_of.recorded, through)
            .await?;
        let Some(row) = row else {
            return Ok(Then::default());
        };
        let version = row.version;
        let totals = match as_of.effective {
            None => row.totals,
            Some(effective) => {
                self.effective_through(book, account, &row, effective, deadline)
                    .await?
            }
        };
        Ok(Then { totals, version })
    }

    /// The last row of the account's history that was recorded up to `recorded` and stands at or
    /// before `through`.
    pub(crate) async fn row_then(
        &self,
        book: &Book,
        account: &Account,
        recorded: Option<Timestamp>,
        through: u64,
    ) -> Result<Option<HistoryRow>, Fault> {
        let row = match recorded {
            Some(at) if at < book.head().recorded_at => {
                let row = self.views().history_at(&book.ledger, account.number, at);
                row.await.map_err(fail::views)?
            }
            // Records of this time can still come: `through` alone is the bound.
            _ => return self.row_at(book, account, through).await,
        };
        match row {
            Some(row) if row.ledger_sequence > through => self.row_at(book, account, through).await,
            row => Ok(row),
        }
    }

    /// The last row of the account's history up to `through`.
    pub(crate) async fn row_at(
        &self,
        book: &Book,
        account: &Account,
        through: u64,
    ) -> Result<Option<HistoryRow>, Fault> {
        let range = HistoryRange {
            from: 0,
            through,
            newest_first: true,
        };
        let rows = self
            .views()
            .history(&book.ledger, account.number, range, 1)
            .await
            .map_err(fail::views)?;
        Ok(rows.into_iter().next())
    }

    /// The posted totals at `row` without the movements that are effective after `effective`.
    async fn effective_through(
        &self,
        book: &Book,
        account: &Account,
        row: &HistoryRow,
        effective: Timestamp,
        deadline: Deadline,
    ) -> Result<Totals, Fault> {
        let through = row.ledger_sequence;
        let mut debits = row.totals.debits_posted.minor_units();
        let mut credits = row.totals.credits_posted.minor_units();
        let mut take_off = |debit: u128, credit: u128| {
            let taken = debits.checked_sub(debit).zip(credits.checked_sub(credit));
            match taken {
                Some(left) => {
                    (debits, credits) = left;
                    Ok(())
                }
                None => Err(Fault::ReadModelsUnusable {
                    why: format!(
                        "the days of account {} of ledger {} hold more than its total",
                        account.number.0, book.ledger
                    ),
                }),
            }
        };
        let mut from = effective.utc_day();
        if is_last_of_day(effective) {
            from = Day(from.0 + 1);
        }
        loop {
            deadline.check()?;
            let buckets = self
                .views()
                .days(&book.ledger, account.number, from, Day(i32::MAX), CHUNK)
                .await
                .map_err(fail::views)?;
            let mut cut = Vec::new();
            for bucket in &buckets {
                if bucket.first_ledger_sequence > through {
                    continue;
                }
                if bucket.day > effective.utc_day() && bucket.last_ledger_sequence <= through {
                    take_off(bucket.debits, bucket.credits)?;
                } else {
                    cut.push(*bucket);
                }
            }
            let scan = Scan::of(&cut, through);
            for range in scan.ranges {
                let mut range = range;
                while range.from <= range.through {
                    deadline.check()?;
                    let rows = self
                        .views()
                        .history(&book.ledger, account.number, range, CHUNK)
                        .await
                        .map_err(fail::views)?;
                    let later = rows.iter().flat_map(|row| &row.movements).filter(|m| {
                        m.effect == TransactionStatus::Posted
                            && m.effective_at > effective
                            && scan.days.contains(&m.effective_at.utc_day())
                    });
                    for movement in later {
                        let amount = movement.posting.amount.minor_units();
                        if movement.posting.debit == account.number {
                            take_off(amount, 0)?;
                        } else {
                            take_off(0, amount)?;
                        }
                    }
                    match rows.last() {
                        Some(last) if rows.len() == CHUNK => range.from = last.ledger_sequence + 1,
                        _ => break,
                    }
                }
            }
            match buckets.last() {
                Some(last) if buckets.len() == CHUNK => from = Day(last.day.0 + 1),
                _ => break,
            }
        }
        let amount = |minor_units| {
            Amount::new(minor_units).ok_or_else(|| Fault::internal("a total is above the largest"))
        };
        Ok(Totals {
            debits_posted: amount(debits)?,
            credits_posted: amount(credits)?,
            ..Totals::default()
        })
    }
}

/// The stretches of an account's history that hold all movements of some days.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) ranges: Vec<HistoryRange>,
    pub(crate) days: BTreeSet<Day>,
}

impl Scan {
    /// All movements of the days of `buckets` up to `through`: stretches that overlap are read
    /// once.
    pub(crate) fn of(buckets: &[DayBucket], through: u64) -> Self {
        let mut ends: Vec<(u64, u64)> = buckets
            .iter()
            .filter(|bucket| bucket.first_ledger_sequence <= through)
            .map(|bucket| {
                (
                    bucket.first_ledger_sequence,
                    bucket.last_ledger_sequence.min(through),
                )
            })
            .collect();
        ends.sort_unstable();
        ends.dedup_by(|later, merged| {
            let overlaps = later.0 <= merged.1;
            if overlaps {
                merged.1 = merged.1.max(later.1);
            }
            overlaps
        });
        let range = |(from, through)| HistoryRange {
            from,
            through,
            newest_first: false,
        };
        Self {
            ranges: ends.into_iter().map(range).collect(),
            days: buckets.iter().map(|bucket| bucket.day).collect(),
        }
    }
}

/// Whether nothing of the day comes after `at`.
pub(crate) fn is_last_of_day(at: Timestamp) -> bool {
    at == Timestamp::MAX || at.saturating_add(1).utc_day() != at.utc_day()
}
