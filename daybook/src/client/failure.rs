//! What went wrong, told so that the reader knows what to do next.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use ledger_core::rejection::{Code as Refusal, Rejection};
use prost::Message as _;
use schemas::error::grpc_name;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::money;

/// How the process ends. Documented in `daybook help exit-codes` and docs/api.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The rules said no, or a check found something: exit status 1.
    Refused = 1,
    /// The command line, a file or a message is malformed, or names what is not there: 2.
    Usage = 2,
    /// The server cannot be reached or did not answer in time: 3.
    Unavailable = 3,
    /// The data folder is in use by another process: 4.
    Locked = 4,
    /// Something broke (a disk, a file, the server): 5.
    Broken = 5,
}

/// An unsuccessful end of a command.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Gives the exit status.
    pub kind: Kind,
    /// The stable code, such as `INSUFFICIENT_FUNDS`.
    pub code: Box<str>,
    /// What happened, in a sentence.
    pub message: String,
    /// The figures that it happened on.
    pub figures: Box<[(String, String)]>,
    /// Fields of the request that are malformed, and why.
    pub fields: Box<[(String, String)]>,
    /// What to try next.
    pub hints: Vec<String>,
    /// Trying the same again may help.
    pub retryable: bool,
    /// What the figures that are amounts are amounts of, where it is known.
    pub asset: Option<Box<str>>,
}

/// Figures that are amounts.
const AMOUNTS: &[&str] = &[
    "available",
    "balance",
    "counted",
    "demanded",
    "left",
    "limit",
    "maximum",
    "minimum",
    "required",
];

impl Failure {
    /// A failure of this kind and code.
    pub fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            figures: Box::default(),
            fields: Box::default(),
            hints: Vec::new(),
            retryable: false,
            asset: None,
        }
    }

    /// Something on the command line or in a file is not right.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "USAGE", message)
    }

    /// Something broke here, on this side.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::new(Kind::Broken, "FAILED", message)
    }

    /// Adds something to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The figure of this name.
    pub fn figure(&self, name: &str) -> Option<&str> {
        self.figures
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Reads the status of a call.
    pub fn from_status(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let (code, figures): (Box<str>, _) = match details.error_info() {
            Some(info) => {
                let mut figures: Vec<_> = info.metadata.clone().into_iter().collect();
                figures.sort();
                (info.reason.as_str().into(), figures)
            }
            None => (code_of_bare(status).into(), Vec::new()),
        };
        let fields = details
            .bad_request()
            .map(|bad| {
                bad.field_violations
                    .iter()
                    .map(|v| (v.field.clone(), v.description.clone()))
                    .collect()
            })
            .unwrap_or_default();
        let kind = match status.code() {
            Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Aborted
            | Code::PermissionDenied => Kind::Refused,
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Kind::Usage,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled => Kind::Unavailable,
            _ => Kind::Broken,
        };
        // A connection that broke in the middle of a call shows as UNKNOWN or CANCELLED, without
        // any details of Daybook's.
        let broke = details.error_info().is_none()
            && matches!(status.code(), Code::Unknown | Code::Cancelled);
        let retryable = broke
            || matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
            );
        Self {
            kind: if broke { Kind::Unavailable } else { kind },
            message: match &*code {
                "FAILED" => format!("{}: {}", grpc_name(status.code()), status.message()),
                _ => status.message().to_owned(),
            },
            fields,
            hints: Vec::new(),
            retryable,
            asset: figures
                .iter()
                .find(|(name, _)| name == "asset")
                .map(|(_, asset)| asset.as_str().into()),
            figures: figures.into(),
            code,
        }
    }

    /// Reads a status inside of a message, as batches answer.
    pub fn from_rpc_status(status: &tonic_types::Status) -> Self {
        Self::from_status(&tonic::Status::with_details(
            Code::from_i32(status.code),
            status.message.clone(),
            status.encode_to_vec().into(),
        ))
    }

    /// The failure for people: code, figures, fields, and the way out.
    pub fn human(&self) -> String {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
        let dim = Style::new().dimmed();
        let mut text = format!("{red}error{red:#} {red}{}{red:#}", self.code);
        let sentence = self.sentence();
        let message = sentence.as_deref().unwrap_or_else(|| {
            let rest = self.message.strip_prefix(&*self.code);
            rest.map_or(&*self.message, |rest| rest.trim_start_matches(": "))
        });
        if !message.is_empty() {
            let _ = write!(text, ": {message}");
        }
        // What was perhaps meant stands in the message already.
        let figures = || self.figures.iter().filter(|(n, _)| n != "did_you_mean");
        let width = figures().map(|(n, _)| n.len()).max().unwrap_or(0).max(7);
        for (field, why) in &self.fields {
            let _ = write!(text, "\n  {dim}{:width$}{dim:#}  {field}: {why}", "field");
        }
        for (name, value) in figures() {
            let value = match self.asset_of(name, value) {
                Some(asset) => money::both(value, asset),
                None => value.clone(),
            };
            let _ = write!(text, "\n  {dim}{name:width$}{dim:#}  {value}");
        }
        // Of these two the message says more than the table.
        let explanation = match &*self.code {
            "USAGE" | "FAILED" => None,
            code => schemas::error::explain(code),
        };
        if let Some(explanation) = explanation {
            let _ = write!(
                text,
                "\n  {dim}{:width$}{dim:#}  {}",
                "way out", explanation.what_to_do
            );
            let _ = write!(
                text,
                "\n  {dim}more{dim:#}     daybook explain {}",
                self.code
            );
        }
        for hint in &self.hints {
            let _ = write!(text, "\n  {dim}{:width$}{dim:#}  {hint}", "try");
        }
        text
    }

    /// The refusal's sentence with amounts as people write them, where it is known what they are
    /// amounts of.
    fn sentence(&self) -> Option<String> {
        self.asset.as_ref()?;
        let member = self.figure("member");
        let figures = self.figures.iter().filter(|(name, _)| name != "member");
        let rejection = Rejection {
            code: Refusal::parse(&self.code)?,
            figures: figures
                .map(|(name, value)| {
                    let shown = match self.asset_of(name, value) {
                        Some(asset) => money::human(value, asset),
                        None => value.clone(),
                    };
                    (name.clone().into(), shown)
                })
                .collect(),
            member: member.and_then(|index| index.parse().ok()),
        };
        Some(schemas::error::sentence(&rejection))
    }

    /// What the figure `name` is an amount of, where it is one.
    fn asset_of(&self, name: &str, value: &str) -> Option<&str> {
        let digits = value.strip_prefix('-').unwrap_or(value);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // Of a version conflict it is a version.
        let is_amount = AMOUNTS.contains(&name)
            || (name == "actual" && &*self.code == "BALANCE_CONDITION_FAILED");
        self.asset.as_deref().filter(|_| is_number && is_amount)
    }

    /// The failure for machines.
    pub fn json(&self) -> serde_json::Value {
        let figures: serde_json::Map<_, _> = self
            .figures
            .iter()
            .map(|(k, v)| (k.clone(), v.clone().into()))
            .collect();
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(field, why)| serde_json::json!({ "field": field, "description": why }))
            .collect();
        serde_json::json!({ "error": {
            "code": self.code,
            "message": self.message,
            "figures": figures,
            "fields": fields,
            "hints": self.hints,
            "retryable": self.retryable,
        }})
    }
}

