//! Fills an account history that lost what it had, or never had it, up to where the read models
//! stand: the log is folded once more, and only its history is written.

use std::sync::Arc;

use ports::history::History;
use ports::log::LogReader;
use ports::projection::{Checkpoint, ProjectionError};

use crate::failure::Failure;
use crate::heads::Heads;
use crate::projector::Config;
use crate::stretch::{Bounds, Cursor};

/// A history that is being filled.
pub(crate) struct Filling {
    config: Config,
    history: Arc<dyn History>,
    /// Where the read models stand.
    through: Checkpoint,
    at: Cursor,
    heads: Heads,
}

impl Filling {
    /// Finds where the history stands; the read models stand at `through`.
    pub(crate) async fn begin(
        config: Config,
        history: Arc<dyn History>,
        through: Checkpoint,
        reader: &dyn LogReader,
    ) -> Result<Self, Failure> {
        let found = history.checkpoint(config.shard).await;
        let found = found.map_err(Failure::Projection)?;
        let at = Cursor::resume(config.log_id, config.shard, found, reader).await?;
        Ok(Self {
            config,
            history,
            through,
            at,
            heads: Heads::default(),
        })
    }

    /// The last record whose history is there, and the last that is to be.
    pub(crate) fn reached(&self) -> (u64, u64) {
        (self.at.next_sequence() - 1, self.through.sequence)
    }

    /// Writes the next stretch. False where nothing is left to be written.
    pub(crate) async fn step(&mut self, reader: &dyn LogReader) -> Result<bool, Failure> {
        let shard = self.config.shard;
        if self.at.next_sequence() > self.through.sequence {
            return match self.at.checkpoint() {
                Some(at) if at.sequence == self.through.sequence && at != self.through => {
                    Err(Failure::LogDiverged {
                        shard,
                        sequence: at.sequence,
                        expected_log: self.through.log_id,
                        expected: self.through.record_hash,
                        found: Some((at.log_id, at.record_hash)),
                    })
                }
                _ => Ok(false),
            };
        }
        let bounds = Bounds {
            records: self.config.records_max,
            bytes: self.config.bytes_max,
            through: self.through.sequence,
        };
        let taken = self.at.take(reader, bounds).await?;
        let stretch = taken.ok_or(Failure::LogBehind {
            shard,
            sequence: self.through.sequence,
        })?;
        self.heads.check_known(shard, &stretch.fold)?;
        let heads = stretch.heads();
        let to = stretch
            .after
            .checkpoint()
            .ok_or_else(|| Failure::Internal("an empty stretch was to be written".to_owned()))?;
        let changes = stretch.fold.finish().map_err(|what| Failure::Stretch {
            shard,
            first: stretch.first,
            last: to.sequence,
            what,
        })?;
        let from = self.at.checkpoint();
        let appended = self
            .history
            .append(
                shard,
                from.as_ref(),
                &to,
                &changes.ledgers,
                &changes.history,
            )
            .await;
        match appended {
            Ok(()) => {}
            // It lost what it had once more: from where it stands now.
            Err(ProjectionError::HistoryBehind { .. }) => {
                let history = Arc::clone(&self.history);
                *self = Self::begin(self.config, history, self.through, reader).await?;
                return Ok(true);
            }
            Err(error) => return Err(Failure::Projection(error)),
        }
        self.heads.learn(heads);
        self.at = stretch.after;
        Ok(true)
    }
}
