//! Assets: what an amount is an amount of.

use std::fmt;

use crate::invalid::Invalid;
use crate::limits::ASSET_EXPONENT_MAX;

/// An asset, written `USD/2`: a code and the number of decimal places of its minor unit. One
/// exponent per code and ledger for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    code: [u8; Self::CODE_BYTES_MAX],
    code_len: u8,
    exponent: u8,
}

impl Asset {
    /// Bytes of the longest code.
    pub const CODE_BYTES_MAX: usize = 16;

    /// `code` (`[A-Z][A-Z0-9_.-]{0,15}`) with `exponent` (0 to 30).
    ///
    /// # Errors
    /// [`Invalid`] names the rule that is broken.
    pub fn new(code: &str, exponent: u32) -> Result<Self, Invalid> {
        let starts_well = code.starts_with(|c: char| c.is_ascii_uppercase());
        let all_well = code.bytes().all(|b| {
            b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-')
        });
        if code.len() > Self::CODE_BYTES_MAX || !starts_well || !all_well {
            return Err(Invalid::new(format!(
                "asset code {code:?} is not a capital letter followed by at most 15 of A-Z 0-9 _ . -"
            )));
        }
        if exponent > u32::from(ASSET_EXPONENT_MAX) {
            return Err(Invalid::new(format!(
                "asset exponent {exponent} is above {ASSET_EXPONENT_MAX}"
            )));
        }
        let mut bytes = [0; Self::CODE_BYTES_MAX];
        bytes[..code.len()].copy_from_slice(code.as_bytes());
        Ok(Self {
            code: bytes,
            code_len: code.len() as u8,
            exponent: exponent as u8,
        })
    }

    /// Reads the written form, `USD/2`.
    ///
    /// # Errors
    /// [`Invalid`] when `text` is not a code, a slash and an exponent.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let form = || Invalid::new(format!("{text:?} is not an asset such as USD/2"));
        let (code, exponent) = text.split_once('/').ok_or_else(form)?;
        let canonical = exponent == "0" || !exponent.starts_with('0');
        if !canonical || !exponent.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        Self::new(code, exponent.parse().map_err(|_| form())?)
    }

    /// The code, `USD`.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code[..usize::from(self.code_len)])
            .expect("a code is ASCII: checked by new")
    }

    /// Decimal places of the minor unit.
    pub const fn exponent(&self) -> u8 {
        self.exponent
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.exponent)
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
