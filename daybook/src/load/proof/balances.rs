//! Balances: the writer's own and the read models' are the sums of what was accepted, and the
//! books balance.

use schemas::proto::v1 as api;

use super::lists::at_least;
use super::statements::posted;
use super::{Head, Item, PAGE, Proof};
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::load::plan::{BANK, Shape};

impl Proof<'_> {
    pub(super) async fn balances(&mut self, heads: &[Head]) -> Result<(), Failure> {
        let mut writers =
            Item::new("balances as the writer has them are the sums of what was accepted");
        let mut models =
            Item::new("balances as the read models have them are the sums of what was accepted");
        for (ledger, head) in (0..).zip(heads) {
            let name = self.shape().ledger_name(ledger);
            self.bar.set_message(format!("balances of {name}"));
            let accounts: Vec<u32> = (BANK..=self.shape().accounts).collect();
            for some in accounts.chunks(PAGE as usize) {
                for (item, consistency) in
                    [(&mut writers, None), (&mut models, Some(at_least(head)))]
                {
                    let request = api::BatchGetBalancesRequest {
                        ledger: name.clone(),
                        accounts: some.iter().copied().map(Shape::account_name).collect(),
                        as_of: None,
                        consistency,
                    };
                    let reply = self.calls.call(rpc::BATCH_GET_BALANCES, request).await?;
                    if reply.balances.len() != some.len() {
                        item.accuse(|| format!("{name}: balances are missing"));
                    }
                    for (account, balance) in some.iter().zip(&reply.balances) {
                        self.balance(ledger, *account, balance, item);
                    }
                }
            }
        }
        self.items.extend([writers, models]);
        Ok(())
    }

    fn balance(&self, ledger: u32, account: u32, balance: &api::Balance, item: &mut Item) {
        let moved = &self.expected.books[ledger as usize].accounts[account as usize];
        let fits = balance.debits_posted == moved.debits.to_string()
            && balance.credits_posted == moved.credits.to_string()
            && balance.debits_pending == "0"
            && balance.credits_pending == "0"
            && balance.posted == posted(account, moved).to_string()
            && balance.account == Shape::account_name(account);
        item.check(fits, || {
            format!(
                "{} of {}: debits {} and credits {}; accepted were {} and {}",
                Shape::account_name(account),
                self.shape().ledger_name(ledger),
                balance.debits_posted,
                balance.credits_posted,
                moved.debits,
                moved.credits
            )
        });
    }

    pub(super) async fn trial_balances(&mut self, heads: &[Head]) -> Result<(), Failure> {
        let mut item =
            Item::new("the trial balance of each ledger balances, with every account's balance");
        for (ledger, head) in (0..).zip(heads) {
            let name = self.shape().ledger_name(ledger);
            self.bar.set_message(format!("trial balance of {name}"));
            let request = api::GetTrialBalanceRequest {
                ledger: name.clone(),
                as_of: None,
                consistency: Some(at_least(head)),
            };
            let trial = self.calls.call(rpc::GET_TRIAL_BALANCE, request).await?;
            for total in &trial.totals {
                item.check(total.balanced && total.debits == total.credits, || {
                    format!(
                        "{name}: {} debits {}, credits {}",
                        total.asset, total.debits, total.credits
                    )
                });
            }
            let book = &self.expected.books[ledger as usize];
            let expected: i128 = (BANK..)
                .zip(&book.accounts)
                .filter(|(account, _)| *account != BANK)
                .map(|(account, moved)| posted(account, moved))
                .sum();
            let customers = trial.lines.iter();
            let customers = customers.filter(|line| line.account != Shape::account_name(BANK));
            let shown: i128 = customers
                .map(|line| {
                    let side = |text: &str| text.parse::<i128>().unwrap_or_default();
                    side(&line.credit_balance) - side(&line.debit_balance)
                })
                .sum();
            item.check(shown == expected, || {
                format!("{name}: customers have {shown}; accepted were {expected}")
            });
        }
        self.items.push(item);
        Ok(())
    }
}
