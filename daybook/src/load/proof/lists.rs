//! The read models: every accepted command made one transaction, as it was sent, and there are no
//! others.

use schemas::proto::v1 as api;

use super::{Bits, Head, Item, PAGE, Proof};
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::load::manifest::State;
use crate::load::plan::{Purpose, Shape};

impl Proof<'_> {
    pub(super) async fn lists(&mut self, heads: &[Head]) -> Result<(), Failure> {
        let mut once = Item::new(
            "every accepted command is in the read models exactly once, with its accounts and amount",
        );
        let mut others = Item::new("the read models have no other transactions");
        let mut seen = Bits::new(self.manifest.len());
        for (ledger, head) in (0..).zip(heads) {
            let name = self.shape().ledger_name(ledger);
            let mut found = 0;
            let mut page_token = String::new();
            self.bar
                .set_length(self.expected.books[ledger as usize].accepted);
            loop {
                self.bar.set_message(format!("transactions of {name}"));
                let request = api::ListTransactionsRequest {
                    ledger: name.clone(),
                    oldest_first: true,
                    page_size: PAGE,
                    page_token,
                    consistency: Some(at_least(head)),
                    ..Default::default()
                };
                let page = self.calls.call(rpc::LIST_TRANSACTIONS, request).await?;
                for transaction in &page.transactions {
                    found += 1;
                    self.listed(ledger, transaction, &mut seen, &mut once, &mut others)?;
                }
                self.bar.set_position(found);
                page_token = page
                    .page
                    .map(|page| page.next_page_token)
                    .unwrap_or_default();
                if page_token.is_empty() {
                    break;
                }
            }
            let accepted = self.expected.books[ledger as usize].accepted;
            others.check(found == accepted, || {
                format!("{name} has {found} transactions, and {accepted} were carried out")
            });
        }
        for stretch in self.manifest.stretches() {
            let (first, slots) = stretch?;
            for (number, slot) in (first..).zip(&slots) {
                let is_own = !matches!(self.shape().command(number).purpose, Purpose::Repeat(_));
                if slot.state == State::Accepted && is_own && !seen.is_set(number) {
                    once.check(false, || {
                        format!("{}: not in the read models", self.culprit(number))
                    });
                }
            }
        }
        self.items.extend([once, others]);
        Ok(())
    }

    fn listed(
        &self,
        ledger: u32,
        transaction: &api::Transaction,
        seen: &mut Bits,
        once: &mut Item,
        others: &mut Item,
    ) -> Result<(), Failure> {
        let key = &transaction.idempotency_key;
        let number = self.shape().number_of(key);
        let number = number.filter(|number| *number < self.manifest.len());
        let Some(number) = number else {
            others.accuse(|| format!("transaction {} has key {key}", transaction.id));
            return Ok(());
        };
        let planned = self.shape().command(number);
        let slot = self.manifest.slot(number)?;
        let postings = &transaction.postings;
        let is_as_sent = postings.len() == 1
            && postings[0].debit == Shape::account_name(planned.debit)
            && postings[0].credit == Shape::account_name(planned.credit)
            && postings[0].amount == planned.amount.to_string();
        let is_as_answered = slot.state == State::Accepted
            && planned.ledger == ledger
            && slot.ledger_sequence == transaction.ledger_sequence
            && transaction.status() == api::TransactionStatus::Posted;
        let first = seen.set(number);
        once.check(first && is_as_sent && is_as_answered, || {
            let what = match (first, is_as_sent) {
                (false, _) => "there once more",
                (_, false) => "other accounts or another amount",
                _ => "not as it was answered",
            };
            format!("{}: {what}: {transaction:?}", self.culprit(number))
        });
        Ok(())
    }
}

/// With everything that was acknowledged when the proof began.
pub(super) fn at_least(head: &Head) -> api::Consistency {
    api::Consistency {
        consistency: Some(api::consistency::Consistency::AtLeast(head.token.clone())),
    }
}