/// The code of a status that no Daybook server has made: one that is explained, always.
fn code_of_bare(status: &tonic::Status) -> &'static str {
    match status.code() {
        // A connection that broke in the middle of a call.
        Code::Unknown | Code::Cancelled => "UNAVAILABLE",
        code => {
            let explained = schemas::error::explain(grpc_name(code));
            explained.map_or("FAILED", |explanation| explanation.code)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::broken(error.to_string())
    }
}

/// The nearest of `candidates` to `wanted`, when it is near enough to be meant.
pub fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = wanted.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wanted)
        .map(|candidate| {
            let likeness = strsim::jaro_winkler(&folded, &candidate.to_lowercase());
            let edits = strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
            (candidate, likeness, edits)
        })
        .filter(|(_, likeness, edits)| *likeness > 0.88 || *edits <= 2)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let names = ["customers:ada", "customers:bob", "bank:cash"];
        assert_eq!(did_you_mean("customer:ada", names), Some("customers:ada"));
        assert_eq!(did_you_mean("bank:chas", names), Some("bank:cash"));
        assert_eq!(did_you_mean("zzz", names), None);
    }

    #[test]
    fn a_broken_connection_may_be_repeated_and_a_refusal_may_not() {
        let lost = Failure::from_status(&tonic::Status::unknown("transport error"));
        assert!(lost.retryable);
        assert_eq!(lost.kind, Kind::Unavailable);
        assert_eq!(&*lost.code, "UNAVAILABLE");
        let refused = Failure::from_status(&tonic::Status::failed_precondition("no"));
        assert!(!refused.retryable);
        assert_eq!(refused.kind, Kind::Refused);
    }

    #[test]
    fn a_refusal_tells_amounts_as_people_write_them() {
        let figures = [
            ("account", "customers:ada"),
            ("available", "1250"),
            ("minimum", "-100"),
            ("required", "2000"),
        ];
        let mut failure = Failure::new(
            Kind::Refused,
            "INSUFFICIENT_FUNDS",
            "INSUFFICIENT_FUNDS: account customers:ada has 1250 available",
        );
        failure.figures = figures.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let plain = |failure: &Failure| {
            let text = failure.human();
            anstream::adapter::strip_str(&text).to_string()
        };
        assert!(plain(&failure).contains("has 1250 available"));
        failure.asset = Some("USD/2".into());
        let told = plain(&failure);
        assert!(
            told.starts_with(
                "error INSUFFICIENT_FUNDS: account customers:ada has 12.50 USD available, and \
                 20.00 USD would leave less than its minimum of -1.00 USD\n"
            ),
            "{told}"
        );
        let mut failure = Failure::new(Kind::Refused, "BALANCE_CONDITION_FAILED", "");
        let figures = [
            ("account", "a"),
            ("balance", "posted"),
            ("actual", "5"),
            ("comparison", "at least"),
            ("demanded", "1000"),
        ];
        failure.figures = figures.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        failure.asset = Some("JPY/0".into());
        let told = plain(&failure);
        assert!(
            told.contains("the posted balance of account a is 5 JPY"),
            "{told}"
        );
    }

    #[test]
    fn whatever_a_server_or_proxy_answers_has_a_code_that_is_explained() {
        for code in 1..=16 {
            let status = tonic::Status::new(Code::from_i32(code), "no more");
            let failure = Failure::from_status(&status);
            let explained = schemas::error::explain(&failure.code);
            assert!(explained.is_some(), "{} for {status}", failure.code);
            assert!(failure.message.ends_with("no more"), "{failure}");
        }
    }
}
