//! Reading and writing rows.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use gcloud_sdk::google::bigtable::v2 as bigtable;
use gcloud_sdk::google::bigtable::v2::mutate_rows_request::Entry;
use gcloud_sdk::google::bigtable::v2::row_filter::Filter;
use gcloud_sdk::google::bigtable::v2::row_range::{EndKey, StartKey};
use gcloud_sdk::google::bigtable::v2::value_range::{EndValue, StartValue};
use gcloud_sdk::google::bigtable::v2::{Mutation, RowFilter, RowRange, RowSet, mutation};
use gcloud_sdk::tonic::Status;

use crate::assemble::{Assembler, Row};
use crate::client::{Client, Table, failed};
use crate::error::BigtableError;

/// Every cell has the same time stamp (the first whole millisecond), so a cell that is written
/// again takes the place of itself.
const TIMESTAMP_MICROS: i64 = 1_000;

/// Rows of one call, at most.
const BATCH_ROWS: usize = 1_000;

/// Bytes of one call, about; a row is never split.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Calls at a time.
const BATCHES_AT_ONCE: usize = 4;

/// A row to be written.
pub(crate) struct NewRow {
    pub(crate) key: Vec<u8>,
    pub(crate) cells: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Which rows are read.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// From this key.
    pub(crate) from: Vec<u8>,
    /// Up to before this key.
    pub(crate) to: Vec<u8>,
    /// In descending order.
    pub(crate) reversed: bool,
    /// So many, at most.
    pub(crate) most: usize,
}

impl Scan {
    /// Goes on behind the row of `key`.
    pub(crate) fn go_on_after(&mut self, key: &[u8]) {
        if self.reversed {
            self.to = key.to_vec();
        } else {
            self.from = [key, &[0]].concat();
        }
    }
}

fn set_cell(table: Table, column_qualifier: Vec<u8>, value: Vec<u8>) -> Mutation {
    Mutation {
        mutation: Some(mutation::Mutation::SetCell(mutation::SetCell {
            family_name: table.family().to_owned(),
            column_qualifier,
            timestamp_micros: TIMESTAMP_MICROS,
            value,
        })),
        ..Mutation::default()
    }
}

impl Client {
    /// The rows of `scan` that are there.
    pub(crate) async fn scan(&self, table: Table, scan: &Scan) -> Result<Vec<Row>, BigtableError> {
        if scan.most == 0 || scan.from >= scan.to {
            return Ok(Vec::new());
        }
        let range = RowRange {
            start_key: Some(StartKey::StartKeyClosed(scan.from.clone())),
            end_key: Some(EndKey::EndKeyOpen(scan.to.clone())),
        };
        let set = RowSet {
            row_keys: Vec::new(),
            row_ranges: vec![range],
        };
        let read = || self.read(table, set.clone(), scan.reversed, scan.most);
        self.retried(read).await
    }

    /// The row of `key`, where it is there.
    pub(crate) async fn row(&self, table: Table, key: &[u8]) -> Result<Option<Row>, BigtableError> {
        let set = RowSet {
            row_keys: vec![key.to_vec()],
            row_ranges: Vec::new(),
        };
        let rows = self
            .retried(|| self.read(table, set.clone(), false, 1))
            .await?;
        Ok(rows.into_iter().next())
    }

    async fn read(
        &self,
        table: Table,
        rows: RowSet,
        reversed: bool,
        most: usize,
    ) -> Result<Vec<Row>, BigtableError> {
        let doing = failed("reading rows");
        let table_name = self.table_name(table);
        let request = bigtable::ReadRowsRequest {
            table_name: table_name.clone(),
            rows: Some(rows),
            filter: Some(RowFilter {
                filter: Some(Filter::CellsPerColumnLimitFilter(1)),
            }),
            rows_limit: i64::try_from(most).unwrap_or(i64::MAX),
            reversed,
            ..bigtable::ReadRowsRequest::default()
        };
        let request = self.routed(&table_name, request)?;
        let mut answers = self
            .data()
            .await?
            .read_rows(request)
            .await
            .map_err(&doing)?
            .into_inner();
        let mut assembler = Assembler::default();
        let mut found = Vec::new();
        while let Some(answer) = answers.message().await.map_err(&doing)? {
            for chunk in answer.chunks {
                let row = assembler.push(chunk).map_err(|what| {
                    BigtableError::Unavailable(format!("an answer makes no sense: {what}"))
                })?;
                found.extend(row);
            }
        }
        if !assembler.is_idle() {
            let cut = "an answer ended within a row".to_owned();
            return Err(BigtableError::Unavailable(cut));
        }
        Ok(found)
    }

