//! What failed, to be told once more at the end of a long run.

use std::fmt;

/// Lines that are told of one test.
const LINES: usize = 30;

/// Failed tests, each with what it said when it failed.
#[derive(Debug, Default)]
pub struct Failures {
    tests: Vec<Failure>,
    /// What failed tests said is being printed: between two headings that are the same, the
    /// second of which stands before their names alone.
    in_details: bool,
}

#[derive(Debug)]
struct Failure {
    name: String,
    said: Vec<String>,
}

impl Failures {
    /// Takes a line of what libtest prints.
    pub fn add_line(&mut self, line: &str) {
        match line {
            "failures:" => self.in_details = !self.in_details,
            _ if line.starts_with("test result: ") => self.in_details = false,
            _ if self.in_details => self.add_detail(line),
            _ => {}
        }
    }

    fn add_detail(&mut self, line: &str) {
        let name = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        match (name, self.tests.last_mut()) {
            (Some(name), _) => self.tests.push(Failure {
                name: name.to_owned(),
                said: Vec::new(),
            }),
            (None, Some(test)) => test.said.push(line.to_owned()),
            (None, None) => {}
        }
    }
}

impl Failure {
    /// From where it panicked to the backtrace; all of it where it did not panic.
    fn told(&self) -> impl Iterator<Item = &str> {
        let first = self
            .said
            .iter()
            .position(|line| line.contains("panicked at "));
        self.said[first.unwrap_or(0)..]
            .iter()
            .map(String::as_str)
            .take_while(|line| *line != "stack backtrace:" && !line.starts_with("note: run with"))
            .take(LINES)
            .filter(|line| !line.trim().is_empty())
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for test in &self.tests {
            writeln!(f, "--- failed: {}", test.name)?;
            for line in test.told() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_told_with_their_reasons_and_without_backtraces() {
        let mut failures = Failures::default();
        let output = "\
running 3 tests
test table::deposit ... ok
test load::kills ... FAILED
test load::error ... FAILED

failures:

---- load::kills stdout ----
a seed

thread 'load::kills' (7) panicked at tests/load.rs:124:9:
daybook load: exit status: 1
LEDGER_NOT_FOUND

stack backtrace:
   0: __rustc::rust_begin_unwind

---- load::error stdout ----
Error: \"not so\"


failures:
    load::error
    load::kills

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.30s
test of::another ... ok";
        output.lines().for_each(|line| failures.add_line(line));
        assert_eq!(
            failures.to_string(),
            "\
--- failed: load::kills
    thread 'load::kills' (7) panicked at tests/load.rs:124:9:
    daybook load: exit status: 1
    LEDGER_NOT_FOUND
--- failed: load::error
    Error: \"not so\"
"
        );
    }
}
