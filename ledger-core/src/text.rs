//! Descriptions and metadata: what users attach, and core never interprets.

use std::collections::BTreeMap;

use crate::invalid::Invalid;
use crate::limits::{
    DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX, METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX,
    METADATA_VALUE_BYTES_MAX,
};

/// A text of the user's, in the open or sealed. A sealed one is opaque here: personal data in
/// it can be forgotten later by destroying its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Text {
    /// As written.
    Plain(Box<str>),
    /// Encrypted by the caller.
    Sealed(Box<Sealed>),
}

/// An encrypted text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: Box<str>,
    /// The nonce that it was sealed with.
    pub nonce: Box<[u8]>,
    /// The sealed bytes.
    pub ciphertext: Box<[u8]>,
}

impl Text {
    /// An open text.
    pub fn plain(text: impl Into<Box<str>>) -> Self {
        Self::Plain(text.into())
    }

    /// Bytes that count against limits.
    pub fn size(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Sealed(s) => s.key_id.len() + s.nonce.len() + s.ciphertext.len(),
        }
    }

    /// Checks the size of a description or reason.
    ///
    /// # Errors
    /// [`Invalid`] above [`DESCRIPTION_BYTES_MAX`].
    pub fn check_description(&self) -> Result<(), Invalid> {
        if self.size() > DESCRIPTION_BYTES_MAX {
            return Err(Invalid::new(format!(
                "{} bytes; at most {DESCRIPTION_BYTES_MAX} are allowed",
                self.size()
            )));
        }
        Ok(())
    }
}

/// Keys and values that users attach to ledgers, accounts and transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(BTreeMap<Box<str>, Text>);

impl Metadata {
    /// Checks `entries` against the limits of metadata.
    ///
    /// # Errors
    /// [`Invalid`] names the key and the limit.
    pub fn new(entries: BTreeMap<Box<str>, Text>) -> Result<Self, Invalid> {
        if entries.len() > METADATA_KEYS_MAX {
            return Err(Invalid::new(format!(
                "{} keys; at most {METADATA_KEYS_MAX} are allowed",
                entries.len()
            )));
        }
        let mut total = 0;
        for (key, value) in &entries {
            if key.is_empty() || key.len() > METADATA_KEY_BYTES_MAX {
                return Err(Invalid::new(format!(
                    "key {key:?} has {} bytes; 1 to {METADATA_KEY_BYTES_MAX} are allowed",
                    key.len()
                )));
            }
            if value.size() > METADATA_VALUE_BYTES_MAX {
                return Err(Invalid::new(format!(
                    "the value of {key:?} has {} bytes; at most {METADATA_VALUE_BYTES_MAX} are allowed",
                    value.size()
                )));
            }
            total += key.len() + value.size();
        }
        if total > METADATA_BYTES_MAX {
            return Err(Invalid::new(format!(
                "{total} bytes in all; at most {METADATA_BYTES_MAX} are allowed"
            )));
        }
        Ok(Self(entries))
    }

    /// The entries, by key.
    pub fn entries(&self) -> &BTreeMap<Box<str>, Text> {
        &self.0
    }

    /// True without any entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A change of metadata: `set` wins over `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataChange {
    /// Entries to add or replace.
    pub set: Metadata,
    /// Keys to take away; absent ones are no error.
    pub remove: Vec<Box<str>>,
}

impl MetadataChange {
    /// `current` after this change.
    ///
    /// # Errors
    /// [`Invalid`] when the result breaks a limit of metadata.
    pub fn apply_to(&self, current: &Metadata) -> Result<Metadata, Invalid> {
        let mut entries = current.0.clone();
        for key in &self.remove {
            entries.remove(key);
        }
        for (key, value) in &self.set.0 {
            entries.insert(key.clone(), value.clone());
        }
        Metadata::new(entries)
    }
}
