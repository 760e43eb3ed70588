//! Refusals and faults as gRPC statuses.

use ledger_core::name::LedgerName;
use ledger_core::rejection::{Code, Rejection};
use schemas::api::{Malformed, parse};
use schemas::error::{
    Fault, explain, grpc_name, grpc_of, rejection_status, rejection_to_tonic, sentence,
    to_rpc_status,
};
use schemas::proto::v1;
use tonic_types::StatusExt;

fn insufficient() -> Rejection {
    Rejection::new(Code::InsufficientFunds)
        .with("account", "customers:42")
        .with("available", 100)
        .with("minimum", 0)
        .with("required", 500)
}

#[test]
fn a_refusal_carries_its_figures() {
    let status = rejection_to_tonic(&insufficient().at_member(3));
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "INSUFFICIENT_FUNDS: account customers:42 has 100 available, and 500 would leave less than its minimum of 0 (member 3)"
    );
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("INSUFFICIENT_FUNDS", "daybook")
    );
    let mut figures: Vec<_> = info
        .metadata
        .iter()
        .map(|(k, v)| format!("{k} {v}"))
        .collect();
    figures.sort();
    assert_eq!(
        figures,
        [
            "account customers:42",
            "available 100",
            "member 3",
            "minimum 0",
            "required 500"
        ]
    );
    assert!(status.get_details_retry_info().is_none());
}

#[test]
fn a_batch_says_the_same_as_a_single_call() {
    let single = rejection_to_tonic(&insufficient());
    assert_eq!(to_rpc_status(single), rejection_status(&insufficient()));
    let fault = || Fault::DiskFull { shard: 1 };
    assert_eq!(
        to_rpc_status(fault().into()),
        tonic_types::Status::from(&fault())
    );
    let foreign = to_rpc_status(tonic::Status::cancelled("gone"));
    assert_eq!(
        (
            foreign.code,
            foreign.message.as_str(),
            foreign.details.len()
        ),
        (1, "gone", 0)
    );
}

#[test]
fn grpc_codes_follow_the_kind_of_refusal() {
    for (code, grpc) in [
        (Code::LedgerAlreadyExists, tonic::Code::AlreadyExists),
        (Code::AccountAlreadyExists, tonic::Code::AlreadyExists),
        (Code::AccountNotFound, tonic::Code::NotFound),
        (Code::TransactionNotFound, tonic::Code::NotFound),
        (Code::VersionConflict, tonic::Code::Aborted),
        (Code::InsufficientFunds, tonic::Code::FailedPrecondition),
        (Code::PeriodClosed, tonic::Code::FailedPrecondition),
    ] {
        assert_eq!(grpc_of(code), grpc, "{code}");
        assert_eq!(
            explain(code.as_str()).map(|e| e.grpc),
            Some(grpc_name(grpc))
        );
    }
}

#[test]
fn a_refusal_without_the_usual_figures_is_told_by_its_meaning() {
    assert_eq!(
        sentence(&Rejection::new(Code::InsufficientFunds)),
        "The account's available balance would fall below its minimum"
    );
    let index = Rejection::new(Code::PostingIndexInvalid).with("posting", 7);
    assert!(
        sentence(&index).ends_with(" (posting 7)"),
        "{}",
        sentence(&index)
    );
    let mismatch = Rejection::new(Code::AssetMismatch)
        .with("debit_asset", "USD/2")
        .with("credit_asset", "EUR/2")
        .with("asset", "CZK/2")
        .with("posting", 0);
    assert_eq!(
        sentence(&mismatch),
        "posting 0 is between accounts of USD/2 and EUR/2 (asset CZK/2)"
    );
}

#[test]
fn every_refusal_has_a_sentence_and_fits_into_headers() {
    for code in Code::ALL {
        let explanation = explain(code.as_str()).expect("explained");
        let mut rejection = Rejection::new(*code);
        for figure in explanation.figures {
            rejection = rejection.with(figure, "x".repeat(255));
        }
        let text = sentence(&rejection);
        assert!(!text.contains(['{', '}']), "{text}");
        let status = rejection_to_tonic(&rejection);
        assert!(
            status.details().len() < 4_096,
            "{code}: {}",
            status.details().len()
        );
    }
}

#[test]
fn malformed_input_names_its_fields() {
    let malformed = parse::command(v1::Command::default()).expect_err("nothing is said");
    let status = tonic::Status::from(malformed.clone());
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(
        status
            .message()
            .starts_with("INVALID_ARGUMENT: idempotency_key: is required"),
        "{}",
        status.message()
    );
    assert!(status.message().ends_with("(and 2 more violations)"));
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(info.reason, "INVALID_ARGUMENT");
    let request = status.get_details_bad_request().expect("BadRequest");
    let fields: Vec<_> = request
        .field_violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(fields, ["idempotency_key", "ledger", "operation"]);
}

#[test]
fn the_worst_of_malformed_input_still_fits_into_headers() {
    let posting = v1::PostingSpec {
        debit: "č".repeat(10_000),
        credit: "\u{1}".repeat(10_000),
        asset: "\"".repeat(10_000),
        amount_spec: None,
    };
    let malformed = parse::command(v1::Command {
        operation: Some(v1::command::Operation::CreateTransaction(
            v1::CreateTransaction {
                postings: vec![posting; 1_000],
                ..v1::CreateTransaction::default()
            },
        )),
        ..v1::Command::default()
    });
    let status = tonic::Status::from(malformed.expect_err("all of it is wrong"));
    // In base64, beside the message, below the 8 KiB that many clients take.
    let header = status.details().len() * 4 / 3 + status.message().len() * 3;
    assert!(header < 8_000, "{header} bytes");
}

#[test]
fn faults_say_whether_and_when_to_repeat() {
    let busy = tonic::Status::from(Fault::Overloaded {
        what: "the queue of shard 0".to_owned(),
    });
    assert_eq!(busy.code(), tonic::Code::ResourceExhausted);
    assert_eq!(
        busy.message(),
        "RESOURCE_EXHAUSTED: the server is working at its limit: the queue of shard 0 is full"
    );
    let retry = busy.get_details_retry_info().expect("RetryInfo");
    assert_eq!(
        retry.retry_delay,
        Some(std::time::Duration::from_millis(100))
    );

    let ledger = LedgerName::new("main").expect("a name");
    let unknown = tonic::Status::from(Fault::LedgerNotFound { ledger });
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    assert_eq!(
        unknown
            .get_details_error_info()
            .expect("ErrorInfo")
            .metadata["ledger"],
        "main"
    );
    assert!(unknown.get_details_retry_info().is_none());

    let late = Fault::ReadTimeout {
        asked: 9,
        reached: 7,
    };
    assert!(late.retryable());
    let late = tonic::Status::from(late);
    assert_eq!(late.code(), tonic::Code::Unavailable);
    assert_eq!(
        late.get_details_error_info().expect("ErrorInfo").metadata["reached"],
        "7"
    );
}

#[test]
fn a_violation_can_be_made_by_hand() {
    let malformed = Malformed::new("page_size", "2000 rows; at most 1000 are allowed");
    assert_eq!(
        malformed.to_string(),
        "page_size: 2000 rows; at most 1000 are allowed"
    );
}
