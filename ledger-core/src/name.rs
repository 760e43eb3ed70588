//! Names of ledgers and accounts.

use std::fmt;
use std::sync::Arc;

use crate::invalid::Invalid;
use crate::limits::{NAME_BYTES_MAX, NAME_SEGMENT_BYTES_MAX, NAME_SEGMENTS_MAX};

/// The first segment that belongs to the engine and is refused in users' names.
pub const RESERVED_SEGMENT: &str = "daybook";

fn check_path(what: &str, path: &str) -> Result<(), Invalid> {
    if path.len() > NAME_BYTES_MAX {
        return Err(Invalid::new(format!(
            "{what} has {} bytes; at most {NAME_BYTES_MAX} are allowed",
            path.len()
        )));
    }
    let mut segments = 0;
    for segment in path.split(':') {
        segments += 1;
        if segment.is_empty() {
            return Err(Invalid::new(format!("{what} has an empty segment")));
        }
        if segment.len() > NAME_SEGMENT_BYTES_MAX {
            return Err(Invalid::new(format!(
                "{what} has a segment of {} bytes; at most {NAME_SEGMENT_BYTES_MAX} are allowed",
                segment.len()
            )));
        }
        if let Some(bad) = segment
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'))
        {
            return Err(Invalid::new(format!(
                "{what} contains {bad:?}; segments are made of A-Z a-z 0-9 _ . - and parted by ':'"
            )));
        }
    }
    if segments > NAME_SEGMENTS_MAX {
        return Err(Invalid::new(format!(
            "{what} has {segments} segments; at most {NAME_SEGMENTS_MAX} are allowed"
        )));
    }
    if path.split(':').next() == Some(RESERVED_SEGMENT) {
        return Err(Invalid::new(format!(
            "{what} starts with 'daybook', which is reserved for the engine"
        )));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes a name of it.
            ///
            /// # Errors
            /// [`Invalid`] names the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                check_path($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a ledger: the same form as an account name. Case-sensitive, never reused.
    LedgerName,
    "ledger name"
);
name_type!(
    /// The name of an account, a path such as `customers:42:checking`: 1 to 16 segments of
    /// `[A-Za-z0-9_.-]{1,64}`, at most 255 bytes. Case-sensitive, never reused.
    AccountName,
    "account name"
);

impl LedgerName {
    /// The engine's own chain of a shard, where claims of the writer stand. Cannot be said by a
    /// user, since `daybook` is reserved.
    pub fn of_shard(shard: u32) -> Self {
        Self(Arc::from(format!("{RESERVED_SEGMENT}:shard:{shard}")))
    }

    /// Reads a name back from the log, where the engine's own names stand too.
    ///
    /// # Errors
    /// [`Invalid`] as [`Self::new`], but for the reserved segment.
    pub fn from_record(text: &str) -> Result<Self, Invalid> {
        match text
            .strip_prefix("daybook:shard:")
            .and_then(|n| n.parse().ok())
        {
            Some(shard) => Ok(Self::of_shard(shard)),
            None => Self::new(text),
        }
    }

    /// True for [`Self::of_shard`].
    pub fn is_engine(&self) -> bool {
        self.0.starts_with("daybook:")
    }
}
