//! What should be in the books, from the manifest; and what its outcomes prove by themselves.

use std::collections::BTreeMap;

use super::{Item, culprit};
use crate::client::failure::Failure;
use crate::load::manifest::{Manifest, Slot, State, code_said};
use crate::load::plan::Purpose;

/// What was moved on an account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    /// Debits.
    pub debits: u128,
    /// Credits.
    pub credits: u128,
    /// Postings.
    pub lines: u64,
}

/// What should be in a ledger.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By account; 0 is the bank's own.
    pub accounts: Vec<Moved>,
    /// Commands that were carried out.
    pub accepted: u64,
    /// Commands that were refused.
    pub refused: u64,
}

/// What should be in the books.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// By ledger.
    pub books: Vec<Book>,
}

/// What was sent, and what it came to.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counts {
    /// Commands sent.
    pub sent: u64,
    /// Carried out.
    pub accepted: u64,
    /// Refused, and on record.
    pub refused: u64,
    /// No commands.
    pub malformed: u64,
    /// Sent again under their key.
    pub repeats: u64,
    /// Without an outcome.
    pub unanswered: u64,
    /// Declined for good.
    pub declined: u64,
    /// Refusals by code.
    pub codes: BTreeMap<String, u64>,
}

/// Whether two outcomes are one. What is not known of one (a refusal's place is not told to its
/// caller) is not compared.
fn same(a: &Slot, b: &Slot) -> bool {
    let known = |x: u64, y: u64| x == y || x == 0 || y == 0;
    a.state == b.state
        && a.code == b.code
        && known(a.ledger_sequence, b.ledger_sequence)
        && known(a.hash, b.hash)
}

pub(super) fn of(manifest: &Manifest) -> Result<(Expected, Counts, Vec<Item>), Failure> {
    let shape = &manifest.header.shape;
    let mut counts = Counts::default();
    let mut codes: BTreeMap<u32, u64> = BTreeMap::new();
    let mut expected = Expected {
        books: vec![
            Book {
                accounts: vec![Moved::default(); shape.accounts as usize + 1],
                ..Book::default()
            };
            shape.ledgers as usize
        ],
    };
    let mut one = Item::new("every command that was sent has an outcome");
    let mut refused = Item::new("what had to be refused was refused");
    let mut malformed = Item::new("what is no command was told so");
    let mut repeated = Item::new("a repeated command got the outcome of the first");
    for stretch in manifest.stretches() {
        let (first, slots) = stretch?;
        for (number, slot) in (first..).zip(&slots) {
            let planned = shape.command(number);
            let name = || culprit(manifest, number);
            counts.sent += 1;
            one.check(
                !matches!(slot.state, State::Sent | State::Declined),
                || match slot.state {
                    State::Sent => format!("{}: none", name()),
                    _ => format!("{}: {}", name(), code_said(slot.code)),
                },
            );
            match slot.state {
                State::Sent => counts.unanswered += 1,
                State::Declined => counts.declined += 1,
                _ => {}
            }
            let said = || match slot.state {
                State::Accepted => "was carried out".to_owned(),
                _ => format!("was answered {}", code_said(slot.code)),
            };
            match planned.purpose {
                Purpose::Malformed(_) => {
                    counts.malformed += u64::from(slot.state == State::NoCommand);
                    malformed.check(matches!(slot.state, State::NoCommand | State::Sent), || {
                        format!("{} {}", name(), said())
                    });
                    continue;
                }
                Purpose::Repeat(original) => {
                    counts.repeats += 1;
                    if slot.state != State::Sent {
                        let before = manifest.slot(original)?;
                        repeated.check(before.state == State::Sent || same(slot, &before), || {
                            format!("{} {}", name(), said())
                        });
                    }
                    continue;
                }
                Purpose::Refuse(_) => refused
                    .check(matches!(slot.state, State::Refused | State::Sent), || {
                        format!("{} {}", name(), said())
                    }),
                Purpose::Carry => {
                    // A command is a command, whatever the balances are.
                    if slot.state == State::NoCommand {
                        malformed.accuse(|| format!("{} {}", name(), said()));
                    }
                }
            }
            let book = &mut expected.books[planned.ledger as usize];
            match slot.state {
                State::Accepted => {
                    counts.accepted += 1;
                    book.accepted += 1;
                    let amount = u128::from(planned.amount);
                    for (account, debit) in [(planned.debit, true), (planned.credit, false)] {
                        let Some(moved) = book.accounts.get_mut(account as usize) else {
                            refused.accuse(|| format!("{} was carried out", name()));
                            continue;
                        };
                        moved.lines += 1;
                        match debit {
                            true => moved.debits += amount,
                            false => moved.credits += amount,
                        }
                    }
                }
                State::Refused => {
                    counts.refused += 1;
                    book.refused += 1;
                    *codes.entry(slot.code).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    counts.codes = codes
        .into_iter()
        .map(|(code, count)| (code_said(code), count))
        .collect();
    Ok((expected, counts, vec![one, refused, malformed, repeated]))
}

impl Book {
    /// Decisions that its chain has.
    pub(super) fn decisions(&self) -> u64 {
        let accounts = self.accounts.len() as u64;
        accounts + 1 + self.accepted + self.refused
    }
}
