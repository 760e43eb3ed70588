//! Holds an archive against the log that it was made from, before the log is trimmed.

use crate::log::{Begin, LogEntry, LogError, LogReader, Position};

/// Bytes that are read at once from each.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Reads all entries of `shard` that `log` still has and whose records are all before
/// `before_sequence`, reads the same from `archive`, and compares position, sequence, count and
/// bytes. Gives where the log may begin afterwards: nothing that `archive` was not seen to hold
/// lies below.
///
/// # Errors
/// [`LogError::Damaged`] names the first entry that the archive does not hold as the log does;
/// otherwise as either reader.
pub async fn read_back(
    log: &dyn LogReader,
    archive: &dyn LogReader,
    shard: u32,
    before_sequence: u64,
) -> Result<Begin, LogError> {
    let mut begin = log.begins(shard).await?;
    let mut archived = Archived {
        reader: archive,
        shard,
        waiting: Vec::new().into_iter(),
    };
    loop {
        let entries = log.read(shard, begin.position, READ_BYTES).await?;
        if entries.is_empty() {
            return Ok(begin);
        }
        for entry in entries {
            if entry.record_count > 0 {
                if entry.next_sequence() > before_sequence {
                    return Ok(begin);
                }
                archived.expect(&entry).await?;
            }
            begin = Begin {
                position: Position(entry.position.0 + 1),
                sequence: entry.next_sequence(),
            };
        }
    }
}

struct Archived<'a> {
    reader: &'a dyn LogReader,
    shard: u32,
    waiting: std::vec::IntoIter<LogEntry>,
}

impl Archived<'_> {
    async fn expect(&mut self, entry: &LogEntry) -> Result<(), LogError> {
        if self.waiting.len() == 0 {
            let read = self.reader.read(self.shard, entry.position, READ_BYTES);
            self.waiting = read.await?.into_iter();
        }
        let what = match self.waiting.next() {
            Some(found) if found == *entry => return Ok(()),
            Some(found) => format!(
                "the archive has records {} to {} at position {} instead, or other bytes",
                found.first_sequence,
                found.next_sequence().saturating_sub(1),
                found.position.0
            ),
            None => "the archive does not have this entry".to_owned(),
        };
        Err(LogError::Damaged {
            shard: self.shard,
            position: entry.position,
            what,
        })
    }
}
