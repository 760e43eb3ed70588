//! Refusals and faults as gRPC statuses with `google.rpc` details.

use std::collections::BTreeMap;

use bytes::Bytes;
use ledger_core::rejection::{Code as Refusal, Rejection};
use prost::Message;
use prost_types::Any;
use tonic::Code;
use tonic_types::pb::{BadRequest, RetryInfo, bad_request::FieldViolation};

use super::{Fault, sentence};
use crate::api::Malformed;

/// The domain of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "daybook";

/// The gRPC code of a refusal.
pub const fn grpc_of(code: Refusal) -> Code {
    match code {
        Refusal::LedgerAlreadyExists | Refusal::AccountAlreadyExists => Code::AlreadyExists,
        Refusal::AccountNotFound | Refusal::TransactionNotFound => Code::NotFound,
        Refusal::VersionConflict => Code::Aborted,
        _ => Code::FailedPrecondition,
    }
}

/// The name of a gRPC code.
pub const fn grpc_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// `google.rpc.ErrorInfo` with its metadata sorted, so that the same refusal has the same bytes
/// each time.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

fn detail(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

fn error_info(reason: &str, figures: impl Iterator<Item = (String, String)>) -> Any {
    detail(
        "ErrorInfo",
        &ErrorInfo {
            reason: reason.to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: figures.collect(),
        },
    )
}

/// A refusal as `google.rpc.Status`, as batches and streams carry it.
pub fn rejection_status(rejection: &Rejection) -> tonic_types::Status {
    let figures = rejection
        .figures
        .iter()
        .map(|(name, value)| (name.clone().into_owned(), value.clone()));
    let member = rejection.member.iter();
    let member = member.map(|index| ("member".to_owned(), index.to_string()));
    tonic_types::Status {
        code: grpc_of(rejection.code) as i32,
        message: format!("{}: {}", rejection.code, sentence(rejection)),
        details: vec![error_info(rejection.code.as_str(), figures.chain(member))],
    }
}

/// A refusal as the status of a call.
pub fn rejection_to_tonic(rejection: &Rejection) -> tonic::Status {
    to_tonic(rejection_status(rejection))
}

fn fault_status(fault: &Fault) -> tonic_types::Status {
    let figures = fault.figures().into_iter();
    let figures = figures.map(|(name, value)| (name.to_owned(), value));
    let mut details = vec![error_info(fault.code(), figures)];
    let violation = |field: &str, description: &str| FieldViolation {
        field: field.to_owned(),
        description: description.to_owned(),
        ..FieldViolation::default()
    };
    let field_violations = match fault {
        Fault::InvalidArgument(malformed) => {
            let violations = malformed.violations.iter();
            violations
                .map(|v| violation(&v.field, &v.description))
                .collect()
        }
        Fault::PageTokenInvalid { why } => vec![violation("page_token", why)],
        _ => Vec::new(),
    };
    if !field_violations.is_empty() {
        details.push(detail("BadRequest", &BadRequest { field_violations }));
    }
    if let Some(millis) = fault.retry_after_millis() {
        details.push(detail(
            "RetryInfo",
            &RetryInfo {
                retry_delay: Some(prost_types::Duration {
                    seconds: i64::from(millis / 1_000),
                    nanos: (millis % 1_000) as i32 * 1_000_000,
                }),
            },
        ));
    }
    tonic_types::Status {
        code: fault.grpc() as i32,
        message: format!("{}: {fault}", fault.code()),
        details,
    }
}

/// The same status for a call.
pub fn to_tonic(status: tonic_types::Status) -> tonic::Status {
    let details = Bytes::from(status.encode_to_vec());
    tonic::Status::with_details(Code::from_i32(status.code), status.message, details)
}

/// The status of a call as `google.rpc.Status`, as batches and streams carry it.
pub fn to_rpc_status(status: tonic::Status) -> tonic_types::Status {
    let plain = || tonic_types::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    };
    match status.details() {
        [] => plain(),
        // Details that are no `google.rpc.Status` are not ours; code and message still hold.
        details => tonic_types::Status::decode(details).unwrap_or_else(|_| plain()),
    }
}

impl From<&Fault> for tonic_types::Status {
    fn from(fault: &Fault) -> Self {
        fault_status(fault)
    }
}

impl From<Fault> for tonic::Status {
    fn from(fault: Fault) -> Self {
        to_tonic(fault_status(&fault))
    }
}

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> Self {
        Fault::from(malformed).into()
    }
}
