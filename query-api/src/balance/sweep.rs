//! Sums over many accounts, all of one state of the ledger.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use ledger_core::account::{Account, Totals};
use ledger_core::asset::Asset;
use ports::views::AccountFilter;
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::AsOf;
use super::wide::Wide;
use crate::consistency::{Book, Freshness};
use crate::deadline::Deadline;
use crate::page::CHUNK;
use crate::pattern::Pattern;
use crate::{QueryApi, fail};

/// Accounts whose history is read at once.
const AT_ONCE: usize = 16;
/// How often the quick way is tried before the exact one for a ledger that does not hold still.
const QUICK_TRIES: u32 = 2;

/// What takes the accounts of a sweep.
pub(crate) trait Sum: Default {
    /// Takes one account as it stood.
    ///
    /// # Errors
    /// It takes no more.
    fn add(&mut self, account: &Account, totals: &Totals) -> Result<(), Fault>;
}

impl QueryApi {
    /// Takes all accounts that `pattern` passes, each as it stood at one record of the ledger:
    /// the sums over them are of one state, whatever is written meanwhile.
    pub(crate) async fn sweep<S: Sum>(
        &self,
        mut book: Book,
        pattern: &Pattern,
        as_of: AsOf,
        deadline: Deadline,
    ) -> Result<(S, Book), Fault> {
        if as_of.is_now() {
            // The accounts as they are, if none moved while they were read.
            for _ in 0..QUICK_TRIES {
                let sum = self.sweep_once(&book, pattern, None, deadline).await?;
                let after = self.book(book.ledger.clone()).await?;
                if after.head().ledger_sequence == book.head().ledger_sequence {
                    return Ok((sum, book));
                }
                book = after;
            }
        }
        let sum = self
            .sweep_once(&book, pattern, Some(as_of), deadline)
            .await?;
        Ok((sum, book))
    }

    async fn sweep_once<S: Sum>(
        &self,
        book: &Book,
        pattern: &Pattern,
        as_of: Option<AsOf>,
        deadline: Deadline,
    ) -> Result<S, Fault> {
        let mut sum = S::default();
        let mut filter = AccountFilter {
            prefix: pattern.prefix().to_owned(),
            ..AccountFilter::default()
        };
        loop {
            deadline.check()?;
            let chunk = self
                .views()
                .accounts(&book.ledger, &filter, CHUNK)
                .await
                .map_err(fail::views)?;
            let at_end = chunk.len() < CHUNK;
            filter.after = chunk.last().map(|account| account.number);
            let mut chunk = chunk;
            let recorded = as_of.and_then(|as_of| as_of.recorded);
            chunk.retain(|account| {
                pattern.passes(account.terms.name.as_str())
                    && account.opened_at <= book.head().recorded_at
                    && recorded.is_none_or(|at| account.opened_at <= at)
            });
            match as_of {
                None => {
                    for account in &chunk {
                        sum.add(account, &account.totals)?;
                    }
                }
                Some(as_of) => {
                    let through = book.head().ledger_sequence;
                    let then = futures::stream::iter(chunk).map(|account| async move {
                        let then = match account.totals == Totals::default() {
                            // Posted totals only grow; but a hold may have come and gone.
                            true if as_of.effective.is_some() => Default::default(),
                            _ => self.then(book, &account, as_of, through, deadline).await?,
                        };
                        Ok::<_, Fault>((account, then.totals))
                    });
                    let then: Vec<_> = then.buffered(AT_ONCE).try_collect().await?;
                    for (account, totals) in &then {
                        sum.add(account, totals)?;
                    }
                }
            }
            if at_end {
                return Ok(sum);
            }
        }
    }

    /// Sums over the accounts whose names match a pattern, by asset; STRONG where the caller
    /// does not say.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn aggregate_balances(
        &self,
        request: Request<v1::AggregateBalancesRequest>,
    ) -> Result<v1::AggregateBalancesResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let pattern = Pattern::parse(&request.pattern, "pattern")?;
        let as_of = AsOf::parse(request.as_of.as_ref())?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let (sums, book): (ByAsset, _) = self.sweep(book, &pattern, as_of, deadline).await?;
        Ok(v1::AggregateBalancesResponse {
            sums: sums
                .0
                .iter()
                .map(|(asset, sum)| sum.shown(*asset))
                .collect(),
            position: Some(self.position(&book)),
        })
    }
}

#[derive(Default)]
struct ByAsset(BTreeMap<Asset, AssetSum>);

#[derive(Default)]
struct AssetSum {
    accounts: u64,
    debits_posted: Wide,
    credits_posted: Wide,
    debits_pending: Wide,
    credits_pending: Wide,
    posted: Wide,
    pending: Wide,
    available: Wide,
}

impl Sum for ByAsset {
    fn add(&mut self, account: &Account, totals: &Totals) -> Result<(), Fault> {
        let sum = self.0.entry(account.terms.asset).or_default();
        let side = account.normal_side();
        sum.accounts += 1;
        sum.debits_posted.add(totals.debits_posted.minor_units());
        sum.credits_posted.add(totals.credits_posted.minor_units());
        sum.debits_pending.add(totals.debits_pending.minor_units());
        sum.credits_pending
            .add(totals.credits_pending.minor_units());
        sum.posted.add_signed(totals.posted(side));
        sum.pending.add_signed(totals.pending(side));
        sum.available.add_signed(totals.available(side));
        Ok(())
    }
}

impl AssetSum {
    fn shown(&self, asset: Asset) -> v1::AssetSum {
        v1::AssetSum {
            asset: asset.to_string(),
            accounts: self.accounts,
            debits_posted: self.debits_posted.to_string(),
            credits_posted: self.credits_posted.to_string(),
            debits_pending: self.debits_pending.to_string(),
            credits_pending: self.credits_pending.to_string(),
            posted: self.posted.to_string(),
            pending: self.pending.to_string(),
            available: self.available.to_string(),
        }
    }
}
