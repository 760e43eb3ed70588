//! What the cells of the archive hold.

use bytes::{Bytes, BytesMut};
use ports::archive::ArchiveMark;
use ports::log::{LogEntry, Position};
use prost::Message as _;
use schemas::proto::archive::v1 as proto;
use schemas::record;

use super::FORM;
use crate::assemble::Row;

/// Bytes of a cell, at most: below the 10 MB that Bigtable is best with.
const CELL_BYTES: usize = 8 * 1024 * 1024;

/// What is known of an entry without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) first_sequence: u64,
    pub(super) bytes: u64,
}

fn about(entry: &LogEntry) -> proto::Entry {
    proto::Entry {
        position: entry.position.0,
        first_sequence: entry.first_sequence,
        record_count: entry.record_count,
        bytes: entry.body.len() as u64,
        blake3: Vec::new(),
    }
}

pub(super) fn encode_place(entry: &LogEntry) -> Vec<u8> {
    about(entry).encode_to_vec()
}

pub(super) fn decode_place(row: &Row) -> Result<Place, String> {
    let said = decode_about(row)?;
    Ok(Place {
        position: Position(said.position),
        first_sequence: said.first_sequence,
        bytes: said.bytes,
    })
}

pub(super) fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    let mut about = about(entry);
    about.blake3 = record::hash(&entry.body).0.to_vec();
    about.encode_to_vec()
}

/// The cells of an entry's bytes.
pub(super) fn parts(body: &Bytes) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    let parts = body.chunks(CELL_BYTES).enumerate();
    parts.map(|(index, part)| (format!("b{index:04}").into_bytes(), part.to_vec()))
}

fn decode_about(row: &Row) -> Result<proto::Entry, String> {
    let bytes = row
        .cell(FORM)
        .ok_or("its row was made by another version, or is damaged")?;
    proto::Entry::decode(bytes).map_err(|error| error.to_string())
}

/// The entry that `row` holds, as it was archived.
pub(super) fn decode_entry(row: Row) -> Result<LogEntry, String> {
    let said = decode_about(&row)?;
    let mut parts = row.cells;
    parts.retain(|cell| cell.qualifier.starts_with(b"b"));
    parts.sort_by(|a, b| a.qualifier.cmp(&b.qualifier));
    let body = match <[_; 1]>::try_from(parts) {
        Ok([part]) => Bytes::from(part.value),
        Err(parts) => {
            let mut body = BytesMut::new();
            for part in parts {
                body.extend_from_slice(&part.value);
            }
            body.freeze()
        }
    };
    if body.len() as u64 != said.bytes {
        return Err(format!(
            "the archive has {} bytes of {}",
            body.len(),
            said.bytes
        ));
    }
    if record::hash(&body).0[..] != said.blake3[..] {
        return Err("its bytes in the archive have another BLAKE3".to_owned());
    }
    Ok(LogEntry {
        position: Position(said.position),
        first_sequence: said.first_sequence,
        record_count: said.record_count,
        body,
    })
}

pub(super) fn encode_mark(mark: ArchiveMark) -> Vec<u8> {
    let mark = proto::Mark {
        next_sequence: mark.next_sequence,
        position: mark.position.0,
    };
    mark.encode_to_vec()
}

pub(super) fn decode_mark(bytes: &[u8]) -> Option<ArchiveMark> {
    let mark = proto::Mark::decode(bytes).ok()?;
    // A mark is after at least one record.
    (mark.next_sequence > 1).then_some(ArchiveMark {
        next_sequence: mark.next_sequence,
        position: Position(mark.position),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::Cell;

    fn entry(bytes: usize) -> LogEntry {
        LogEntry {
            position: Position(u64::MAX - 1),
            first_sequence: 77,
            record_count: 3,
            body: (0..bytes).map(|at| (at * 31 % 251) as u8).collect(),
        }
    }

    fn row(entry: &LogEntry) -> Row {
        let about = (FORM.to_vec(), encode_entry(entry));
        let cells = std::iter::once(about).chain(parts(&entry.body));
        Row {
            key: b"key".to_vec(),
            cells: cells
                .map(|(qualifier, value)| Cell { qualifier, value })
                .collect(),
        }
    }

    #[test]
    fn entries_of_every_size_are_read_as_they_were_written() {
        for bytes in [0, 1, CELL_BYTES, CELL_BYTES + 1, 2 * CELL_BYTES + 5] {
            let entry = entry(bytes);
            let row = row(&entry);
            assert_eq!(row.cells.len(), 1 + bytes.div_ceil(CELL_BYTES));
            assert_eq!(decode_entry(row), Ok(entry), "{bytes} bytes");
        }
    }

    #[test]
    fn every_damage_is_seen() {
        let entry = entry(100);
        let whole = row(&entry);
        for cell in 0..whole.cells.len() {
            for at in 0..whole.cells[cell].value.len() {
                let mut other = whole.clone();
                other.cells[cell].value[at] ^= 4;
                assert_ne!(
                    decode_entry(other),
                    Ok(entry.clone()),
                    "cell {cell}, byte {at}"
                );
            }
            let mut other = whole.clone();
            other.cells.remove(cell);
            assert!(decode_entry(other).is_err());
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = ArchiveMark {
            next_sequence: 2,
            position: Position(0),
        };
        assert_eq!(decode_mark(&encode_mark(mark)), Some(mark));
        assert_eq!(decode_mark(&[]), None);
    }
}
