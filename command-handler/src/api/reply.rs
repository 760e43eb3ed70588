//! Outcomes as API messages.

use std::collections::HashMap;

use ledger_core::account::AccountNumber;
use ledger_core::asset::Asset;
use ledger_core::name::LedgerName;
use schemas::api::token::ReadToken;
use schemas::api::view;
use schemas::error::rejection_status;
use schemas::proto::v1;

use super::{Asked, CommandApi};
use crate::writer::request::{
    Accepted, BalanceLine, Decided, LedgerSubject, Outcome, TransactionSubject,
};

impl CommandApi {
    /// The outcome of one command of many.
    pub(super) fn outcome(&self, asked: &Asked, outcome: Outcome) -> v1::Outcome {
        use v1::outcome::Outcome as Out;
        let out = match outcome {
            Outcome::Declined(fault) => Out::Error((&fault).into()),
            Outcome::Decided(decided) => match &decided.result {
                Ok(accepted) => Out::Receipt(self.receipt(asked, &decided, accepted)),
                Err(rejection) => Out::Error(rejection_status(rejection)),
            },
        };
        v1::Outcome { outcome: Some(out) }
    }

    pub(super) fn receipt(
        &self,
        asked: &Asked,
        decided: &Decided,
        accepted: &Accepted,
    ) -> v1::Receipt {
        let or_empty = |id: &Option<_>| id.as_ref().map(ToString::to_string).unwrap_or_default();
        let transaction = accepted.transaction;
        let more = accepted.more.as_deref();
        v1::Receipt {
            ledger: asked.ledger.as_str().to_owned(),
            idempotency_key: asked.key.to_string(),
            transaction_id: transaction.map(|id| id.to_string()).unwrap_or_default(),
            ledger_sequence: decided.ledger_sequence,
            recorded_at: Some(view::timestamp(decided.recorded_at)),
            repeated: decided.repeated,
            // Nothing on record, nothing to wait for.
            token: match decided.hash {
                Some(_) => self.token(asked.shard, decided.sequence, decided.ledger_sequence),
                None => String::new(),
            },
            account_number: accepted.account.map_or(0, |number| number.0),
            balances: more.map_or_else(Vec::new, |m| m.balances.iter().map(balance).collect()),
            record_hash: or_empty(&decided.hash),
            member_transaction_ids: more.map_or_else(Vec::new, |more| {
                let ids = more.members.iter();
                ids.map(|id| id.map(|id| id.to_string()).unwrap_or_default())
                    .collect()
            }),
        }
    }

    pub(super) fn token(&self, shard: u32, sequence: u64, ledger_sequence: u64) -> String {
        ReadToken {
            log_id: self.log_id,
            shard,
            sequence,
            ledger_sequence,
        }
        .to_string()
    }
}

fn balance(line: &BalanceLine) -> v1::Balance {
    view::balance_of(
        line.name.as_str(),
        line.number,
        line.asset,
        line.side,
        line.minimum,
        line.version,
        &line.totals,
    )
}

/// A ledger as it is after a command.
pub(super) fn ledger(asked: &Asked, subject: &LedgerSubject) -> v1::Ledger {
    view::ledger(
        &asked.ledger,
        &subject.terms,
        subject.created_at.unwrap_or_default(),
        subject.closed_through,
        asked.shard,
    )
}

/// A transaction as it is after a command. Time, sequence and key of the record that made it
/// are told where that is this command's own; the read models know the others'.
pub(super) fn transaction(
    asked: &Asked,
    decided: &Decided,
    subject: &TransactionSubject,
) -> v1::Transaction {
    let names: HashMap<AccountNumber, (String, Asset)> = subject
        .names
        .iter()
        .map(|(number, name, asset)| (*number, (name.as_str().to_owned(), *asset)))
        .collect();
    let unknown = Asset::new("UNKNOWN", 0).expect("a code of capitals");
    let name_of = |number: AccountNumber| {
        let known = names.get(&number).cloned();
        known.unwrap_or_else(|| (format!("#{}", number.0), unknown))
    };
    let ledger: &LedgerName = &asked.ledger;
    let shown = view::transaction(
        ledger,
        &subject.transaction,
        decided.recorded_at,
        decided.ledger_sequence,
        &asked.key,
        &name_of,
    );
    if subject.made {
        return shown;
    }
    v1::Transaction {
        recorded_at: None,
        ledger_sequence: 0,
        idempotency_key: String::new(),
        ..shown
    }
}
