//! What the codes of refusals mean, from ledger-core's own list.

/// A code, explained.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// The gRPC code that it comes with.
    pub grpc: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// How it comes about.
    pub cause: &'static str,
    /// The way out.
    pub what_to_do: &'static str,
    /// Whether the same call may succeed later.
    pub retry: bool,
}

/// Explains a code.
pub fn explain(code: &str) -> Option<Explanation> {
    ledger_core::rejection::Code::parse(code).map(|code| Explanation {
        code: code.as_str(),
        grpc: "FAILED_PRECONDITION",
        meaning: code.meaning(),
        cause: "the rules, on the figures that came with it",
        what_to_do: "change the request or the books, and use a new key",
        retry: false,
    })
}

/// All codes.
pub fn codes() -> Vec<&'static str> {
    ledger_core::rejection::Code::ALL
        .iter()
        .map(|code| code.as_str())
        .collect()
}
