//! What became of a record of a topic: a message in JSON, as `daybook.ingest.v1.Outcome` says.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::rejection::Rejection;
use ledger_core::time::Timestamp;

use crate::error::{Fault, sentence};
use crate::record::RecordHash;

/// The code of what was carried out.
pub const CODE_OK: &str = "OK";

/// What became of a record of a topic.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The record's partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// The ledger.
    pub ledger: &'a LedgerName,
    /// The key.
    pub key: &'a IdempotencyKey,
    /// What was said.
    pub said: Said<'a>,
    /// Sequence in the ledger of the decision's record; 0 where none was made.
    pub ledger_sequence: u64,
    /// Hash and time of that record.
    pub record: Option<(RecordHash, Timestamp)>,
    /// The key was decided before; this is that outcome.
    pub repeated: bool,
}

/// See [`Outcome::said`].
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    /// It was carried out.
    Accepted(Option<TransactionId>),
    /// The rules said no.
    Refused(&'a Rejection),
    /// It was not decided, and will not be however often it is sent.
    Declined(&'a Fault),
}

impl Outcome<'_> {
    /// Its code.
    pub fn code(&self) -> &'static str {
        match self.said {
            Said::Accepted(_) => CODE_OK,
            Said::Refused(rejection) => rejection.code.as_str(),
            Said::Declined(fault) => fault.code(),
        }
    }

    /// The message. Written by hand: it is made for every record on the writer's thread.
    pub fn to_json(&self) -> Bytes {
        let mut out = String::with_capacity(384);
        out.push_str("{\"source\":{\"topic\":");
        string(&mut out, self.topic);
        put(
            &mut out,
            format_args!(
                ",\"partition\":{},\"offset\":\"{}\"}},\"ledger\":",
                self.partition, self.offset
            ),
        );
        string(&mut out, self.ledger.as_str());
        out.push_str(",\"key\":");
        string(&mut out, &self.key.to_string());
        put(&mut out, format_args!(",\"code\":\"{}\"", self.code()));
        match self.said {
            Said::Accepted(None) => {}
            Said::Accepted(Some(id)) => put(&mut out, format_args!(",\"transaction_id\":\"{id}\"")),
            Said::Refused(rejection) => {
                out.push_str(",\"message\":");
                string(&mut out, &sentence(rejection));
                let member = rejection.member.map(|member| member.to_string());
                let member = member.iter().map(|member| ("member", member.as_str()));
                let figures = rejection.figures.iter();
                let figures = figures.map(|(name, value)| (name.as_ref(), value.as_str()));
                figures_of(&mut out, figures.chain(member));
            }
            Said::Declined(fault) => {
                out.push_str(",\"message\":");
                string(&mut out, &fault.to_string());
                let figures = fault.figures();
                let figures = figures.iter().map(|(name, value)| (*name, value.as_str()));
                figures_of(&mut out, figures);
            }
        }
        if let Some((hash, recorded_at)) = &self.record {
            put(
                &mut out,
                format_args!(
                    ",\"ledger_sequence\":\"{}\",\"record_hash\":\"{hash}\",\"recorded_at\":\"{recorded_at}\"",
                    self.ledger_sequence
                ),
            );
        }
        put(&mut out, format_args!(",\"repeated\":{}}}", self.repeated));
        Bytes::from(out)
    }
}

fn figures_of<'a>(out: &mut String, figures: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut first = true;
    for (name, value) in figures {
        out.push_str(if first { ",\"figures\":{" } else { "," });
        first = false;
        string(out, name);
        out.push(':');
        string(out, value);
    }
    if !first {
        out.push('}');
    }
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string grows as needed");
}

/// A JSON string.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
