//! Ledgers and accounts of a load. May be done again: the keys are always the same.

use schemas::proto::v1 as api;
use schemas::proto::v1::command::Operation;

use super::calls::Calls;
use super::plan::{BANK, Shape};
use super::wire::ASSET;
use crate::client::failure::Failure;
use crate::client::rpc;

/// Keys of what is set up begin so.
pub const KEYS: &str = "load-setup:";

/// Commands of a request.
const TOGETHER: usize = 1_000;

/// Makes the ledgers and opens their accounts, where they are not there.
///
/// # Errors
/// The server refused, or did not answer until patience ended.
pub async fn set_up(calls: &Calls, shape: &Shape) -> Result<(), Failure> {
    for ledger in 0..shape.ledgers {
        let name = shape.ledger_name(ledger);
        let key = |what: &str| format!("{KEYS}{:08x}:{ledger}:{what}", shape.run);
        let command = |key: String, operation: Operation| api::Command {
            idempotency_key: key,
            ledger: name.clone(),
            operation: Some(operation),
            ..Default::default()
        };
        let settles = [(ASSET.to_owned(), Shape::account_name(BANK))];
        let create = api::CreateLedger {
            settlement_accounts: settles.into(),
            ..Default::default()
        };
        let accounts = (BANK..=shape.accounts).map(|account| {
            let open = api::OpenAccount {
                name: Shape::account_name(account),
                asset: ASSET.to_owned(),
                r#type: match account {
                    BANK => api::AccountType::Asset.into(),
                    _ => api::AccountType::Liability.into(),
                },
                limits: (account != BANK).then(|| api::Limits {
                    minimum: "0".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            command(key(&account.to_string()), Operation::OpenAccount(open))
        });
        let all: Vec<api::Command> =
            std::iter::once(command(key("ledger"), Operation::CreateLedger(create)))
                .chain(accounts)
                .collect();
        for together in all.chunks(TOGETHER) {
            carry_out(calls, together).await?;
        }
    }
    Ok(())
}

/// All of them must be carried out.
async fn carry_out(calls: &Calls, commands: &[api::Command]) -> Result<(), Failure> {
    let mut retry = super::calls::Retry::new(calls.patience());
    let request = api::BatchWriteRequest {
        commands: commands.to_vec(),
    };
    loop {
        let reply = calls.call(rpc::BATCH_WRITE, request.clone()).await?;
        let mut failures =
            reply
                .outcomes
                .iter()
                .filter_map(|outcome| match outcome.outcome.as_ref()? {
                    api::outcome::Outcome::Receipt(_) => None,
                    api::outcome::Outcome::Error(status) => Some(Failure::from_rpc_status(status)),
                });
        // The first may be the cause of those behind it: accounts of a ledger that is not there.
        let Some(failure) = failures.next() else {
            return Ok(());
        };
        if !failure.retryable || !retry.pause().await {
            return Err(failure);
        }
    }
}
