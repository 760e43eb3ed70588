//! The proof after the load: every acknowledged transfer is in the books, and they balance.

use schemas::proto::v1 as api;
use schemas::proto::v1::audit_service_client::AuditServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use schemas::proto::v1::transaction_service_client::TransactionServiceClient;

use super::load::Loaded;
use super::{BenchArgs, BenchError, account_name};

/// What was compared.
pub struct Checked {
    /// Accounts whose totals equal what was acknowledged.
    pub accounts: usize,
    /// Transfers that were fetched one by one.
    pub sampled: usize,
    /// Decisions in the ledger's chain.
    pub decisions: u64,
}

pub async fn run(
    args: &BenchArgs,
    channel: tonic::transport::Channel,
    ledger: &str,
    loaded: &Loaded,
) -> Result<Checked, BenchError> {
    let decisions = AuditServiceClient::new(channel.clone())
        .get_head(api::GetHeadRequest {
            ledger: ledger.to_owned(),
        })
        .await
        .map_err(BenchError::call("GetHead"))?
        .into_inner()
        .ledger_sequence;
    let expected = 1 + u64::from(args.accounts) + loaded.transfers + loaded.captures;
    if decisions != expected {
        return Err(BenchError::Wrong(format!(
            "the ledger has {decisions} decisions; {expected} were acknowledged"
        )));
    }
    let mut queries = QueryServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    check_totals(&mut queries, ledger, loaded).await?;
    check_balanced(&mut queries, ledger).await?;
    check_sample(channel, ledger, loaded).await?;
    Ok(Checked {
        accounts: loaded.sums.len(),
        sampled: loaded.sample.len(),
        decisions,
    })
}

async fn check_totals(
    queries: &mut QueryServiceClient<tonic::transport::Channel>,
    ledger: &str,
    loaded: &Loaded,
) -> Result<(), BenchError> {
    let numbers: Vec<u32> = (1..=loaded.sums.len() as u32).collect();
    for stretch in numbers.chunks(1_000) {
        let reply = queries
            .batch_get_balances(api::BatchGetBalancesRequest {
                ledger: ledger.to_owned(),
                accounts: stretch.iter().map(|n| account_name(*n)).collect(),
                as_of: None,
                consistency: None,
            })
            .await
            .map_err(BenchError::call("BatchGetBalances"))?
            .into_inner();
        for (number, balance) in stretch.iter().zip(reply.balances) {
            let (debits, credits) = loaded.sums[*number as usize - 1];
            let right = balance.debits_posted == debits.to_string()
                && balance.credits_posted == credits.to_string()
                && balance.debits_pending == "0"
                && balance.credits_pending == "0";
            if !right {
                return Err(BenchError::Wrong(format!(
                    "account {number} has {balance:?}; acknowledged were {debits} and {credits}"
                )));
            }
        }
    }
    Ok(())
}

/// By sums, which unlike the trial balance have no bound of accounts.
async fn check_balanced(
    queries: &mut QueryServiceClient<tonic::transport::Channel>,
    ledger: &str,
) -> Result<(), BenchError> {
    let reply = queries
        .aggregate_balances(api::AggregateBalancesRequest {
            ledger: ledger.to_owned(),
            pattern: String::new(),
            as_of: None,
            consistency: None,
        })
        .await
        .map_err(BenchError::call("AggregateBalances"))?
        .into_inner();
    let unbalanced = |sum: &&api::AssetSum| {
        sum.debits_posted != sum.credits_posted || sum.debits_pending != sum.credits_pending
    };
    match reply.sums.iter().find(unbalanced) {
        Some(sum) => Err(BenchError::Wrong(format!("{sum:?}"))),
        None => Ok(()),
    }
}

async fn check_sample(
    channel: tonic::transport::Channel,
    ledger: &str,
    loaded: &Loaded,
) -> Result<(), BenchError> {
    let mut transactions = TransactionServiceClient::new(channel);
    for id in &loaded.sample {
        let id = uuid::Uuid::from_u128(*id).to_string();
        let found = transactions
            .get_transaction(api::GetTransactionRequest {
                ledger: ledger.to_owned(),
                transaction_id: id.clone(),
                consistency: None,
            })
            .await
            .map_err(BenchError::call("GetTransaction"))?
            .into_inner();
        if found.status() != api::TransactionStatus::Posted {
            return Err(BenchError::Wrong(format!(
                "transfer {id} is {:?}",
                found.status()
            )));
        }
    }
    Ok(())
}