    /// Writes the rows that `make` makes of `items`, whose sizes `bytes` tells about. All of
    /// them are durable when this succeeds; some may be when it fails.
    pub(crate) async fn write<T: Sync>(
        &self,
        table: Table,
        items: &[T],
        bytes: impl Fn(&T) -> usize + Send + Sync,
        make: impl Fn(&T) -> NewRow + Send + Sync,
    ) -> Result<(), BigtableError> {
        let mut batches = Batches { items, bytes };
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < BATCHES_AT_ONCE
                && let Some(batch) = batches.next()
            {
                running.push(self.write_batch(table, batch, &make));
            }
            match running.next().await {
                Some(written) => written?,
                None => return Ok(()),
            }
        }
    }

    async fn write_batch<T: Sync>(
        &self,
        table: Table,
        batch: &[T],
        make: &(impl Fn(&T) -> NewRow + Send + Sync),
    ) -> Result<(), BigtableError> {
        // What is not known to be written yet. Behind a mutex, since each attempt shortens it.
        let left = std::sync::Mutex::new((0..batch.len()).collect::<Vec<_>>());
        self.retried(|| async {
            let attempted = lock(&left).clone();
            let entries = attempted
                .iter()
                .map(|index| entry(table, make(&batch[*index])))
                .collect();
            let (unwritten, error) = self.mutate(table, entries).await;
            *lock(&left) = unwritten.into_iter().map(|at| attempted[at]).collect();
            error.map_or(Ok(()), Err)
        })
        .await
    }

    /// Gives which of `entries` are not known to be written, and why.
    async fn mutate(
        &self,
        table: Table,
        entries: Vec<Entry>,
    ) -> (Vec<usize>, Option<BigtableError>) {
        let mut unwritten = vec![true; entries.len()];
        let mut worst = None;
        let sent = self.mutate_stream(table, entries, &mut unwritten, &mut worst);
        let mut error = sent.await.err();
        let left: Vec<usize> = (0..unwritten.len()).filter(|at| unwritten[*at]).collect();
        error = worst.or(error);
        if error.is_none() && !left.is_empty() {
            let silent = "the answer says nothing about some rows".to_owned();
            error = Some(BigtableError::Unavailable(silent));
        }
        (left, error)
    }

    async fn mutate_stream(
        &self,
        table: Table,
        entries: Vec<Entry>,
        unwritten: &mut [bool],
        worst: &mut Option<BigtableError>,
    ) -> Result<(), BigtableError> {
        let doing = failed("writing rows");
        let table_name = self.table_name(table);
        let request = bigtable::MutateRowsRequest {
            table_name: table_name.clone(),
            entries,
            ..bigtable::MutateRowsRequest::default()
        };
        let request = self.routed(&table_name, request)?;
        let mut answers = self
            .data()
            .await?
            .mutate_rows(request)
            .await
            .map_err(&doing)?
            .into_inner();
        while let Some(answer) = answers.message().await.map_err(&doing)? {
            for entry in answer.entries {
                let Some(of) = usize::try_from(entry.index)
                    .ok()
                    .and_then(|index| unwritten.get_mut(index))
                else {
                    continue;
                };
                match entry.status {
                    Some(status) if status.code != 0 => {
                        let error = doing(Status::new(status.code.into(), status.message));
                        // One that will not go away by itself is the one to tell.
                        if worst.as_ref().is_none_or(BigtableError::is_transient) {
                            *worst = Some(error);
                        }
                    }
                    _ => *of = false,
                }
            }
        }
        Ok(())
    }

    /// Sets the one cell of the row `key` to `to` where it is `from` (`None`: not there). True
    /// where it was.
    pub(crate) async fn swap(
        &self,
        table: Table,
        key: &[u8],
        qualifier: &[u8],
        from: Option<&[u8]>,
        to: &[u8],
    ) -> Result<bool, BigtableError> {
        let set = vec![set_cell(table, qualifier.to_vec(), to.to_vec())];
        let filter = match from {
            Some(from) => Filter::ValueRangeFilter(bigtable::ValueRange {
                start_value: Some(StartValue::StartValueClosed(from.to_vec())),
                end_value: Some(EndValue::EndValueClosed(from.to_vec())),
            }),
            None => Filter::PassAllFilter(true),
        };
        let (true_mutations, false_mutations) = match from {
            Some(_) => (set, Vec::new()),
            None => (Vec::new(), set),
        };
        let table_name = self.table_name(table);
        let request = bigtable::CheckAndMutateRowRequest {
            table_name: table_name.clone(),
            row_key: key.to_vec(),
            predicate_filter: Some(RowFilter {
                filter: Some(filter),
            }),
            true_mutations,
            false_mutations,
            ..bigtable::CheckAndMutateRowRequest::default()
        };
        // Not made again by itself: a lost answer leaves open whether it was done, and the
        // caller looks.
        let request = self.routed(&table_name, request)?;
        let answer = self
            .data()
            .await?
            .check_and_mutate_row(request)
            .await
            .map_err(failed("moving a mark"))?;
        Ok(answer.into_inner().predicate_matched == from.is_some())
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn entry(table: Table, row: NewRow) -> Entry {
    let cells = row.cells.into_iter();
    Entry {
        row_key: row.key,
        mutations: cells
            .map(|(qualifier, value)| set_cell(table, qualifier, value))
            .collect(),
        idempotency: None,
    }
}

/// Parts a list into batches that are neither too many rows nor too many bytes.
struct Batches<'a, T, B> {
    items: &'a [T],
    bytes: B,
}

impl<'a, T, B: Fn(&T) -> usize> Iterator for Batches<'a, T, B> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += (self.bytes)(item);
            bytes <= BATCH_BYTES
        };
        let count = self.items.iter().take(BATCH_ROWS).take_while(fits).count();
        if self.items.is_empty() {
            return None;
        }
        let (batch, rest) = self.items.split_at(count.max(1));
        self.items = rest;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_all_in_order_and_are_bounded() {
        let items: Vec<usize> = (0..2_500)
            .map(|at| if at % 700 == 699 { BATCH_BYTES * 2 } else { 10 })
            .collect();
        let batches: Vec<&[usize]> = Batches {
            items: &items,
            bytes: |item: &usize| *item,
        }
        .collect();
        assert_eq!(batches.concat(), items);
        for batch in batches {
            assert!(!batch.is_empty() && batch.len() <= BATCH_ROWS);
            assert!(batch.len() == 1 || batch.iter().sum::<usize>() <= BATCH_BYTES);
        }
    }
}
