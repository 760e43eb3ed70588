//! What each code means and what to do about it: the one table. docs/errors.md is held to it by
//! a test, and `daybook explain` prints it.

mod faults;
mod operations;
mod refusals;

use ledger_core::rejection::Code as Refusal;

use super::status::{grpc_name, grpc_of};

/// Who says a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The rules; recorded, and repeated for its key.
    Refusal,
    /// The server, to a caller; not recorded.
    Fault,
    /// The server or a tool, to its operator.
    Operation,
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// Who says it.
    pub kind: Kind,
    /// The gRPC status that carries it; `-` for codes that only operators see.
    pub grpc: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// How one comes to see it.
    pub cause: &'static str,
    /// The way out.
    pub what_to_do: &'static str,
    /// True where the same request, with the same key, is worth repeating.
    pub retry: bool,
    /// Names of the figures that come with it; not every one every time.
    pub figures: &'static [&'static str],
}

/// A refusal's part of the table; meaning and gRPC status are core's and the mapping's.
struct RefusalRow {
    code: &'static str,
    figures: &'static [&'static str],
    cause: &'static str,
    what_to_do: &'static str,
}

impl RefusalRow {
    fn explanation(&self) -> Option<Explanation> {
        let code = Refusal::parse(self.code)?;
        Some(Explanation {
            code: self.code,
            kind: Kind::Refusal,
            grpc: grpc_name(grpc_of(code)),
            meaning: code.meaning(),
            cause: self.cause,
            what_to_do: self.what_to_do,
            retry: false,
            figures: self.figures,
        })
    }
}

/// Every explanation: refusals in order of precedence, faults, operations.
pub fn all() -> Vec<Explanation> {
    let refusals = refusals::ROWS.iter().filter_map(RefusalRow::explanation);
    let rest = faults::ROWS.iter().chain(operations::ROWS).copied();
    refusals.chain(rest).collect()
}

/// What `code` means; also when it is written in lower case.
pub fn explain(code: &str) -> Option<Explanation> {
    let code = code.trim();
    all()
        .into_iter()
        .find(|explanation| explanation.code.eq_ignore_ascii_case(code))
}
