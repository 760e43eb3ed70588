//! Records of the topics that commands come from, as commands; and what became of them.

mod form;
mod outcome;

pub use form::{Form, Settle, Unreadable, read};
pub use outcome::{CODE_OK, Outcome, Said};

/// What the records of a topic ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommandTopic {
    /// Money comes in: an account is credited.
    Deposits,
    /// Money goes out: an account is debited.
    Withdrawals,
    /// Money moves between two accounts.
    Transfers,
}

impl CommandTopic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deposits, Self::Withdrawals, Self::Transfers];

    /// The topic's name, where nothing else was set.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deposits => "deposits",
            Self::Withdrawals => "withdrawals",
            Self::Transfers => "transfers",
        }
    }
}

/// The header that says how a record is written.
pub const CONTENT_TYPE: &str = "content-type";

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// As the header says it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// What the header says; parameters such as `charset=utf-8` say nothing more.
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content_type).ok()?;
        let name = text.split(';').next()?.trim();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|encoding| name.eq_ignore_ascii_case(encoding.content_type()))
    }
}
