//! What an import came to: counts, and the refused rows with line and reason.

use std::fs::File;
use std::path::Path;

use super::Lines;
use crate::client::failure::Failure;
use crate::client::output::{self, BOLD, DIM, GREEN, RED, Table, cell};

/// Refused rows that are shown; the report file has them all.
const SHOWN: usize = 20;

/// The report of an import.
pub(crate) struct Report {
    file: Option<csv::Writer<File>>,
    booked: u64,
    repeated: u64,
    opened: u64,
    refused: u64,
    shown: Vec<[String; 4]>,
}

impl Report {
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let broken =
            |path: &Path, error| Failure::usage(format!("--report {}: {error}", path.display()));
        let file = match path {
            None => None,
            Some(path) => {
                let mut writer = csv::Writer::from_path(path).map_err(|e| broken(path, e))?;
                writer
                    .write_record(["first_line", "last_line", "key", "code", "reason"])
                    .map_err(|e| broken(path, e))?;
                Some(writer)
            }
        };
        Ok(Self {
            file,
            booked: 0,
            repeated: 0,
            opened: 0,
            refused: 0,
            shown: Vec::new(),
        })
    }

    /// Booked now, or before under the same key.
    pub(crate) fn booked(&mut self, repeated: bool) {
        if repeated {
            self.repeated += 1;
        } else {
            self.booked += 1;
        }
    }

    /// An account was opened on the way.
    pub(crate) fn opened(&mut self) {
        self.opened += 1;
    }

    pub(crate) fn refuse(
        &mut self,
        lines: Lines,
        key: &str,
        code: &str,
        why: &str,
    ) -> Result<(), Failure> {
        self.refused += 1;
        if let Some(file) = &mut self.file {
            let (first, last) = (lines.first.to_string(), lines.last.to_string());
            file.write_record([&first, &last, key, code, why])
                .map_err(|error| Failure::broken(format!("--report: {error}")))?;
        }
        if self.shown.len() < SHOWN {
            let place = match lines.first == lines.last {
                true => lines.first.to_string(),
                false => format!("{}-{}", lines.first, lines.last),
            };
            self.shown
                .push([place, key.to_owned(), code.to_owned(), why.to_owned()]);
        }
        Ok(())
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn message(&self) -> String {
        format!(
            "{} booked, {} booked before, {} refused",
            self.booked, self.repeated, self.refused
        )
    }

    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let refused: Vec<_> = self
            .shown
            .iter()
            .map(|[lines, key, code, why]| {
                serde_json::json!({ "lines": lines, "key": key, "code": code, "reason": why })
            })
            .collect();
        serde_json::json!({
            "booked": self.booked,
            "booked_before": self.repeated,
            "accounts_opened": self.opened,
            "refused": self.refused,
            "first_refused": refused,
        })
    }

    pub(crate) fn print(&self) {
        let refused = match self.refused {
            0 => "none refused".to_owned(),
            refused => format!("{RED}{refused} refused{RED:#}"),
        };
        output::line(format!(
            "{GREEN}{}{GREEN:#} booked, {} booked before {DIM}(same key){DIM:#}, {} accounts opened, {refused}",
            self.booked, self.repeated, self.opened,
        ));
        if self.shown.is_empty() {
            return;
        }
        let mut table = Table::new(&[">line", "key", "code", "reason"]);
        for [lines, key, code, why] in &self.shown {
            table.row(vec![
                cell(BOLD, lines),
                key.into(),
                cell(RED, code),
                why.into(),
            ]);
        }
        output::line(table.render());
        let more = self.refused - self.shown.len() as u64;
        if more > 0 {
            output::line(format!(
                "{DIM}and {more} more: --report FILE has them all{DIM:#}"
            ));
        }
    }
}
