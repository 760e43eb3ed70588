//! Refusals: what the rules said no to. Every one is recorded, and repeated for its key.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*) => {
        /// The stable code of a refusal, in order of precedence: where several rules say no, the
        /// first that is checked gives its code (the order is explained at the top of
        /// `ledger/decide.rs` and in docs/errors.md). Codes are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// Every code, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in replies and in the log.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// What the code says, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

codes! {
    /// The command is malformed in a way that its sender should have been told before it was decided.
    CommandInvalid = "COMMAND_INVALID",
    /// The ledger is there already.
    LedgerAlreadyExists = "LEDGER_ALREADY_EXISTS",
    /// No account of this name or number was ever opened in the ledger.
    AccountNotFound = "ACCOUNT_NOT_FOUND",
    /// No transaction of this id is in the ledger.
    TransactionNotFound = "TRANSACTION_NOT_FOUND",
    /// The account or transaction has another version than the caller expected.
    VersionConflict = "VERSION_CONFLICT",
    /// A balance does not compare as the caller demanded.
    BalanceConditionFailed = "BALANCE_CONDITION_FAILED",
    /// The name was used before; names are never used again.
    AccountAlreadyExists = "ACCOUNT_ALREADY_EXISTS",
    /// The ledger knows this asset code with another exponent.
    AssetExponentConflict = "ASSET_EXPONENT_CONFLICT",
    /// The change would leave metadata above its limits.
    MetadataTooLarge = "METADATA_TOO_LARGE",
    /// The limits contradict each other.
    LimitsInvalid = "LIMITS_INVALID",
    /// The ledger has as many accounts as a ledger can have.
    TooManyAccounts = "TOO_MANY_ACCOUNTS",
    /// The account that was to be closed or frozen is closed.
    AccountAlreadyClosed = "ACCOUNT_ALREADY_CLOSED",
    /// The account that was to be reopened is not closed.
    AccountNotClosed = "ACCOUNT_NOT_CLOSED",
    /// The account that was to be unfrozen is not frozen.
    AccountNotFrozen = "ACCOUNT_NOT_FROZEN",
    /// An account with open holds cannot be closed.
    AccountHasHolds = "ACCOUNT_HAS_HOLDS",
    /// An account with a balance cannot be closed.
    AccountNotEmpty = "ACCOUNT_NOT_EMPTY",
    /// Books are closed only later than they are, and not in the future; reopening goes back.
    BooksCloseNotForward = "BOOKS_CLOSE_NOT_FORWARD",
    /// There is no closing after the instant to go back to.
    BooksNotClosed = "BOOKS_NOT_CLOSED",
    /// Only holds are captured and voided.
    TransactionNotAHold = "TRANSACTION_NOT_A_HOLD",
    /// The hold has ended, with something captured.
    HoldAlreadyPosted = "HOLD_ALREADY_POSTED",
    /// The hold was voided.
    HoldAlreadyVoided = "HOLD_ALREADY_VOIDED",
    /// The hold has expired.
    HoldExpired = "HOLD_EXPIRED",
    /// Only posted transactions are reversed, not holds (reverse their captures) and not reversals.
    TransactionNotReversible = "TRANSACTION_NOT_REVERSIBLE",
    /// The books are closed at this effective time.
    PeriodClosed = "PERIOD_CLOSED",
    /// A hold cannot be made that has expired already.
    ExpiryInPast = "EXPIRY_IN_PAST",
    /// The transaction has no posting of this index, or it was asked for twice.
    PostingIndexInvalid = "POSTING_INDEX_INVALID",
    /// An amount is zero.
    AmountNotPositive = "AMOUNT_NOT_POSITIVE",
    /// An up-to posting asks for more at least than at most, or over-capture is less than the hold or on several postings.
    AmountSpecInvalid = "AMOUNT_SPEC_INVALID",
    /// Debit and credit account are the same.
    SameAccount = "SAME_ACCOUNT",
    /// The two accounts, or the posting's asset, differ.
    AssetMismatch = "ASSET_MISMATCH",
    /// A closed account takes part in nothing.
    AccountClosed = "ACCOUNT_CLOSED",
    /// The account is frozen for this direction.
    AccountFrozen = "ACCOUNT_FROZEN",
    /// The capture would take more than is left of the hold.
    CaptureExceedsHold = "CAPTURE_EXCEEDS_HOLD",
    /// Nothing is left of the hold's postings that were asked for.
    NothingToCapture = "NOTHING_TO_CAPTURE",
    /// The reversals together would take back more than was posted.
    ReversalExceedsOriginal = "REVERSAL_EXCEEDS_ORIGINAL",
    /// All of the transaction was taken back already.
    NothingToReverse = "NOTHING_TO_REVERSE",
    /// A total would pass i128::MAX.
    BalanceOverflow = "BALANCE_OVERFLOW",
    /// More than the account allows in one transaction.
    TransactionLimitExceeded = "TRANSACTION_LIMIT_EXCEEDED",
    /// More than the account allows in a window of time.
    VelocityLimitExceeded = "VELOCITY_LIMIT_EXCEEDED",
    /// The account's available balance would fall below its minimum.
    InsufficientFunds = "INSUFFICIENT_FUNDS",
    /// The account's balance would rise above its maximum.
    BalanceLimitExceeded = "BALANCE_LIMIT_EXCEEDED",
    /// The decision would not fit into one record.
    RecordTooLarge = "RECORD_TOO_LARGE",
}

impl Code {
    /// Reads a code back from the log.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: a decision like any other, with the figures that it was made on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", describe(.figures, .member))]
pub struct Rejection {
    /// Which rule said no.
    pub code: Code,
    /// The figures, such as `account`, `available`, `required`; names are listed with each code
    /// in docs/errors.md.
    pub figures: Vec<(Cow<'static, str>, String)>,
    /// Which member of an atomic batch was refused, from 0.
    pub member: Option<u32>,
}

impl Rejection {
    /// A refusal without figures yet.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            figures: Vec::new(),
            member: None,
        }
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.figures.push((Cow::Borrowed(name), value.to_string()));
        self
    }

    /// Says which member of an atomic batch was refused.
    #[must_use]
    pub fn at_member(mut self, index: u32) -> Self {
        self.member = Some(index);
        self
    }
}

fn describe(figures: &[(Cow<'static, str>, String)], member: &Option<u32>) -> String {
    let mut text = String::new();
    for (name, value) in figures {
        text.push_str(if text.is_empty() { ": " } else { ", " });
        text.push_str(name);
        text.push(' ');
        text.push_str(value);
    }
    if let Some(index) = member {
        text.push_str(&format!(" (member {index})"));
    }
    text
}
