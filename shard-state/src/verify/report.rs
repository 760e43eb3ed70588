//! What verification found.

use std::fmt;
use std::str::FromStr;

use ledger_core::name::LedgerName;
use schemas::record::RecordHash;

use crate::place::Head;

/// Findings that are written out; more are counted.
pub const FINDINGS_MAX: usize = 200;

/// What a finding is about, in the order of the report: what the log says of itself comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A record.
    Log,
    /// A head that was kept elsewhere.
    Head,
    /// A snapshot.
    Snapshot,
    /// The read models.
    ReadModels,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// Its stable code (docs/errors.md).
    pub code: &'static str,
    /// The shard.
    pub shard: u32,
    /// The shard's sequence of the record.
    pub sequence: Option<u64>,
    /// The ledger, where it can be said.
    pub ledger: Option<LedgerName>,
    /// The ledger's sequence of the record.
    pub ledger_sequence: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: shard {}", self.code, self.shard)?;
        if let Some(ledger) = &self.ledger {
            write!(f, ", ledger {ledger}")?;
        }
        if let Some(sequence) = self.ledger_sequence {
            write!(f, ", ledger sequence {sequence}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, ", record {sequence}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Ledgers.
    pub ledgers: u64,
    /// Accounts.
    pub accounts: u64,
    /// Transactions made.
    pub transactions: u64,
    /// Snapshots compared.
    pub snapshots: u64,
    /// Accounts of the read models compared.
    pub view_accounts: u64,
    /// Transactions of the read models compared.
    pub view_transactions: u64,
    /// Heads kept elsewhere that the log passes through.
    pub expected_heads: u64,
    /// Single checks that were made, of all kinds.
    pub checks: u64,
    /// Heads of all ledgers, the engine's own chains too: to be kept elsewhere.
    pub heads: Vec<(LedgerName, Head)>,
    /// What each shard's log ended with.
    pub log_ends: Vec<u64>,
    /// The sequence of each shard that the read models were compared at; `None` where there
    /// were none.
    pub compared_at: Vec<Option<u64>>,
    /// Snapshots that were left out, and why (made by another version).
    pub left_out: Vec<String>,
}

/// The outcome of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong; the first damaged record first. At most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
    /// How much was looked at.
    pub summary: Summary,
}

impl Report {
    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn sort(&mut self) {
        // Stable: in the order of finding where nothing else tells.
        self.findings
            .sort_by_key(|f| (f.about, f.shard, f.sequence.unwrap_or(u64::MAX)));
    }
}

/// A head that was kept elsewhere: `ledger@sequence:hash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedHead {
    /// The ledger.
    pub ledger: LedgerName,
    /// Its sequence.
    pub ledger_sequence: u64,
    /// The hash of that record.
    pub hash: RecordHash,
}

impl FromStr for ExpectedHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not of the form ledger@sequence:hash (64 hex digits)");
        let (ledger, rest) = text.split_once('@').ok_or_else(form)?;
        let (sequence, hash) = rest.split_once(':').ok_or_else(form)?;
        let digits = hash.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(form());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| form())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| form())?;
        }
        Ok(Self {
            ledger: LedgerName::from_record(ledger).map_err(|why| why.to_string())?,
            ledger_sequence: sequence.parse().map_err(|_| form())?,
            hash: RecordHash(bytes),
        })
    }
}

impl fmt::Display for ExpectedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.ledger, self.ledger_sequence, self.hash)
    }
}
