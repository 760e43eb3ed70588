//! Verification: everything recomputed from the first record, and held against all that was
//! made from it.
//!
//! Each shard's log is read from its beginning. Checked are: every record's bytes against the
//! hash that the next record of its ledger carries, contiguous sequences, everything that
//! replay checks, every resulting balance against postings added up apart from it, debits
//! against credits of each asset, every snapshot against the state at its sequence, and the
//! read models. After damage it goes on: with the other ledgers' state, and with the chain of
//! the damaged one. Memory is bounded by the size of the state (and of what the read models
//! show of it).

mod books;
mod falls;
mod models;
mod report;
mod snapshots;
mod transactions;
mod walk;

use std::sync::Arc;

use ledger_core::name::LedgerName;
use ports::log::{LogError, Position};
use ports::projection::ProjectionError;
use ports::routing::shard_of;
use ports::snapshot::{SnapshotError, SnapshotStore};
use ports::views::Views;
use schemas::record::SealedRecord;

use crate::pipeline::{self, Body, Decoded, End};
use crate::recover::PROGRESS_RECORDS;
use crate::source::Source;
use crate::state::ShardState;
use books::Sums;
use models::Models;
use snapshots::Snapshots;
use walk::{Step, Walk};

pub use report::{About, ExpectedHead, FINDINGS_MAX, Finding, Report, Summary};

/// What to hold the log to.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Heads that were kept elsewhere.
    pub expect_heads: Vec<ExpectedHead>,
    /// See [`ledger_core::ledger::LedgerState::new`].
    pub hash_seed: u64,
}

/// How far verification has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The shard.
    pub shard: u32,
    /// The record of the shard.
    pub sequence: u64,
    /// The shard's last record.
    pub end: u64,
}

/// Why verification could not be done. What is damaged is a finding, not an error; so are read
/// models that cannot be read, since all of them can be made again from the log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
}

/// Verifies a log, its snapshots and its read models, where they are given.
///
/// May be run while a server writes: each shard is read up to the end that it has when its turn
/// comes, and the read models are compared at the sequence that [`Summary::compared_at`] states.
///
/// # Errors
/// [`VerifyError`] when something cannot be reached; nothing is known then.
pub async fn verify(
    source: &Source,
    store: Option<Arc<dyn SnapshotStore>>,
    views: Option<Arc<dyn Views>>,
    options: &Options,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    for shard in 0..source.shard_count {
        let run = Run {
            source,
            shard,
            options,
            report: &mut report,
        };
        run.verify(store.as_deref(), views.as_deref(), &mut progress)
            .await?;
    }
    report.sort();
    report.summary.heads.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(report)
}

/// The verification of one shard.
struct Run<'a> {
    source: &'a Source,
    shard: u32,
    options: &'a Options,
    report: &'a mut Report,
}

