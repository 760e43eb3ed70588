//! What must hold when all is over: every command has its one outcome, every account holds what
//! it must in the books and in the read models, and all stores agree.

use std::collections::BTreeSet;

use schemas::proto::v1 as api;

use crate::bank::{STATEMENT, TRIAL_BALANCE, strong};
use crate::cluster::Cluster;
use crate::traffic::{Client, Finished};

/// Commands that are repeated in one call.
const CHUNK: usize = 500;

impl Finished {
    /// Proves it to the end.
    pub fn prove(&self, cluster: &Cluster) {
        self.runtime.block_on(async {
            let mut sequences = BTreeSet::new();
            for client in &self.clients {
                self.repeats(client).await;
                self.accounts(client).await;
                for sent in &client.sent {
                    if let Ok(sequence) = sent.outcome {
                        let place = (client.ledger.clone(), sequence);
                        assert!(sequences.insert(place), "two commands at {sequence}");
                    }
                }
            }
            let ledgers: BTreeSet<_> = self.clients.iter().map(|client| &client.ledger).collect();
            for ledger in ledgers {
                self.balanced(ledger).await;
            }
        });
        cluster.verify();
    }

    /// Every command, sent once more, comes to what it came to.
    async fn repeats(&self, client: &Client) {
        for chunk in client.sent.chunks(CHUNK) {
            let commands: Vec<_> = chunk.iter().map(|sent| sent.command.clone()).collect();
            let again = self.bank.write_all(&commands).await.unwrap();
            for (sent, again) in chunk.iter().zip(again) {
                let key = &sent.command.idempotency_key;
                let again = again.map(|receipt| {
                    assert!(receipt.repeated, "{key} was lost, and is booked only now");
                    receipt.ledger_sequence
                });
                assert_eq!(again, sent.outcome, "{key} has two outcomes");
            }
        }
    }

    /// Every account holds what it must, and has as many postings as it must.
    async fn accounts(&self, client: &Client) {
        for (account, &(balance, postings)) in &client.accounts {
            let found = self.bank.posted(&client.ledger, account, strong()).await;
            assert_eq!(found, Ok(balance), "{account} of {}", client.ledger);
            let (lines, last) = self.lines(&client.ledger, account).await;
            assert_eq!(
                lines, postings,
                "postings of {account} of {}",
                client.ledger
            );
            assert_eq!(
                last, balance,
                "the statement of {account} of {}",
                client.ledger
            );
        }
    }

    /// How many lines an account's statement has, and the balance that it closes with.
    async fn lines(&self, ledger: &str, account: &str) -> (u64, i64) {
        let mut request = api::GetStatementRequest {
            ledger: ledger.to_owned(),
            account: account.to_owned(),
            page_size: 1_000,
            consistency: strong(),
            ..Default::default()
        };
        let mut lines = 0;
        loop {
            let page = self
                .bank
                .settle(STATEMENT, || {
                    let (mut queries, request) = (self.bank.queries(), request.clone());
                    async move { queries.get_statement(request).await }
                })
                .await
                .unwrap();
            lines += page.lines.len() as u64;
            let next = page.page.map(|page| page.next_page_token);
            match next.filter(|token| !token.is_empty()) {
                Some(token) => request.page_token = token,
                None => return (lines, page.closing_balance.parse().unwrap()),
            }
        }
    }

    async fn balanced(&self, ledger: &str) {
        let request = api::GetTrialBalanceRequest {
            ledger: ledger.to_owned(),
            consistency: strong(),
            ..Default::default()
        };
        let reply = self
            .bank
            .settle(TRIAL_BALANCE, || {
                let (mut queries, request) = (self.bank.queries(), request.clone());
                async move { queries.get_trial_balance(request).await }
            })
            .await
            .unwrap();
        assert!(!reply.totals.is_empty());
        for total in reply.totals {
            assert!(total.balanced, "{ledger}: {total:?}");
        }
    }
}
