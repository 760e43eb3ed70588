//! The proof: every command that was sent has exactly one outcome, every outcome stands in all
//! books exactly once and nothing else does, and the books balance.
//!
//! What should be there follows from the manifest (which outcome each command got) and the plan
//! (what it asked for); what is there is read through the API alone.

mod balances;
mod chain;
mod decisions;
mod expected;
mod lists;
mod statements;

use std::sync::Arc;

use indicatif::ProgressBar;
use schemas::proto::v1 as api;

use super::calls::Calls;
use super::manifest::Manifest;
use super::plan::Shape;
use crate::client::failure::Failure;
use crate::client::rpc;
use crate::client::session::{ClientArgs, Session};

pub use expected::{Counts, Expected};

/// Culprits that are named of each item.
const NAMED: usize = 10;

/// Rows of a page.
const PAGE: u32 = 1_000;

/// Something that is proven, or not.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Item {
    /// What is claimed.
    pub claim: String,
    /// How often it was looked at.
    pub checked: u64,
    /// How often it was not so.
    pub wrong: u64,
    /// The first of those.
    pub culprits: Vec<String>,
}

impl Item {
    /// Nothing was looked at yet.
    pub fn new(claim: impl Into<String>) -> Self {
        Self {
            claim: claim.into(),
            checked: 0,
            wrong: 0,
            culprits: Vec::new(),
        }
    }

    /// Looks at one case.
    pub fn check(&mut self, holds: bool, culprit: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.accuse(culprit);
        }
    }

    /// It is not so, in a case that was counted already or cannot be.
    pub fn accuse(&mut self, culprit: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.culprits.len() < NAMED {
            self.culprits.push(culprit());
        }
    }

    /// True where it always was so.
    pub fn holds(&self) -> bool {
        self.wrong == 0
    }
}

/// How to prove.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys that are asked for one by one, at most.
    pub keys: u64,
    /// Through this operations port the server verifies log, read models and history against
    /// each other.
    pub deep: Option<String>,
}

/// A bit for each command.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(len: u64) -> Self {
        Self(vec![0; len.div_ceil(64) as usize])
    }

    /// Sets the bit; false where it was set.
    pub(super) fn set(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        match self.0.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_set(&self, number: u64) -> bool {
        let word = self.0.get((number / 64) as usize);
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

/// A proof on its way.
pub(super) struct Proof<'a> {
    pub(super) calls: &'a Arc<Calls>,
    pub(super) manifest: &'a Manifest,
    pub(super) expected: &'a Expected,
    pub(super) items: Vec<Item>,
    pub(super) bar: &'a ProgressBar,
}

impl Proof<'_> {
    pub(super) fn shape(&self) -> &Shape {
        &self.manifest.header.shape
    }

    /// The command, its key and its slot, for people.
    pub(super) fn culprit(&self, number: u64) -> String {
        culprit(self.manifest, number)
    }
}

fn culprit(manifest: &Manifest, number: u64) -> String {
    let shape = &manifest.header.shape;
    let planned = shape.command(number);
    let key = manifest.slot(planned.original);
    let key = key.map(|slot| shape.key(planned.original, slot.stamp));
    format!(
        "{} (key {})",
        planned.said(shape),
        key.unwrap_or_else(|_| "unknown".to_owned())
    )
}

/// A ledger's head, as it was acknowledged when the proof began.
pub(super) struct Head {
    pub(super) ledger_sequence: u64,
    pub(super) record_hash: String,
    pub(super) token: String,
}

/// Proves all that can be proven through the API.
///
/// # Errors
/// Something could not be looked at: nothing is known then.
pub async fn prove(
    calls: &Arc<Calls>,
    manifest: &Manifest,
    options: &Options,
    bar: &ProgressBar,
) -> Result<(Counts, Vec<Item>), Failure> {
    bar.set_message("reading the manifest");
    let (expected, counts, items) = expected::of(manifest)?;
    let mut proof = Proof {
        calls,
        manifest,
        expected: &expected,
        items,
        bar,
    };
    let mut heads = Vec::new();
    for ledger in 0..proof.shape().ledgers {
        let request = api::GetHeadRequest {
            ledger: proof.shape().ledger_name(ledger),
        };
        let head = calls.call(rpc::GET_HEAD, request).await?;
        heads.push(Head {
            ledger_sequence: head.ledger_sequence,
            record_hash: head.record_hash,
            token: head.token,
        });
    }
    proof.chains(&heads).await?;
    proof.lists(&heads).await?;
    proof.statements(&heads).await?;
    proof.balances(&heads).await?;
    proof.trial_balances(&heads).await?;
    proof.decisions(options.keys).await?;
    if let Some(operations) = &options.deep {
        proof.deep(operations).await?;
    }
    Ok((counts, proof.items))
}

impl Proof<'_> {
    /// The server's own verification, from the first record on.
    async fn deep(&mut self, operations: &str) -> Result<(), Failure> {
        self.bar.set_message("the server verifies");
        let session = Session::new(ClientArgs {
            timeout: std::time::Duration::from_secs(3_600),
            ..ClientArgs::of(operations, "")
        });
        let request = api::VerifyRequest {
            deep: true,
            ..Default::default()
        };
        let mut stream = session.stream(rpc::VERIFY, request).await?;
        let mut item = Item::new(
            "the server's own verification finds log, read models, history and snapshots agree",
        );
        while let Some(progress) = stream
            .message()
            .await
            .map_err(|status| Failure::from_status(&status))?
        {
            for finding in &progress.findings {
                item.accuse(|| format!("{}: {}", finding.code, finding.message));
            }
            if let Some(summary) = progress.summary {
                item.checked = summary.records;
                if !summary.clean && item.holds() {
                    item.accuse(|| "it is not clean".to_owned());
                }
                self.items.push(item);
                return Ok(());
            }
        }
        Err(Failure::broken("the server ended without a verdict"))
    }
}
