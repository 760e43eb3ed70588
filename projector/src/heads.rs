//! Heads of the chains that a projection has reached, remembered so that a busy ledger is not
//! asked for with every stretch.

use std::collections::HashMap;

use ledger_core::name::LedgerName;
use ports::projection::Projection;
use schemas::record::RecordHash;

use crate::failure::Failure;
use crate::fold::{Fold, Link};

/// Chains that are remembered; beyond it all are forgotten and asked for again.
const REMEMBERED_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    known: HashMap<LedgerName, (u64, RecordHash)>,
}

impl Heads {
    /// Checks that every chain of `fold` goes on from where the projection stands.
    pub(crate) async fn check(
        &self,
        shard: u32,
        projection: &dyn Projection,
        fold: &Fold,
    ) -> Result<(), Failure> {
        let asked = self.check_known(shard, fold)?;
        let names: Vec<LedgerName> = asked.iter().map(|link| link.ledger.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let heads = projection
            .heads(shard, &names)
            .await
            .map_err(Failure::Projection)?;
        if heads.len() != names.len() {
            return Err(Failure::Internal(format!(
                "the read models answered {} heads for {} ledgers",
                heads.len(),
                names.len()
            )));
        }
        for (link, head) in asked.iter().zip(heads) {
            let head = head.map(|head| (head.ledger_sequence, head.record_hash));
            follows(shard, link, head)?;
        }
        Ok(())
    }

    /// Checks that every chain of `fold` that is remembered goes on from there, and gives the
    /// others.
    pub(crate) fn check_known(&self, shard: u32, fold: &Fold) -> Result<Vec<Link>, Failure> {
        let mut others = Vec::new();
        for link in fold.links() {
            match self.known.get(&link.ledger) {
                Some(known) => follows(shard, &link, Some(*known))?,
                None => others.push(link),
            }
        }
        Ok(others)
    }

    /// Remembers what was applied.
    pub(crate) fn learn(&mut self, applied: Vec<(LedgerName, (u64, RecordHash))>) {
        if self.known.len() + applied.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.extend(applied.into_iter().take(REMEMBERED_MAX));
    }
}

fn follows(shard: u32, link: &Link, known: Option<(u64, RecordHash)>) -> Result<(), Failure> {
    let expected = (known.map_or(0, |head| head.0), known.map(|head| head.1));
    if (link.ledger_sequence, link.previous_hash) == expected {
        return Ok(());
    }
    Err(Failure::ChainBroken {
        shard,
        sequence: link.sequence,
        ledger: link.ledger.clone(),
        known: expected.0,
    })
}
