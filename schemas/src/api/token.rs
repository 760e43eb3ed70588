//! Tokens: how far a reader has seen the log. Receipts carry them; `at_least` reads and resumed
//! watches take them back.

use std::fmt;

use ledger_core::invalid::Invalid;

use crate::record::LogId;

/// A place in a log. In text `1-<log id, 32 hex digits>-<shard>-<sequence>-<ledger sequence>`;
/// to callers it is opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadToken {
    /// The log; a token of another one is refused (`TOKEN_OF_ANOTHER_LOG`).
    pub log_id: LogId,
    /// The shard.
    pub shard: u32,
    /// The shard's sequence.
    pub sequence: u64,
    /// The ledger's sequence.
    pub ledger_sequence: u64,
}

impl ReadToken {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Invalid`] when `text` was never made by Daybook.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let mut parts = text.strip_prefix("1-")?.split('-');
            let token = Self {
                log_id: LogId::parse(parts.next()?).ok()?,
                shard: parts.next()?.parse().ok()?,
                sequence: parts.next()?.parse().ok()?,
                ledger_sequence: parts.next()?.parse().ok()?,
            };
            // One text per token: nothing after it, no signs, no leading zeros.
            (token.to_string() == text).then_some(token)
        };
        read().ok_or_else(|| Invalid::new("is not a token that this version of Daybook made"))
    }
}

impl fmt::Display for ReadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "1-{}-{}-{}-{}",
            self.log_id, self.shard, self.sequence, self.ledger_sequence
        )
    }
}

impl std::str::FromStr for ReadToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}
