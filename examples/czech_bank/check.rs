//! Asks the engine what the balances were, day by day in business time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::civil::Date;
use schemas::proto::v1::{
    AggregateBalancesRequest, AsOf, Balance, BatchGetBalancesRequest, GetTrialBalanceRequest,
};
use tonic::Request;

use crate::books;
use crate::figures::Figures;
use crate::files::TransactionRow;
use crate::server::{Server, ServerError};

/// Accounts that one call asks for: the API's most.
const ACCOUNTS_A_CALL: usize = 1_000;

/// A strong read of the past waits this long until the read models have caught up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Some of one day's accounts, with the balances that were printed for each.
struct Page<'a> {
    day: Date,
    printed: Vec<(&'a str, Vec<i64>)>,
}

/// Compares every account's balance at the end of every day on which it moved.
///
/// # Errors
/// When the server went away, or its answers make no sense.
pub async fn figures(
    server: &Server,
    rows: &[TransactionRow],
    in_flight: usize,
) -> Result<Figures, ServerError> {
    let mut days: BTreeMap<Date, BTreeMap<&str, Vec<i64>>> = BTreeMap::new();
    for row in rows {
        let day = days.entry(row.date).or_default();
        day.entry(&row.account_name).or_default().push(row.printed);
    }
    let mut pages = Vec::new();
    for (day, accounts) in days {
        let mut accounts = accounts.into_iter().peekable();
        while accounts.peek().is_some() {
            let printed = accounts.by_ref().take(ACCOUNTS_A_CALL).collect();
            pages.push(Page { day, printed });
        }
    }
    let mut answers = stream::iter(pages)
        .map(|page| balances(server, page))
        .buffer_unordered(in_flight);
    let mut figures = Figures::default();
    while let Some((page, balances)) = answers.try_next().await? {
        for (account, printed) in &page.printed {
            let Some(balance) = balances.get(*account) else {
                return Err(ServerError::Nonsense(format!("no balance of {account}")));
            };
            figures.count(page.day, *balance, printed);
        }
    }
    Ok(figures)
}

async fn balances<'a>(
    server: &Server,
    page: Page<'a>,
) -> Result<(Page<'a>, HashMap<String, i64>), ServerError> {
    let accounts = page
        .printed
        .iter()
        .map(|(account, _)| (*account).to_owned());
    let request = BatchGetBalancesRequest {
        ledger: server.ledger.clone(),
        accounts: accounts.collect(),
        as_of: Some(AsOf {
            effective: Some(books::end_of_day(page.day)),
            recorded: None,
        }),
        consistency: None, // strong
    };
    let reply = server
        .queries
        .clone()
        .batch_get_balances(patient(request))
        .await?
        .into_inner();
    let balances = reply
        .balances
        .into_iter()
        .map(named)
        .collect::<Result<_, _>>()?;
    Ok((page, balances))
}

/// Balances of the bank's own accounts, and the sum of what customers have with it.
///
/// # Errors
/// As [`figures`].
pub async fn own_side(server: &Server) -> Result<Vec<(String, i64)>, ServerError> {
    let request = BatchGetBalancesRequest {
        ledger: server.ledger.clone(),
        accounts: books::OWN_SIDE.map(|(_, name, _)| name.to_owned()).to_vec(),
        ..BatchGetBalancesRequest::default()
    };
    let reply = server
        .queries
        .clone()
        .batch_get_balances(patient(request))
        .await?
        .into_inner();
    let own: Result<Vec<_>, _> = reply.balances.into_iter().map(named).collect();
    let request = AggregateBalancesRequest {
        ledger: server.ledger.clone(),
        pattern: "customers:*:*".into(),
        ..AggregateBalancesRequest::default()
    };
    let reply = server
        .queries
        .clone()
        .aggregate_balances(patient(request))
        .await?
        .into_inner();
    let mut sides = own?;
    for sum in reply.sums {
        sides.push(("customers:*:*".into(), hundredths(&sum.posted)?));
    }
    Ok(sides)
}

/// Whether the trial balance is one.
///
/// # Errors
/// As [`figures`].
pub async fn books_balance(server: &Server) -> Result<bool, ServerError> {
    let request = GetTrialBalanceRequest {
        ledger: server.ledger.clone(),
        ..GetTrialBalanceRequest::default()
    };
    let reply = server
        .queries
        .clone()
        .get_trial_balance(patient(request))
        .await?
        .into_inner();
    Ok(reply
        .totals
        .iter()
        .all(|total| total.balanced && total.debits == total.credits))
}

fn patient<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.set_timeout(PATIENCE);
    request
}

fn named(balance: Balance) -> Result<(String, i64), ServerError> {
    let posted = hundredths(&balance.posted)?;
    Ok((balance.account, posted))
}

fn hundredths(text: &str) -> Result<i64, ServerError> {
    text.parse()
        .map_err(|_| ServerError::Nonsense(format!("the balance {text:?}")))
}
