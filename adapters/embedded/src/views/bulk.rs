//! Many rows by one statement.
//!
//! A statement per row costs a turn of SQLite's thread each (22,000 rows/s); 500 rows in one
//! `VALUES` are twenty times as fast. The texts are constant, so that each is prepared once.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use ports::projection::ProjectionError;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::values::{Sql, Values, failed};

/// Rows that one statement takes, from many to one.
const SIZES: [usize; 4] = [512, 64, 8, 1];

/// A statement with a list of rows in it.
pub(crate) struct Bulk {
    columns: usize,
    texts: [Sql; SIZES.len()],
}

impl Bulk {
    /// `before` + `(?, ?, …), (?, ?, …), …` + `after`.
    pub(crate) fn new(before: &str, columns: usize, after: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        Self {
            columns,
            texts: SIZES.map(|rows| {
                format!("{before} {} {after}", vec![row.as_str(); rows].join(",")).into()
            }),
        }
    }

    /// Runs the statement for all of `rows`, `add` giving the values of one. Answers the rows
    /// that were changed. While SQLite's thread works on a statement, the values of the next are
    /// made.
    pub(crate) async fn run<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: impl ExactSizeIterator<Item = T>,
        mut add: impl FnMut(&mut Values, T),
    ) -> Result<u64, ProjectionError> {
        let mut rows = rows;
        let mut changed = 0;
        let mut next = self.next(&mut rows, &mut add);
        while let Some((text, values)) = next {
            let statement = sqlx::query_with(AssertSqlSafe(text), values.into_arguments()?);
            let mut running = pin!(statement.execute(&mut *connection));
            // Hands it to the thread.
            let mut early = None;
            poll_fn(|context| {
                if let Poll::Ready(done) = running.as_mut().poll(context) {
                    early = Some(done);
                }
                Poll::Ready(())
            })
            .await;
            next = self.next(&mut rows, &mut add);
            let done = match early {
                Some(done) => done,
                None => running.await,
            };
            changed += done.map_err(failed)?.rows_affected();
        }
        Ok(changed)
    }

    /// The largest statement that the rest of `rows` fills.
    fn next<T>(
        &self,
        rows: &mut impl ExactSizeIterator<Item = T>,
        add: &mut impl FnMut(&mut Values, T),
    ) -> Option<(Sql, Values)> {
        let sizes = self.texts.iter().zip(SIZES);
        let (text, size) = sizes.into_iter().find(|(_, size)| rows.len() >= *size)?;
        let mut values = Values::with_capacity(size * self.columns);
        for row in rows.take(size) {
            add(&mut values, row);
        }
        Some((text.clone(), values))
    }

    /// As [`Self::run`], but a statement that breaks a NOT NULL is left out, and its rows are
    /// given back.
    pub(crate) async fn run_where_it_fits<'r, T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &'r [T],
        mut add: impl FnMut(&mut Values, &T),
    ) -> Result<Vec<&'r T>, ProjectionError> {
        let mut rest = rows;
        let mut refused = Vec::new();
        for (text, size) in self.texts.iter().zip(SIZES) {
            while let Some((chunk, after)) = rest.split_at_checked(size) {
                rest = after;
                let mut values = Values::with_capacity(size * self.columns);
                for row in chunk {
                    add(&mut values, row);
                }
                let done = sqlx::query_with(AssertSqlSafe(text.clone()), values.into_arguments()?)
                    .execute(&mut *connection)
                    .await;
                match done {
                    Ok(_) => {}
                    Err(error) if is_not_null(&error) => refused.extend(chunk),
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(refused)
    }
}

fn is_not_null(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.kind() == sqlx::error::ErrorKind::NotNullViolation)
}
