//! Holds each snapshot against the state recomputed from zero, at the snapshot's sequence.

use std::collections::BTreeMap;

use ledger_core::ledger::LedgerImage;
use ports::snapshot::{SnapshotError, SnapshotStore};
use schemas::record::LogId;

use super::report::{About, Finding, Report};
use crate::snapshot::{self, Place, ReadError};
use crate::state::ShardState;

/// Snapshots of a shard that wait for the walk to come to their sequence.
pub(super) struct Snapshots<'a> {
    store: &'a dyn SnapshotStore,
    shard: u32,
    waiting: BTreeMap<u64, Vec<(String, Place)>>,
}

impl<'a> Snapshots<'a> {
    /// Lists the snapshots of `shard`, and names those that cannot be compared. `last` is the
    /// log's last record.
    pub(super) async fn list(
        store: &'a dyn SnapshotStore,
        shard: u32,
        log_id: LogId,
        last: u64,
        report: &mut Report,
    ) -> Result<Self, SnapshotError> {
        let mut snapshots = Self {
            store,
            shard,
            waiting: BTreeMap::new(),
        };
        for entry in store.list(shard).await? {
            let name = entry.name;
            let Some(manifest) = entry.manifest else {
                // A crash, or a snapshot that is being made or removed right now.
                if !entry.has_manifest {
                    let why = format!("{name}: it was never finished");
                    report.summary.left_out.push(why);
                    continue;
                }
                let what = "its manifest is damaged";
                snapshots.find(report, "SNAPSHOT_DAMAGED", &name, None, what);
                continue;
            };
            match Place::of(&manifest) {
                Err(why @ (ReadError::Format { .. } | ReadError::EvolveVersion { .. })) => {
                    report.summary.left_out.push(format!("{name}: {why}"));
                }
                Err(why) => {
                    let what = why.to_string();
                    snapshots.find(report, "SNAPSHOT_DAMAGED", &name, None, &what);
                }
                Ok(place) => snapshots.place(report, name, place, log_id, last),
            }
        }
        Ok(snapshots)
    }

    fn place(&mut self, report: &mut Report, name: String, place: Place, log_id: LogId, last: u64) {
        let sequence = place.last.sequence;
        if place.log_id != log_id {
            let what = format!(
                "it belongs to log {}, and this is log {log_id}",
                place.log_id
            );
            self.find(report, "LOG_DIVERGED", &name, Some(sequence), &what);
        } else if sequence > last {
            let what = format!("it was made after record {sequence}, and the log ends with {last}");
            self.find(report, "LOG_BEHIND", &name, Some(sequence), &what);
        } else {
            self.waiting
                .entry(sequence)
                .or_default()
                .push((name, place));
        }
    }

    /// Compares those whose sequence the walk has come to.
    pub(super) async fn check_at(
        &mut self,
        state: &ShardState,
        report: &mut Report,
    ) -> Result<(), SnapshotError> {
        let Some(last) = state.last() else {
            return Ok(());
        };
        while let Some(due) = self.waiting.first_entry()
            && *due.key() <= last.sequence
        {
            let (sequence, named) = due.remove_entry();
            for (name, place) in named {
                if sequence < last.sequence {
                    let what = "the log's record that it was made after is damaged or missing";
                    self.find(report, "LOG_DIVERGED", &name, Some(sequence), what);
                    continue;
                }
                self.compare(state, &name, &place, report).await?;
            }
        }
        Ok(())
    }

    async fn compare(
        &self,
        state: &ShardState,
        name: &str,
        place: &Place,
        report: &mut Report,
    ) -> Result<(), SnapshotError> {
        let sequence = Some(place.last.sequence);
        if Some(place.last) != state.last() {
            report.summary.snapshots += 1;
            let what = format!(
                "it was made after a record with hash {}, and the log has another there",
                place.last.hash
            );
            self.find(report, "LOG_DIVERGED", name, sequence, &what);
            return Ok(());
        }
        let (manifest, chunks) = match self.store.get(self.shard, name).await {
            Ok(found) => found,
            Err(SnapshotError::Damaged { what, .. }) => {
                report.summary.snapshots += 1;
                self.find(report, "SNAPSHOT_DAMAGED", name, sequence, &what);
                return Ok(());
            }
            // A newer one was made since the walk began.
            Err(SnapshotError::NotFound { .. }) => {
                let why = format!("{name}: it was removed meanwhile");
                report.summary.left_out.push(why);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        report.summary.snapshots += 1;
        let kept = match snapshot::read(&manifest, &chunks, state.hash_seed) {
            Ok(kept) => kept,
            Err(why) => {
                self.find(report, "SNAPSHOT_DAMAGED", name, sequence, &why.to_string());
                return Ok(());
            }
        };
        drop(chunks);
        report.summary.checks += 1;
        if let Some(what) = difference(state, &kept) {
            self.find(report, "STATE_DIFFERS", name, sequence, &what);
        }
        Ok(())
    }

    fn find(
        &self,
        report: &mut Report,
        code: &'static str,
        name: &str,
        sequence: Option<u64>,
        what: &str,
    ) {
        report.find(Finding {
            about: About::Snapshot,
            code,
            shard: self.shard,
            sequence,
            ledger: None,
            ledger_sequence: None,
            message: format!("snapshot {name}: {what}"),
        });
    }
}

/// The first difference between two states, but for what they remember. Ledgers that were given
/// up are left out.
pub(crate) fn difference(ours: &ShardState, theirs: &ShardState) -> Option<String> {
    if ours.epoch() != theirs.epoch() {
        return Some(format!(
            "its epoch is {}, the log's {}",
            theirs.epoch(),
            ours.epoch()
        ));
    }
    let (our_heads, their_heads) = (ours.heads(), theirs.heads());
    if our_heads != their_heads {
        return Some("its heads are not those of the log".to_owned());
    }
    if ours.sources() != theirs.sources() {
        return Some("its offsets of the topics are not those of the log".to_owned());
    }
    for (name, _) in our_heads {
        let (Some(our), Some(their)) = (ours.ledger(name), theirs.ledger(name)) else {
            continue;
        };
        let (our, their) = (
            without_memory(our.to_image()),
            without_memory(their.to_image()),
        );
        if our != their {
            return Some(format!("ledger {name}: {}", image_difference(&our, &their)));
        }
    }
    None
}

fn without_memory(mut image: LedgerImage) -> LedgerImage {
    image.keys.clear();
    image.transactions.clear();
    image.forgotten_through = 0;
    image.forgotten_stamp = None;
    image
}

fn image_difference(our: &LedgerImage, their: &LedgerImage) -> String {
    let mut accounts = our.accounts.iter().zip(&their.accounts);
    if let Some((ours, theirs)) = accounts.find(|(ours, theirs)| ours != theirs) {
        let name = &ours.account.terms.name;
        if ours.account.totals != theirs.account.totals {
            return format!(
                "account {name} has {}; the log gives {}",
                super::books::said(&theirs.account.totals),
                super::books::said(&ours.account.totals)
            );
        }
        return format!("account {name} differs from what the log gives");
    }
    if our.accounts.len() != their.accounts.len() {
        return format!(
            "it has {} accounts, the log gives {}",
            their.accounts.len(),
            our.accounts.len()
        );
    }
    if our.holds != their.holds {
        return "its open holds differ from what the log gives".to_owned();
    }
    "its terms or its closing differ from what the log gives".to_owned()
}
