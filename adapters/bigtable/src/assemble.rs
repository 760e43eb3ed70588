//! Puts rows together from the chunks that ReadRows sends.

use gcloud_sdk::google::bigtable::v2::read_rows_response::CellChunk;
use gcloud_sdk::google::bigtable::v2::read_rows_response::cell_chunk::RowStatus;

/// A row, as far as the filter let it through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) cells: Vec<Cell>,
}

/// A cell of it. All of a table's cells are in one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) qualifier: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Row {
    /// The value of the column `qualifier`.
    pub(crate) fn cell(&self, qualifier: &[u8]) -> Option<&[u8]> {
        let found = self.cells.iter().find(|cell| cell.qualifier == qualifier);
        found.map(|cell| cell.value.as_slice())
    }
}

/// The row that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    row: Row,
    /// More of the last cell's value follows.
    within: bool,
}

impl Assembler {
    /// Takes the next chunk; gives the row that it ends.
    ///
    /// # Errors
    /// Says what is wrong with a chunk that cannot follow the one before it.
    pub(crate) fn push(&mut self, chunk: CellChunk) -> Result<Option<Row>, &'static str> {
        if matches!(chunk.row_status, Some(RowStatus::ResetRow(true))) {
            *self = Self::default();
            return Ok(None);
        }
        if !chunk.row_key.is_empty() {
            if self.row.key.is_empty() {
                self.row.key = chunk.row_key;
            } else if self.row.key != chunk.row_key {
                return Err("a row begins before the last one was ended");
            }
        } else if self.row.key.is_empty() {
            return Err("a row has no key");
        }
        if self.within {
            match self.row.cells.last_mut() {
                Some(cell) => cell.value.extend_from_slice(&chunk.value),
                None => return Err("a value goes on that never began"),
            }
        } else {
            let qualifier = match (chunk.qualifier, self.row.cells.last()) {
                (Some(qualifier), _) => qualifier,
                (None, Some(last)) => last.qualifier.clone(),
                (None, None) => return Err("a cell has no column"),
            };
            let mut value = chunk.value;
            if let Ok(whole) = usize::try_from(chunk.value_size) {
                value.reserve_exact(whole.saturating_sub(value.len()));
            }
            self.row.cells.push(Cell { qualifier, value });
        }
        self.within = chunk.value_size > 0;
        match chunk.row_status {
            Some(RowStatus::CommitRow(true)) if self.within => Err("a row ends within a value"),
            Some(RowStatus::CommitRow(true)) => Ok(Some(std::mem::take(self).row)),
            _ => Ok(None),
        }
    }

    /// True between two rows.
    pub(crate) fn is_idle(&self) -> bool {
        self.row.key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(key: &str, qualifier: Option<&str>, value: &str) -> CellChunk {
        CellChunk {
            row_key: key.into(),
            family_name: qualifier.map(|_| "f".to_owned()),
            qualifier: qualifier.map(Into::into),
            value: value.into(),
            ..CellChunk::default()
        }
    }

    fn ending(mut chunk: CellChunk) -> CellChunk {
        chunk.row_status = Some(RowStatus::CommitRow(true));
        chunk
    }

    fn partly(mut chunk: CellChunk, size: i32) -> CellChunk {
        chunk.value_size = size;
        chunk
    }

    fn rows(chunks: Vec<CellChunk>) -> Result<Vec<Row>, &'static str> {
        let mut assembler = Assembler::default();
        let mut rows = Vec::new();
        for chunk in chunks {
            rows.extend(assembler.push(chunk)?);
        }
        assert!(assembler.is_idle());
        Ok(rows)
    }

    fn row(key: &str, cells: &[(&str, &str)]) -> Row {
        let cell = |(qualifier, value): &(&str, &str)| Cell {
            qualifier: (*qualifier).into(),
            value: (*value).into(),
        };
        Row {
            key: key.into(),
            cells: cells.iter().map(cell).collect(),
        }
    }

    #[test]
    fn rows_of_cells_in_pieces_are_put_together() {
        let found = rows(vec![
            chunk("b", Some("1"), "one"),
            partly(chunk("", Some("2"), "tw"), 7),
            partly(chunk("", None, "o-t"), 7),
            chunk("", None, "wo"),
            ending(chunk("", None, "of the same column")),
            // Descending, as in a reversed scan.
            ending(chunk("a", Some("1"), "")),
        ]);
        let b = row(
            "b",
            &[("1", "one"), ("2", "two-two"), ("2", "of the same column")],
        );
        assert_eq!(found, Ok(vec![b.clone(), row("a", &[("1", "")])]));
        assert_eq!(b.cell(b"2"), Some(b"two-two".as_slice()));
        assert_eq!(b.cell(b"3"), None);
    }

    #[test]
    fn a_reset_forgets_what_came_of_the_row() {
        let reset = CellChunk {
            row_status: Some(RowStatus::ResetRow(true)),
            ..CellChunk::default()
        };
        let found = rows(vec![
            chunk("a", Some("1"), "old"),
            partly(chunk("", Some("2"), "half"), 9),
            reset,
            ending(chunk("a", Some("1"), "new")),
        ]);
        assert_eq!(found, Ok(vec![row("a", &[("1", "new")])]));
    }

    #[test]
    fn what_cannot_follow_is_refused() {
        let open = || chunk("a", Some("1"), "x");
        for wrong in [
            vec![open(), chunk("b", Some("1"), "y")],
            vec![chunk("", Some("1"), "no key")],
            vec![chunk("a", None, "no column")],
            vec![partly(ending(open()), 9)],
        ] {
            let mut assembler = Assembler::default();
            let found: Result<Vec<_>, _> = wrong
                .into_iter()
                .map(|chunk| assembler.push(chunk))
                .collect();
            assert!(found.is_err());
        }
    }
}
