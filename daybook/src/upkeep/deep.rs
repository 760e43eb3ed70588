//! `daybook verify --deep`: what stands outside of the log's own medium, held against the log
//! record by record: the archive's bytes, and every row of the account history.
//!
//! Each shard is compared at one sequence, the archive's and the history's own, and up to there
//! completely. Memory is bounded by a stretch of the log.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use ledger_core::name::LedgerName;
use ports::archive::{Archive, read_back};
use ports::history::History;
use ports::log::{LogEntry, LogError, LogReader, Position};
use ports::projection::{Changes, Checkpoint, HistoryRow, LedgerIndex, ProjectionError};
use ports::views::HistoryRange;
use projector::Fold;
use schemas::proto::v1::Finding;
use schemas::record::{self, LogId};

/// Bytes of the log that are read at once.
const READ_BYTES: usize = 4 * 1024 * 1024;
/// Records of a stretch whose history is held against the store's: about 1 KB of memory each.
const STRETCH_RECORDS: u64 = 32 * 1024;
/// Accounts that are asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Findings that are written out.
const FINDINGS_MAX: usize = 200;

/// The stores that are compared.
pub struct Deep {
    /// The log's own medium alone, without the archive.
    pub own: Arc<dyn LogReader>,
    /// The whole of the log.
    pub whole: Arc<dyn LogReader>,
    /// The log's id.
    pub log_id: LogId,
    /// Its shards.
    pub shard_count: u32,
    /// Its archive.
    pub archive: Arc<dyn Archive>,
    /// The account history.
    pub history: Arc<dyn History>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was held against what.
    pub checks: Vec<String>,
}

/// Why the stores could not be compared. What is wrong in them is a finding, not an error.
#[derive(Debug, thiserror::Error)]
pub enum DeepError {
    /// The log or its archive.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The account history.
    #[error(transparent)]
    History(#[from] ProjectionError),
}

impl Found {
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    fn wrong(&mut self, code: &str, message: String) {
        self.find(Finding {
            code: code.to_owned(),
            message,
            ..Default::default()
        });
    }
}

impl Deep {
    /// Compares all shards. `progress` hears of the shard, the record and the last record.
    ///
    /// # Errors
    /// [`DeepError`] where a store cannot be reached: nothing is known then.
    pub async fn run(
        &self,
        mut progress: impl FnMut(u32, u64, u64) + Send,
    ) -> Result<Found, DeepError> {
        let mut found = Found::default();
        for shard in 0..self.shard_count {
            self.archive(shard, &mut found).await?;
            self.history(shard, &mut found, &mut progress).await?;
        }
        Ok(found)
    }

