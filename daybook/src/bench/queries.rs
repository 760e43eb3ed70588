//! Queries after the load.

use std::time::Instant;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::proto::v1 as api;
use schemas::proto::v1::query_service_client::QueryServiceClient;

use super::{BenchArgs, BenchError, account_name, histogram};

/// Microseconds a query, by kind.
pub struct Queried {
    /// A balance as of a moment.
    pub balance_as_of: Histogram<u64>,
    /// An account's last 20 postings.
    pub last_postings: Histogram<u64>,
}

pub async fn run(
    args: &BenchArgs,
    channel: tonic::transport::Channel,
    ledger: &str,
) -> Result<Option<Queried>, BenchError> {
    if args.queries == 0 {
        return Ok(None);
    }
    let mut client = QueryServiceClient::new(channel);
    let mut random = SmallRng::seed_from_u64(args.seed);
    let mut queried = Queried {
        balance_as_of: histogram(),
        last_postings: histogram(),
    };
    for turn in 0..args.queries {
        let account = account_name(random.random_range(1..=args.accounts));
        let started = Instant::now();
        if turn % 2 == 0 {
            let request = api::GetBalanceRequest {
                ledger: ledger.to_owned(),
                account,
                as_of: Some(api::AsOf {
                    recorded: Some(std::time::SystemTime::now().into()),
                    effective: None,
                }),
                consistency: None,
            };
            client
                .get_balance(request)
                .await
                .map_err(BenchError::call("GetBalance"))?;
            queried
                .balance_as_of
                .saturating_record(started.elapsed().as_micros() as u64);
        } else {
            let request = api::ListPostingsRequest {
                ledger: ledger.to_owned(),
                account,
                page_size: 20,
                ..api::ListPostingsRequest::default()
            };
            client
                .list_postings(request)
                .await
                .map_err(BenchError::call("ListPostings"))?;
            queried
                .last_postings
                .saturating_record(started.elapsed().as_micros() as u64);
        }
    }
    Ok(Some(queried))
}
