//! The account history: the statement of each account has every posting once, and their sums
//! are those of what was accepted.

use futures::stream::{self, StreamExt as _};
use schemas::proto::v1 as api;

use super::expected::Moved;
use super::lists::at_least;
use super::{Head, Item, PAGE, Proof};
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::load::plan::{BANK, Shape};

/// Statements that are read at once.
const AT_ONCE: usize = 8;

/// What a statement says, and what its lines add up to.
struct Read {
    account: u32,
    lines: Moved,
    debits: String,
    credits: String,
    opening: String,
    closing: String,
}

impl Proof<'_> {
    pub(super) async fn statements(&mut self, heads: &[Head]) -> Result<(), Failure> {
        let mut item = Item::new(
            "the statement of each account has every posting exactly once, and adds up to what was accepted",
        );
        let mut lines = Item::new("postings in all statements");
        for (ledger, head) in (0..).zip(heads) {
            let name = self.shape().ledger_name(ledger);
            self.bar.set_message(format!("statements of {name}"));
            self.bar.set_length(u64::from(self.shape().accounts) + 1);
            let mut reads = stream::iter(BANK..=self.shape().accounts)
                .map(|account| self.statement(&name, account, head))
                .buffer_unordered(AT_ONCE);
            let mut done = 0;
            while let Some(read) = reads.next().await {
                let read = read?;
                done += 1;
                self.bar.set_position(done);
                let moved = self.expected.books[ledger as usize].accounts[read.account as usize];
                lines.checked += read.lines.lines;
                item.check(fits(&read, &moved), || {
                    format!(
                        "{} of {name}: {} lines with debits {} and credits {}, from {} to {}; accepted were {} with {} and {}",
                        Shape::account_name(read.account),
                        read.lines.lines,
                        read.debits,
                        read.credits,
                        read.opening,
                        read.closing,
                        moved.lines,
                        moved.debits,
                        moved.credits
                    )
                });
            }
        }
        item.claim = format!("{} ({} postings)", item.claim, lines.checked);
        self.items.push(item);
        Ok(())
    }

    async fn statement(&self, ledger: &str, account: u32, head: &Head) -> Result<Read, Failure> {
        let mut page_token = String::new();
        let mut read = Read {
            account,
            lines: Moved::default(),
            debits: String::new(),
            credits: String::new(),
            opening: String::new(),
            closing: String::new(),
        };
        loop {
            let request = api::GetStatementRequest {
                ledger: ledger.to_owned(),
                account: Shape::account_name(account),
                by: api::get_statement_request::By::Recorded.into(),
                at_ledger_sequence: head.ledger_sequence,
                page_size: PAGE,
                page_token,
                consistency: Some(at_least(head)),
                ..Default::default()
            };
            let page = self.calls.call(rpc::GET_STATEMENT, request).await?;
            for line in &page.lines {
                // An amount that is no number is found by the sums.
                let amount: u128 = line.amount.parse().unwrap_or_default();
                read.lines.lines += 1;
                match line.direction() {
                    api::Direction::Debit => read.lines.debits += amount,
                    _ => read.lines.credits += amount,
                }
            }
            (read.debits, read.credits) = (page.total_debits, page.total_credits);
            (read.opening, read.closing) = (page.opening_balance, page.closing_balance);
            page_token = page
                .page
                .map(|page| page.next_page_token)
                .unwrap_or_default();
            if page_token.is_empty() {
                return Ok(read);
            }
        }
    }
}

fn fits(read: &Read, moved: &Moved) -> bool {
    read.lines.lines == moved.lines
        && read.lines.debits == moved.debits
        && read.lines.credits == moved.credits
        && read.debits == moved.debits.to_string()
        && read.credits == moved.credits.to_string()
        && read.opening == "0"
        && read.closing == posted(read.account, moved).to_string()
}

/// The balance on the account's normal side.
pub(super) fn posted(account: u32, moved: &Moved) -> i128 {
    let (debits, credits) = (moved.debits as i128, moved.credits as i128);
    match account {
        BANK => debits - credits,
        _ => credits - debits,
    }
}