    /// Everything that the log's medium and the archive both should have, byte for byte.
    async fn archive(&self, shard: u32, found: &mut Found) -> Result<(), DeepError> {
        let end = *self.own.watch(shard).borrow();
        let begin = self.own.begins(shard).await?;
        let Some(mark) = self.archive.mark(shard).await? else {
            if begin.sequence > 1 {
                found.wrong("LOG_BEHIND", missing(shard, 1, begin.sequence));
            }
            found
                .checks
                .push(format!("the archive of shard {shard} holds nothing yet"));
            return Ok(());
        };
        let archived = mark.next_sequence;
        if archived < begin.sequence {
            found.wrong("LOG_BEHIND", missing(shard, archived, begin.sequence));
            return Ok(());
        }
        if archived > end {
            found.wrong(
                "LOG_BEHIND",
                format!(
                    "the archive of shard {shard} has got to record {}, and the log ends with {}",
                    archived - 1,
                    end.saturating_sub(1)
                ),
            );
            return Ok(());
        }
        let archive = self.archive.reader();
        match read_back(self.own.as_ref(), archive.as_ref(), shard, archived).await {
            Ok(_) => found.checks.push(format!(
                "the archive of shard {shard} byte for byte: records {} to {}",
                begin.sequence,
                archived - 1
            )),
            Err(LogError::Damaged { position, what, .. }) => found.wrong(
                "LOG_DIVERGED",
                format!(
                    "shard {shard}, the entry at position {}: {what}",
                    position.0
                ),
            ),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Every row of the history that the records up to its checkpoint make, and no other of
    /// the accounts that they move.
    async fn history(
        &self,
        shard: u32,
        found: &mut Found,
        progress: &mut (impl FnMut(u32, u64, u64) + Send),
    ) -> Result<(), DeepError> {
        let Some(checkpoint) = self.history.checkpoint(shard).await? else {
            let what = format!("the account history of shard {shard} holds nothing yet");
            found.checks.push(what);
            return Ok(());
        };
        if checkpoint.log_id != self.log_id {
            found.wrong(
                "LOG_DIVERGED",
                format!(
                    "the account history of shard {shard} was made from log {}, and this is log {}",
                    checkpoint.log_id, self.log_id
                ),
            );
            return Ok(());
        }
        let mut walk = Walk {
            shard,
            position: Position(0),
            next_sequence: 1,
            rows: 0,
        };
        let end = checkpoint.sequence;
        while walk.next_sequence <= end {
            let Some(changes) = walk
                .stretch(self.whole.as_ref(), &checkpoint, found)
                .await?
            else {
                break;
            };
            self.compare(shard, &changes, found).await?;
            progress(shard, walk.next_sequence - 1, end);
        }
        if walk.next_sequence <= end {
            found.wrong(
                "LOG_BEHIND",
                format!(
                    "the account history of shard {shard} has got to record {end}, and the log \
                     could be followed to record {} only",
                    walk.next_sequence - 1
                ),
            );
            return Ok(());
        }
        found.checks.push(format!(
            "the account history of shard {shard} at record {end}, row by row: {} rows",
            walk.rows
        ));
        Ok(())
    }

    async fn compare(
        &self,
        shard: u32,
        changes: &Changes,
        found: &mut Found,
    ) -> Result<(), DeepError> {
        let mut bounds: HashMap<LedgerIndex, Range<u64>> = HashMap::new();
        for row in &changes.history {
            let bound = bounds
                .entry(row.ledger)
                .or_insert(row.ledger_sequence..row.ledger_sequence);
            bound.start = bound.start.min(row.ledger_sequence);
            bound.end = bound.end.max(row.ledger_sequence);
        }
        let groups = changes
            .history
            .chunk_by(|a, b| (a.ledger, a.account) == (b.ledger, b.account));
        let mut asked: FuturesUnordered<BoxFuture<'_, Compared>> = FuturesUnordered::new();
        for rows in groups {
            let Some(first) = rows.first() else { continue };
            let ledger = changes.ledgers.get(first.ledger.0 as usize);
            if let (Some(ledger), Some(bound)) = (ledger, bounds.get(&first.ledger)) {
                asked.push(Box::pin(self.account(ledger, rows, bound.clone())));
            }
            if asked.len() >= ASKED_AT_ONCE
                && let Some(answer) = asked.next().await
            {
                told(shard, answer?, found);
            }
        }
        while let Some(answer) = asked.next().await {
            told(shard, answer?, found);
        }
        Ok(())
    }

    /// The rows of one account in a stretch against what the store has there.
    async fn account(
        &self,
        ledger: &LedgerName,
        expected: &[HistoryRow],
        bound: Range<u64>,
    ) -> Compared {
        let Some(account) = expected.first().map(|row| row.account) else {
            return Ok(None);
        };
        let mut stored: Vec<HistoryRow> = Vec::new();
        let mut from = bound.start;
        // A page may hold fewer rows than were asked for; one that holds none is the last.
        while stored.len() <= expected.len() {
            let range = HistoryRange {
                from,
                through: bound.end,
                newest_first: false,
            };
            let most = expected.len() + 1 - stored.len();
            let page = self.history.rows(ledger, account, range, most).await?;
            let Some(last) = page.last() else { break };
            from = last.ledger_sequence + 1;
            stored.extend(page);
        }
        for row in &mut stored {
            row.ledger = LedgerIndex(0);
        }
        for (index, row) in expected.iter().enumerate() {
            let mut row = row.clone();
            row.ledger = LedgerIndex(0);
            let what = match stored.get(index) {
                Some(stored) if *stored == row => continue,
                Some(stored) if stored.ledger_sequence == row.ledger_sequence => {
                    "another row stands there than the record makes"
                }
                _ => "its row is missing, or one stands before it that no record makes",
            };
            let what = format!("account number {}: {what}", account.0);
            return Ok(Some((ledger.clone(), row.ledger_sequence, what)));
        }
        Ok(stored.get(expected.len()).map(|extra| {
            let what = format!("account number {}: a row that no record makes", account.0);
            (ledger.clone(), extra.ledger_sequence, what)
        }))
    }
}

/// Which record's row of an account is wrong, and how.
type Compared = Result<Option<(LedgerName, u64, String)>, DeepError>;

fn told(shard: u32, wrong: Option<(LedgerName, u64, String)>, found: &mut Found) {
    if let Some((ledger, ledger_sequence, what)) = wrong {
        found.find(Finding {
            code: "STATE_DIFFERS".to_owned(),
            ledger: ledger.to_string(),
            ledger_sequence,
            message: format!("account history of shard {shard}: {what}"),
            ..Default::default()
        });
    }
}

fn missing(shard: u32, from: u64, to: u64) -> String {
    format!(
        "records {from} to {} of shard {shard} were trimmed from the log, and the archive does \
         not have them",
        to - 1
    )
}

/// A walk along a shard.
struct Walk {
    shard: u32,
    position: Position,
    next_sequence: u64,
    rows: u64,
}

impl Walk {
    /// What the next records up to the checkpoint change; `None` where none could be had, and
    /// that was told.
    async fn stretch(
        &mut self,
        reader: &dyn LogReader,
        checkpoint: &Checkpoint,
        found: &mut Found,
    ) -> Result<Option<Changes>, DeepError> {
        let mut fold = Fold::new();
        'stretch: while self.next_sequence <= checkpoint.sequence
            && fold.records() < STRETCH_RECORDS
        {
            let entries = reader.read(self.shard, self.position, READ_BYTES).await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                if self.next_sequence > checkpoint.sequence || fold.records() >= STRETCH_RECORDS {
                    break 'stretch;
                }
                if let Err(what) = self.entry(&mut fold, &entry, checkpoint) {
                    found.wrong(
                        "LOG_DAMAGED",
                        format!(
                            "shard {}, record {}: {what}",
                            self.shard, self.next_sequence
                        ),
                    );
                    return Ok(None);
                }
                self.position = Position(entry.position.0 + 1);
            }
        }
        if fold.records() == 0 {
            return Ok(None);
        }
        match fold.finish() {
            Ok(changes) => {
                self.rows += changes.history.len() as u64;
                Ok(Some(changes))
            }
            Err(unfit) => {
                found.wrong("LOG_DAMAGED", format!("shard {}: {unfit}", self.shard));
                Ok(None)
            }
        }
    }

    fn entry(
        &mut self,
        fold: &mut Fold,
        entry: &LogEntry,
        checkpoint: &Checkpoint,
    ) -> Result<(), String> {
        if entry.record_count == 0 {
            return Ok(());
        }
        let records = record::frame::split(entry.body.clone()).map_err(|e| e.to_string())?;
        for (sequence, bytes) in (entry.first_sequence..).zip(records) {
            if sequence < self.next_sequence || sequence > checkpoint.sequence {
                continue;
            }
            if sequence == checkpoint.sequence && record::hash(&bytes) != checkpoint.record_hash {
                return Err("the account history was made from another record".to_owned());
            }
            let sealed = record::decode(bytes).map_err(|error| error.to_string())?;
            fold.add(entry.position, sequence, sealed)
                .map_err(|unfit| unfit.to_string())?;
            self.next_sequence = sequence + 1;
        }
        Ok(())
    }
}
