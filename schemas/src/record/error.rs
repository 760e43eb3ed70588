//! Why bytes are no record.

use ledger_core::invalid::Invalid;

/// Bytes that cannot be read as a record, or as a part of one. Never skipped: whoever reads
/// the log stops there, loudly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not in protobuf's wire form.
    #[error("not in protobuf's wire form: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Written by a newer build.
    #[error("the record's kind has version {found}; this build knows versions up to {newest}")]
    UnknownVersion {
        /// What the record says.
        found: u32,
        /// What this build knows.
        newest: u32,
    },
    /// A part that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A part has the wrong number of bytes.
    #[error("{field} has {found} bytes instead of {expected}")]
    WrongLength {
        /// The part.
        field: &'static str,
        /// What it must have.
        expected: usize,
        /// What it has.
        found: usize,
    },
    /// A value of an enumeration that this build does not know.
    #[error("{field} has the unknown value {value}")]
    UnknownValue {
        /// The part.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A part breaks the form of its type.
    #[error("{field}: {why}")]
    Invalid {
        /// The part.
        field: &'static str,
        /// What is wrong.
        why: Invalid,
    },
    /// A body's frames do not add up.
    #[error("frame {index} of the body at byte {offset}: {what}")]
    Frame {
        /// Which frame, from 0.
        index: usize,
        /// Where it begins.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl RecordError {
    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            why: Invalid::new(why),
        }
    }
}

/// Names the part that a value of a core type came from.
pub(crate) trait Of<T> {
    fn of(self, field: &'static str) -> Result<T, RecordError>;
}

impl<T> Of<T> for Result<T, Invalid> {
    fn of(self, field: &'static str) -> Result<T, RecordError> {
        self.map_err(|why| RecordError::Invalid { field, why })
    }
}

/// The bytes of a part that has exactly `N` of them.
pub(crate) fn exactly<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<[u8; N], RecordError> {
    bytes.try_into().map_err(|_| RecordError::WrongLength {
        field,
        expected: N,
        found: bytes.len(),
    })
}
