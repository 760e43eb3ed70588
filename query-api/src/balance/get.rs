//! Balances of accounts that are named.

use ledger_core::account::Account;
use ledger_core::command::AccountRef;
use ledger_core::name::LedgerName;
use schemas::api::{parse, view};
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::AsOf;
use super::as_of::Then;
use crate::QueryApi;
use crate::accounts::account_refs;
use crate::consistency::Freshness;
use crate::deadline::Deadline;

impl QueryApi {
    /// One account's balance, now or as of either time or both; STRONG where the caller does
    /// not say. Before the account was opened it is zero, with version 0. As of an effective
    /// time there are posted totals only.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<v1::GetBalanceResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::ledger_name(&request.ledger, "ledger")?;
        let asked = parse::account_ref(&request.account, "account")?;
        let as_of = AsOf::parse(request.as_of.as_ref())?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let (mut balances, position) = self
            .balances(&ledger, &[asked], as_of, freshness, deadline)
            .await?;
        Ok(v1::GetBalanceResponse {
            balance: balances.pop(),
            position: Some(position),
        })
    }

    /// Balances of up to 1,000 accounts, in order of the request; STRONG where the caller does
    /// not say. All are of one state of the ledger.
    ///
    /// # Errors
    /// The status of the [`Fault`]; the first account that does not exist fails the call.
    pub async fn batch_get_balances(
        &self,
        request: Request<v1::BatchGetBalancesRequest>,
    ) -> Result<v1::BatchGetBalancesResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::ledger_name(&request.ledger, "ledger")?;
        let asked = account_refs(&request.accounts)?;
        let as_of = AsOf::parse(request.as_of.as_ref())?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let (balances, position) = self
            .balances(&ledger, &asked, as_of, freshness, deadline)
            .await?;
        Ok(v1::BatchGetBalancesResponse {
            balances,
            position: Some(position),
        })
    }

    async fn balances(
        &self,
        ledger: &LedgerName,
        asked: &[AccountRef],
        as_of: AsOf,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<(Vec<v1::Balance>, v1::ReadPosition), Fault> {
        if as_of.is_now() {
            let (accounts, position) = self
                .accounts_now(ledger, asked, freshness, deadline)
                .await?;
            return Ok((accounts.iter().map(view::balance).collect(), position));
        }
        self.settle(ledger, freshness, deadline).await?;
        let book = self.book(ledger.clone()).await?;
        let through = book.head().ledger_sequence;
        let (accounts, _) = self
            .accounts_now(ledger, asked, Freshness::Eventual, deadline)
            .await?;
        let mut balances = Vec::with_capacity(accounts.len());
        for account in &accounts {
            let then = self.then(&book, account, as_of, through, deadline).await?;
            balances.push(balance_then(account, &then));
        }
        Ok((balances, self.position(&book)))
    }
}

/// A balance of the past. What was spendable then is not said: limits are those of today.
fn balance_then(account: &Account, then: &Then) -> v1::Balance {
    view::balance_of(
        account.terms.name.as_str(),
        account.number,
        account.terms.asset,
        account.normal_side(),
        None,
        then.version,
        &then.totals,
    )
}
