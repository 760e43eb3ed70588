//! Commands of a load as calls say them, and what answers come to.

use schemas::proto::v1 as api;
use schemas::proto::v1::command::Operation;

use super::manifest::{Slot, State, code_of, hash_of};
use super::plan::{Defect, Planned, Purpose, Shape};
use crate::client::failure::{Failure, Kind};

/// The one asset of a load.
pub const ASSET: &str = "USD/2";

/// What stands in a command's fields, with its defect where it has one.
pub struct Fields {
    /// Its key.
    pub key: String,
    /// The account that is debited.
    pub debit: String,
    /// The account that is credited.
    pub credit: String,
    /// Minor units.
    pub amount: String,
}

impl Fields {
    /// Of `planned`, whose original was first sent at `stamp`.
    pub fn of(shape: &Shape, planned: &Planned, stamp: u64) -> Self {
        let mut fields = Self {
            key: shape.key(planned.original, stamp),
            debit: Shape::account_name(planned.debit),
            credit: Shape::account_name(planned.credit),
            amount: planned.amount.to_string(),
        };
        match planned.purpose {
            Purpose::Malformed(Defect::Amount) => fields.amount = "12.50".to_owned(),
            Purpose::Malformed(Defect::Account) => fields.credit = "no such:name !".to_owned(),
            Purpose::Malformed(Defect::Key) => fields.key = String::new(),
            _ => {}
        }
        fields
    }
}

/// As calls say it.
pub fn command(shape: &Shape, planned: &Planned, stamp: u64) -> api::Command {
    let fields = Fields::of(shape, planned, stamp);
    api::Command {
        idempotency_key: fields.key,
        ledger: shape.ledger_name(planned.ledger),
        operation: Some(Operation::CreateTransaction(api::CreateTransaction {
            postings: vec![api::PostingSpec {
                debit: fields.debit,
                credit: fields.credit,
                asset: ASSET.to_owned(),
                amount_spec: Some(api::posting_spec::AmountSpec::Amount(fields.amount)),
            }],
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// What an outcome comes to; `None` where asking again may give another.
pub fn answered(outcome: &api::outcome::Outcome, stamp: u64) -> Option<Slot> {
    match outcome {
        api::outcome::Outcome::Receipt(receipt) => Some(Slot {
            state: State::Accepted,
            code: 0,
            ledger_sequence: receipt.ledger_sequence,
            hash: hash_of(&receipt.record_hash),
            stamp,
        }),
        api::outcome::Outcome::Error(status) => refused(&Failure::from_rpc_status(status), stamp),
    }
}

/// What an error comes to; `None` where asking again may give another.
pub fn refused(failure: &Failure, stamp: u64) -> Option<Slot> {
    if failure.retryable {
        return None;
    }
    let is_refusal = schemas::error::explain(&failure.code)
        .is_some_and(|explanation| explanation.kind == schemas::error::Kind::Refusal);
    let state = match failure.kind {
        _ if is_refusal => State::Refused,
        Kind::Usage => State::NoCommand,
        _ => State::Declined,
    };
    Some(Slot {
        state,
        code: code_of(&failure.code),
        ..Slot::sent(stamp)
    })
}
