//! Malformed input: what cannot even be said as a command, and is never recorded.

/// A value that breaks the form of its type. Names the rule that was broken; the edge adds
/// the path of the field that it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// An error that says `rule`.
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}
