//! Deposits, withdrawals and transfers: the very commands that calls make.

use std::collections::BTreeMap;

use ledger_core::asset::Asset;
use ledger_core::command::{AccountRef, Command, Operation};
use ledger_core::name::{AccountName, LedgerName};
use serde_json::Value;

use super::{CommandTopic, Encoding};
use crate::api::{Malformed, json, parse};
use crate::proto::ingest::v1 as proto;
use crate::proto::v1;

/// A record, as a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The ledger that it is for.
    pub ledger: LedgerName,
    /// What is asked for.
    pub command: Command,
    /// Present where the counter account was left out.
    pub settle: Option<Settle>,
}

/// An account that was left out: the ledger's settlement account for the asset is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The asset.
    pub asset: Asset,
    /// True where it is the account to be debited.
    pub debit: bool,
}

impl Settle {
    /// Puts `account` into its place.
    pub fn apply(&self, command: &mut Command, account: AccountName) {
        let Operation::CreateTransaction(create) = &mut command.operation else {
            return;
        };
        for posting in &mut create.postings {
            let place = match self.debit {
                true => &mut posting.debit,
                false => &mut posting.credit,
            };
            *place = AccountRef::Name(account.clone());
        }
    }
}

/// Why a record is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its bytes are not what its header says.
    #[error("{0}")]
    Undecodable(String),
    /// Its fields say no command.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Stands for an account that was left out until it is settled.
const LEFT_OUT: &str = "#1";

/// Reads a record of `topic`.
///
/// # Errors
/// [`Unreadable`].
pub fn read(topic: CommandTopic, encoding: Encoding, payload: &[u8]) -> Result<Form, Unreadable> {
    match topic {
        CommandTopic::Deposits => {
            let form: proto::Deposit = decode("daybook.ingest.v1.Deposit", encoding, payload)?;
            let parts = Parts {
                ledger: form.ledger,
                key: form.key,
                debit: ("counter_account", form.counter_account),
                credit: ("account", form.account),
                amount: form.amount,
                asset: form.asset,
                effective_at: form.effective_at,
                description: form.description,
                metadata: form.metadata,
                record_only_reason: form.record_only_reason,
            };
            parts.form(Some(true))
        }
        CommandTopic::Withdrawals => {
            let form: proto::Withdrawal =
                decode("daybook.ingest.v1.Withdrawal", encoding, payload)?;
            let parts = Parts {
                ledger: form.ledger,
                key: form.key,
                debit: ("account", form.account),
                credit: ("counter_account", form.counter_account),
                amount: form.amount,
                asset: form.asset,
                effective_at: form.effective_at,
                description: form.description,
                metadata: form.metadata,
                record_only_reason: form.record_only_reason,
            };
            parts.form(Some(false))
        }
        CommandTopic::Transfers => {
            let form: proto::Transfer = decode("daybook.ingest.v1.Transfer", encoding, payload)?;
            let parts = Parts {
                ledger: form.ledger,
                key: form.key,
                debit: ("debit_account", form.debit_account),
                credit: ("credit_account", form.credit_account),
                amount: form.amount,
                asset: form.asset,
                effective_at: form.effective_at,
                description: form.description,
                metadata: form.metadata,
                record_only_reason: form.record_only_reason,
            };
            parts.form(None)
        }
    }
}

fn decode<M: prost::Message + Default>(
    full_name: &str,
    encoding: Encoding,
    payload: &[u8],
) -> Result<M, Unreadable> {
    let undecodable = |why: String| Unreadable::Undecodable(why);
    match encoding {
        Encoding::Protobuf => {
            M::decode(payload).map_err(|error| undecodable(format!("not a {full_name}: {error}")))
        }
        Encoding::Json => {
            let mut value: Value = serde_json::from_slice(payload)
                .map_err(|error| undecodable(format!("not JSON: {error}")))?;
            spell_out(&mut value);
            json::from_json(full_name, &value).map_err(|error| undecodable(error.to_string()))
        }
    }
}

/// Texts that stand as plain strings become what the message says.
fn spell_out(value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    let plain = |value: &mut Value| {
        if value.is_string() {
            *value = serde_json::json!({ "plain": value.take() });
        }
    };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("description" | "record_only_reason" | "recordOnlyReason", value) => plain(value),
            ("metadata", Value::Object(entries)) => entries.values_mut().for_each(plain),
            _ => {}
        }
    }
}

/// What the three forms share. Accounts stand with the names of their fields.
struct Parts {
    ledger: String,
    key: String,
    debit: (&'static str, String),
    credit: (&'static str, String),
    amount: String,
    asset: String,
    effective_at: Option<prost_types::Timestamp>,
    description: Option<v1::Text>,
    metadata: BTreeMap<String, v1::Text>,
    record_only_reason: Option<v1::Text>,
}

impl Parts {
    /// `counter` says which side may be left out: true for the debit side.
    fn form(mut self, counter: Option<bool>) -> Result<Form, Unreadable> {
        if self.asset.is_empty() {
            return Err(Malformed::new("asset", "is required, such as USD/2").into());
        }
        let asset = parse::asset(&self.asset, "asset")?;
        let settle = counter.and_then(|debit| {
            let place = match debit {
                true => &mut self.debit.1,
                false => &mut self.credit.1,
            };
            place.is_empty().then(|| {
                LEFT_OUT.clone_into(place);
                Settle { asset, debit }
            })
        });
        let ((debit_field, debit), (credit_field, credit)) = (self.debit, self.credit);
        let command = v1::Command {
            idempotency_key: self.key,
            ledger: self.ledger,
            operation: Some(v1::command::Operation::CreateTransaction(
                v1::CreateTransaction {
                    postings: vec![v1::PostingSpec {
                        debit,
                        credit,
                        asset: self.asset,
                        amount_spec: Some(v1::posting_spec::AmountSpec::Amount(self.amount)),
                    }],
                    effective_at: self.effective_at,
                    hold: None,
                    record_only_reason: self.record_only_reason,
                    description: self.description,
                    metadata: self.metadata,
                },
            )),
            ..v1::Command::default()
        };
        let parsed = parse::command(command).map_err(|malformed| {
            let posting = "create_transaction.postings[0]";
            let mut malformed = malformed
                .renamed("idempotency_key", "key")
                .renamed(&format!("{posting}.debit"), debit_field)
                .renamed(&format!("{posting}.credit"), credit_field);
            for field in ["amount", "asset"] {
                malformed = malformed.renamed(&format!("{posting}.{field}"), field);
            }
            for field in [
                "effective_at",
                "description",
                "metadata",
                "record_only_reason",
            ] {
                malformed = malformed.renamed(&format!("create_transaction.{field}"), field);
            }
            malformed
        })?;
        Ok(Form {
            ledger: parsed.ledger,
            command: parsed.command,
            settle,
        })
    }
}
