//! Balances as of either time or both, sums and the trial balance, against a naive scan.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{Moved, Server, posted, request, sums, time};
use ledger_core::time::Timestamp;
use ports::memory::ACCOUNTS;
use schemas::proto::v1;

fn as_of(effective: Option<Timestamp>, recorded: Option<Timestamp>) -> Option<v1::AsOf> {
    Some(v1::AsOf {
        effective: effective.and_then(time),
        recorded: recorded.and_then(time),
    })
}

fn before(moved: &Moved, effective: Option<Timestamp>, recorded: Option<Timestamp>) -> bool {
    effective.is_none_or(|at| moved.effective_at <= at)
        && recorded.is_none_or(|at| moved.recorded_at <= at)
}

async fn check(server: &Server, seed: u64, count: usize) {
    let mut books = server.books("bank", seed);
    books.write(count).await;
    let moved = posted(server, "bank").await;
    for _ in 0..25 {
        let effective = (books.below(3) > 0).then(|| books.instant());
        let recorded = (books.below(3) > 0).then(|| books.instant());
        let asked = as_of(effective, recorded);
        let names: Vec<String> = ACCOUNTS.iter().map(|a| a.0.to_owned()).collect();
        let reply = server
            .api
            .batch_get_balances(request(v1::BatchGetBalancesRequest {
                ledger: "bank".to_owned(),
                accounts: names,
                as_of: asked,
                consistency: None,
            }));
        let balances = reply.await.unwrap().balances;
        let mut by_asset: BTreeMap<String, (u128, u128)> = BTreeMap::new();
        for (index, balance) in balances.iter().enumerate() {
            let number = index as u32 + 1;
            let (debits, credits) = sums(&moved, number, |m| before(m, effective, recorded));
            assert_eq!(
                (&balance.debits_posted, &balance.credits_posted),
                (&debits.to_string(), &credits.to_string()),
                "seed {seed}, account {number}, effective {effective:?}, recorded {recorded:?}"
            );
            let sum = by_asset.entry(balance.asset.clone()).or_default();
            sum.0 += debits.minor_units();
            sum.1 += credits.minor_units();
        }
        let reply = server
            .api
            .aggregate_balances(request(v1::AggregateBalancesRequest {
                ledger: "bank".to_owned(),
                pattern: String::new(),
                as_of: asked,
                consistency: None,
            }));
        let aggregated: BTreeMap<String, (u128, u128)> = reply
            .await
            .unwrap()
            .sums
            .into_iter()
            .map(|sum| {
                let figures = (
                    sum.debits_posted.parse().unwrap(),
                    sum.credits_posted.parse().unwrap(),
                );
                (sum.asset, figures)
            })
            .collect();
        for (asset, sums) in &by_asset {
            assert_eq!(sums.0, sums.1, "books balance");
            // Accounts that were not open at `recorded` are not counted, and held nothing.
            assert_eq!(aggregated.get(asset).copied().unwrap_or_default(), *sums);
        }
        let reply = server
            .api
            .get_trial_balance(request(v1::GetTrialBalanceRequest {
                ledger: "bank".to_owned(),
                as_of: asked,
                consistency: None,
            }));
        let trial = reply.await.unwrap();
        for total in &trial.totals {
            assert!(total.balanced && total.debits == total.credits, "{total:?}");
        }
        for line in &trial.lines {
            let number = ACCOUNTS.iter().position(|a| a.0 == line.account).unwrap() as u32 + 1;
            let (debits, credits) = sums(&moved, number, |m| before(m, effective, recorded));
            let net = debits.signed_sub(credits);
            let shown = match line.debit_balance.as_str() {
                "" => -line.credit_balance.parse::<i128>().unwrap(),
                debit => debit.parse().unwrap(),
            };
            assert_eq!(shown, net, "{line:?}");
        }
    }
}

#[tokio::test]
async fn balances_as_of_are_what_a_scan_of_the_log_says() {
    for seed in 0..20 {
        let server = Server::new(1).await;
        check(&server, seed, 120).await;
    }
}

#[tokio::test]
async fn long_histories_are_read_in_pieces() {
    let server = Server::new(1).await;
    check(&server, 1_000, 2_500).await;
}

#[tokio::test]
async fn the_same_over_sqlite() {
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let options = adapter_embedded::Options {
            shards: Some(1),
            create: true,
            ..adapter_embedded::Options::default()
        };
        let embedded = adapter_embedded::Embedded::open(dir.path(), options)
            .await
            .unwrap();
        let server = Server::over(
            embedded.log().log_id(),
            1,
            embedded.projection(),
            embedded.views(),
        )
        .await;
        check(&server, seed, 150).await;
    }
}

#[tokio::test]
async fn the_present_is_the_same_from_the_writer_and_from_the_read_models() {
    let server = Server::new(1).await;
    server.books("bank", 9).write(300).await;
    for (name, _, _) in ACCOUNTS {
        let of = |consistency| {
            server.api.get_account(request(v1::GetAccountRequest {
                ledger: "bank".to_owned(),
                account: name.to_owned(),
                consistency,
            }))
        };
        let strong = of(None).await.unwrap();
        let head = server.api.get_head(request(v1::GetHeadRequest {
            ledger: "bank".to_owned(),
        }));
        let token = head.await.unwrap().token;
        let at_least = v1::consistency::Consistency::AtLeast(token);
        let projected = of(Some(v1::Consistency {
            consistency: Some(at_least),
        }));
        assert_eq!(strong, projected.await.unwrap());
    }
}