impl Run<'_> {
    async fn verify(
        mut self,
        store: Option<&dyn SnapshotStore>,
        views: Option<&dyn Views>,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), VerifyError> {
        let shard = self.shard;
        let mut models = match views {
            Some(views) => match Models::observe(views, shard).await {
                Ok(models) => models,
                Err(error) => {
                    self.unreadable_models(&error);
                    None
                }
            },
            None => None,
        };
        // After the read models: every row is of a record before this end.
        let mut end = *self.source.reader.watch(shard).borrow();
        let last = end.saturating_sub(1);
        let log_id = self.source.log_id;
        if let Some(models) = &models {
            models.check_checkpoint(log_id, last, self.report);
        }
        let mut snapshots = match store {
            Some(store) => Some(Snapshots::list(store, shard, log_id, last, self.report).await?),
            None => None,
        };
        let mut expected = self.expected();
        let mut walk = Walk::new(ShardState::new(
            log_id,
            shard,
            self.source.shard_count,
            self.options.hash_seed,
        ));
        let mut from = Position(0);
        let mut extended = false;
        let mut told = 0;
        'log: loop {
            let reader = Arc::clone(&self.source.reader);
            let mut stretches = pipeline::start(reader, shard, from, End::Before(end));
            while let Some(stretch) = stretches.recv().await {
                let (entries, damaged) = match stretch {
                    Ok(entries) => (entries, None),
                    Err(LogError::Damaged { position, what, .. }) if position >= from => {
                        let raw = self.source.reader.read_damaged(shard, position).await;
                        let entry = raw.ok().flatten().map(pipeline::decode);
                        walk.suspect(position, what, entry.as_ref(), self.report);
                        (entry.into_iter().collect(), Some(position))
                    }
                    Err(error) => return Err(error.into()),
                };
                for entry in entries {
                    from = Position(entry.position.0 + 1);
                    self.entry(&mut walk, entry, &mut models, &mut snapshots, &mut expected)
                        .await?;
                }
                // Nothing is decided on this state: it need not remember.
                let done = walk.state.next_sequence() - 1;
                walk.state.forget_through(done);
                if done >= told + PROGRESS_RECORDS || done + 1 >= end {
                    told = done;
                    progress(Progress {
                        shard,
                        sequence: done,
                        end: end.saturating_sub(1),
                    });
                }
                if let Some(position) = damaged {
                    from = Position(position.0 + 1);
                    continue 'log;
                }
                tokio::task::yield_now().await;
            }
            // Transactions are read up to the checkpoint while the walk goes on: what they show
            // may be later than the first end.
            let now = *self.source.reader.watch(shard).borrow();
            if models.is_none() || extended || now == end {
                break;
            }
            (end, extended) = (now, true);
        }
        self.finish(walk, models, expected, end.saturating_sub(1));
        Ok(())
    }

    async fn entry(
        &mut self,
        walk: &mut Walk,
        entry: Decoded,
        models: &mut Option<Models<'_>>,
        snapshots: &mut Option<Snapshots<'_>>,
        expected: &mut Vec<ExpectedHead>,
    ) -> Result<(), VerifyError> {
        if walk.is_behind(&entry, self.report) {
            return Ok(());
        }
        let place = (entry.position, entry.next_sequence);
        let records = match entry.body {
            Body::Records(records) => records,
            Body::Barrier(Ok(_)) => return Ok(()),
            Body::Barrier(Err(error)) => {
                walk.unreadable_barrier(entry.position, &error, self.report);
                return Ok(());
            }
        };
        for (sequence, record) in (entry.first_sequence..).zip(records) {
            match record {
                Err(bytes) => walk.unreadable(place, sequence, &bytes, self.report),
                Ok(record) => {
                    self.report.summary.records += 1;
                    self.report.summary.checks += 1;
                    self.expect(sequence, &record, expected);
                    let step = walk.record(sequence, &record, self.report);
                    if step == Step::Applied
                        && let Some(followed) = models
                        && let Err(error) =
                            followed.follow(walk, sequence, &record, self.report).await
                    {
                        self.unreadable_models(&error);
                        *models = None;
                    }
                }
            }
            if let Some(snapshots) = snapshots {
                snapshots.check_at(&walk.state, self.report).await?;
            }
            if let Some(followed) = models
                && let Err(error) = followed.check_at(&walk.state, self.report).await
            {
                self.unreadable_models(&error);
                *models = None;
            }
        }
        Ok(())
    }

    /// Read models that cannot be read are a finding; the log is checked to its end without
    /// them.
    fn unreadable_models(&mut self, error: &ProjectionError) {
        self.report.find(Finding {
            about: About::ReadModels,
            code: match error {
                ProjectionError::Unavailable(_) => "UNAVAILABLE",
                _ => "READ_MODELS_UNUSABLE",
            },
            shard: self.shard,
            sequence: None,
            ledger: None,
            ledger_sequence: None,
            message: format!("{error}; what they show was not compared any further"),
        });
    }

    /// The expected heads of this shard's ledgers.
    fn expected(&self) -> Vec<ExpectedHead> {
        let count = self.source.shard_count.max(1);
        let own = LedgerName::of_shard(self.shard);
        let heads = self.options.expect_heads.iter();
        heads
            .filter(|head| match head.ledger.is_engine() {
                true => head.ledger == own,
                false => shard_of(&head.ledger, count) == self.shard,
            })
            .cloned()
            .collect()
    }

    fn expect(&mut self, at: u64, record: &SealedRecord, expected: &mut Vec<ExpectedHead>) {
        let (shard, report) = (self.shard, &mut *self.report);
        expected.retain(|head| {
            if head.ledger_sequence != record.record.ledger_sequence
                || head.ledger != record.record.ledger
            {
                return true;
            }
            report.summary.checks += 1;
            if head.hash == record.hash {
                report.summary.expected_heads += 1;
            } else {
                let message = format!("it should have hash {}, and has {}", head.hash, record.hash);
                report.find(mismatch(shard, head, Some(at), message));
            }
            false
        });
    }

    fn finish(
        &mut self,
        mut walk: Walk,
        models: Option<Models<'_>>,
        expected: Vec<ExpectedHead>,
        last: u64,
    ) {
        walk.finish(self.report);
        self.balance(&walk);
        for head in expected {
            let message = "the log has no such record of this ledger".to_owned();
            self.report.find(mismatch(self.shard, &head, None, message));
        }
        let at = models.as_ref().map(Models::at);
        if let Some(mut models) = models {
            models.finish(&walk.state, self.report);
        }
        let heads = walk.state.heads().into_iter();
        let heads = heads.map(|(name, head)| (name.clone(), head));
        let summary = &mut self.report.summary;
        summary.heads.extend(heads);
        summary.log_ends.push(last);
        summary.compared_at.push(at);
        if let Some(found) = walk.state.current_log()
            && found != self.source.log_id
        {
            self.report.find(Finding {
                about: About::Log,
                code: "LOG_UNUSABLE",
                shard: self.shard,
                sequence: Some(last),
                ledger: None,
                ledger_sequence: None,
                message: format!(
                    "the last record belongs to log {found}, and this is log {}: a restore or a migration was not finished",
                    self.source.log_id
                ),
            });
        }
    }

    /// Debits and credits of each asset, by state and by postings; both by account.
    fn balance(&mut self, walk: &Walk) {
        for ledger in walk.state.ledgers() {
            let name = ledger.name();
            self.report.summary.ledgers += u64::from(ledger.terms().is_some());
            self.report.summary.accounts += ledger.accounts().len() as u64;
            let mut sums = [Sums::default(), Sums::default()];
            let mut wrong = Vec::new();
            for account in ledger.accounts() {
                let booked = walk.books.get(name);
                let booked = booked.map(|books| books.totals(account.number));
                let booked = booked.unwrap_or_default();
                if booked != account.totals {
                    wrong.push(format!(
                        "account {} has {}; its postings add up to {}",
                        account.terms.name,
                        books::said(&account.totals),
                        books::said(&booked)
                    ));
                }
                sums[0].add(account.terms.asset, &account.totals);
                sums[1].add(account.terms.asset, &booked);
            }
            self.report.summary.checks += sums[0].len() + ledger.accounts().len() as u64;
            wrong.extend(sums.iter().flat_map(Sums::unbalanced));
            for message in wrong {
                self.report.find(Finding {
                    about: About::Log,
                    code: "BOOKS_UNBALANCED",
                    shard: self.shard,
                    sequence: None,
                    ledger: Some(name.clone()),
                    ledger_sequence: None,
                    message,
                });
            }
        }
    }
}

fn mismatch(shard: u32, head: &ExpectedHead, sequence: Option<u64>, message: String) -> Finding {
    Finding {
        about: About::Head,
        code: "HEAD_MISMATCH",
        shard,
        sequence,
        ledger: Some(head.ledger.clone()),
        ledger_sequence: Some(head.ledger_sequence),
        message,
    }
}
