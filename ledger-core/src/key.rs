//! Idempotency keys and transaction ids.

use std::fmt;

use crate::invalid::Invalid;
use crate::limits::TEXT_KEY_BYTES_MAX;
use crate::name::LedgerName;
use crate::time::Timestamp;

/// Makes a command safe to repeat. Unique in its ledger over all kinds of command, for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdempotencyKey {
    /// A UUIDv7: its time stamp lets the engine answer most commands from memory alone.
    Uuid(u128),
    /// Text of 1 to 64 printable ASCII bytes, such as the natural key of an import.
    Text(Box<str>),
}

impl IdempotencyKey {
    /// Keys of the engine's own records (expiries, claims) start so; users' may not.
    pub const RESERVED_PREFIX: &'static str = "daybook:";

    /// A UUIDv7 in its text form of 36 characters becomes [`Self::Uuid`]; all else is text.
    ///
    /// # Errors
    /// [`Invalid`] when empty, longer than 64 bytes, not printable ASCII, or reserved.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(uuid) = parse_uuid(text).filter(|uuid| is_version_7(*uuid)) {
            return Ok(Self::Uuid(uuid));
        }
        if text.starts_with(Self::RESERVED_PREFIX) {
            return Err(Invalid::new(
                "keys that start with 'daybook:' belong to the engine",
            ));
        }
        Self::text(text)
    }

    /// A UUIDv7 from its 128 bits.
    ///
    /// # Errors
    /// [`Invalid`] when it is a UUID of another version: its stamp could not be trusted.
    pub fn from_uuid(uuid: u128) -> Result<Self, Invalid> {
        if is_version_7(uuid) {
            Ok(Self::Uuid(uuid))
        } else {
            Err(Invalid::new("a binary key must be a UUIDv7"))
        }
    }

    /// A text key as it stands in the log, the engine's own included.
    ///
    /// # Errors
    /// [`Invalid`] when empty, longer than 64 bytes or not printable ASCII.
    pub fn text(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > TEXT_KEY_BYTES_MAX {
            return Err(Invalid::new(format!(
                "a text key has 1 to {TEXT_KEY_BYTES_MAX} bytes; this one has {}",
                text.len()
            )));
        }
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(Invalid::new("a text key is made of printable ASCII"));
        }
        Ok(Self::Text(Box::from(text)))
    }

    /// The time stamp of a UUIDv7, to the millisecond; `None` for text.
    pub fn stamp(&self) -> Option<Timestamp> {
        match self {
            Self::Uuid(uuid) => {
                Some(Timestamp::from_micros((uuid >> 80) as i64 * 1_000).unwrap_or(Timestamp::MAX))
            }
            Self::Text(_) => None,
        }
    }

    /// The id of the transaction that this key's command makes in `ledger`: the UUID itself;
    /// for text, a UUIDv8 derived from ledger and key, so that a repeat gives the same id.
    pub fn transaction_id(&self, ledger: &LedgerName) -> TransactionId {
        match self {
            Self::Uuid(uuid) => TransactionId(*uuid),
            Self::Text(text) => {
                derived(&[b"transaction", ledger.as_str().as_bytes(), text.as_bytes()])
            }
        }
    }

    /// The id of the transaction made by member `index` of an atomic batch with this key.
    pub fn member_transaction_id(&self, ledger: &LedgerName, index: u32) -> TransactionId {
        let own = self.transaction_id(ledger);
        derived(&[
            b"member",
            ledger.as_str().as_bytes(),
            &own.0.to_be_bytes(),
            &index.to_be_bytes(),
        ])
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => fmt::Display::fmt(&TransactionId(*uuid), f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a transaction in its ledger: a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u128);

impl TransactionId {
    /// Reads the hyphenated text form of a UUID of any version.
    ///
    /// # Errors
    /// [`Invalid`] when `text` has another form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parse_uuid(text).map(Self).ok_or_else(|| {
            Invalid::new(format!(
                "{text:?} is not a UUID in its text form of 36 characters"
            ))
        })
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (b >> 96) as u32,
            (b >> 80) as u16,
            (b >> 64) as u16,
            (b >> 48) as u16,
            b & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (i, &b) in bytes.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if b != b'-' {
                return None;
            }
            continue;
        }
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            b'A'..=b'F' => b - b'A' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

fn is_version_7(uuid: u128) -> bool {
    (uuid >> 76) & 0xf == 7 && (uuid >> 62) & 0b11 == 0b10
}

fn derived(parts: &[&[u8]]) -> TransactionId {
    let mut hasher = blake3::Hasher::new_derive_key("daybook 2026 transaction id v1");
    for part in parts {
        hasher.update(&(part.len() as u32).to_be_bytes());
        hasher.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    let bits = u128::from_be_bytes(half);
    let versioned = bits & !(0xf << 76) | 8 << 76;
    TransactionId(versioned & !(0b11 << 62) | 0b10 << 62)
}
