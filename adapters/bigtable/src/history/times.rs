//! From a ledger sequence to a time, so that a range of sequences is a range of keys.
//!
//! Of every 1,024 sequences of a ledger one row says when one of them was recorded. It is
//! written again with every stretch that falls into them, and whatever it says then is as true
//! as before: that record was recorded at that time. Since times never fall along sequences, a
//! record before `from` bounds the keys of all records from `from` on, and one after `through`
//! those up to `through`; at most about 2,000 records are read in vain.

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::projection::{HistoryRow, ProjectionError};

use super::{BigtableHistory, FORM};
use crate::client::Table;
use crate::key::{self, Key};
use crate::rows::Scan;

/// Sequences that share a row.
const BUCKET: u64 = 1_024;

/// When a record was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeMark {
    sequence: u64,
    at: Timestamp,
}

impl TimeMark {
    pub(super) fn bucket(&self) -> u64 {
        self.sequence / BUCKET
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.sequence.to_be_bytes().to_vec();
        bytes.extend_from_slice(&key::biased(self.at).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            at: key::unbiased(u64::from_be_bytes(rest.try_into().ok()?))?,
        })
    }
}

/// A mark for every ledger and bucket that `rows` fall into: its first record.
pub(super) fn marks(rows: &[HistoryRow]) -> Vec<(u32, TimeMark)> {
    // Rows come by account, and within it by sequence: most are not the first of their bucket.
    let mut first = std::collections::BTreeMap::new();
    for row in rows {
        let mark = TimeMark {
            sequence: row.ledger_sequence,
            at: row.recorded_at,
        };
        first
            .entry((row.ledger.0, mark.bucket()))
            .and_modify(|found: &mut TimeMark| {
                if mark.sequence < found.sequence {
                    *found = mark;
                }
            })
            .or_insert(mark);
    }
    first
        .into_iter()
        .map(|((ledger, _), mark)| (ledger, mark))
        .collect()
}

impl BigtableHistory {
    pub(super) fn time_key(&self, ledger: &LedgerName) -> Key {
        Key::new(self.log_id).text("!time").text(ledger.as_str())
    }

    /// The time of a record at or before `sequence`, and not long before; `None` where none
    /// moved anything.
    pub(super) async fn time_at_or_before(
        &self,
        ledger: &LedgerName,
        sequence: u64,
    ) -> Result<Option<Timestamp>, ProjectionError> {
        if sequence <= 1 {
            return Ok(None);
        }
        let scan = Scan {
            from: self.time_key(ledger).first_of(),
            to: self.time_key(ledger).u64(sequence / BUCKET).next(),
            reversed: true,
            // The nearest may speak of a record after `sequence`; the one before does not.
            most: 2,
        };
        let marks = self.time_marks(&scan).await?;
        let fits = marks.into_iter().find(|mark| mark.sequence <= sequence);
        Ok(fits.map(|mark| mark.at))
    }

    /// The time of a record after `sequence`, and not long after; `None` where there is none.
    pub(super) async fn time_after(
        &self,
        ledger: &LedgerName,
        sequence: u64,
    ) -> Result<Option<Timestamp>, ProjectionError> {
        let Some(bucket) = (sequence / BUCKET).checked_add(1) else {
            return Ok(None);
        };
        let scan = Scan {
            from: self.time_key(ledger).u64(bucket).0,
            to: self.time_key(ledger).after_all_of(),
            reversed: false,
            most: 1,
        };
        let marks = self.time_marks(&scan).await?;
        Ok(marks.first().map(|mark| mark.at))
    }

    async fn time_marks(&self, scan: &Scan) -> Result<Vec<TimeMark>, ProjectionError> {
        let rows = self.client.scan(Table::History, scan).await?;
        rows.iter()
            .map(|row| {
                row.cell(FORM).and_then(TimeMark::decode).ok_or_else(|| {
                    ProjectionError::Unusable(
                        "a mark of time of the account history is damaged".to_owned(),
                    )
                })
            })
            .collect()
    }
}
