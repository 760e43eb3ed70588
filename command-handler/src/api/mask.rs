//! Field masks of account updates: what the caller says changes, and nothing else. The command
//! itself says limit by limit what changes, so two updates of different limits never undo each
//! other, and the request hash is over what was said.

use ledger_core::account::{Limits, LimitsChange};
use ledger_core::command::{Command, Operation};
use ledger_core::text::MetadataChange;
use schemas::api::Malformed;

const PATHS: &str = "limits, limits.minimum, limits.maximum, limits.per_transaction, \
                     limits.velocity, metadata";

/// Narrows an account update to `paths`. What a path names and the update leaves out is cleared.
pub(super) fn narrow(command: &mut Command, paths: &[String]) -> Result<(), Malformed> {
    let Operation::UpdateAccount(update) = &mut command.operation else {
        return Ok(());
    };
    let said = update.limits.apply_to(&Limits::default());
    let mut limits = LimitsChange::default();
    let mut metadata = MetadataChange::default();
    for (index, path) in paths.iter().enumerate() {
        match path.as_str() {
            "limits" => limits = LimitsChange::replace_all(said.clone()),
            "limits.minimum" => limits.minimum = Some(said.minimum),
            "limits.maximum" => limits.maximum = Some(said.maximum),
            "limits.per_transaction" => limits.per_transaction = Some(said.per_transaction),
            "limits.velocity" => limits.velocity = Some(said.velocity.clone()),
            "metadata" => metadata = update.metadata.clone(),
            other => {
                return Err(Malformed::new(
                    format_args!("update_mask.paths[{index}]"),
                    format_args!("{other:?} is none of {PATHS}"),
                ));
            }
        }
    }
    update.limits = limits;
    update.metadata = metadata;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger_core::account::AccountNumber;
    use ledger_core::command::{AccountRef, UpdateAccount};
    use ledger_core::key::IdempotencyKey;

    use super::*;

    fn update(paths: &[&str]) -> Result<UpdateAccount, Malformed> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let mut command = Command {
            key: IdempotencyKey::text("k").unwrap(),
            conditions: Vec::new(),
            operation: Operation::UpdateAccount(UpdateAccount {
                account: AccountRef::Number(AccountNumber(1)),
                limits: LimitsChange::replace_all(Limits {
                    minimum: Some(-100),
                    ..Limits::default()
                }),
                metadata: MetadataChange {
                    remove: vec!["old".into()],
                    ..MetadataChange::default()
                },
            }),
        };
        narrow(&mut command, &paths)?;
        match command.operation {
            Operation::UpdateAccount(update) => Ok(update),
            _ => unreachable!("it is an update"),
        }
    }

    #[test]
    fn only_what_is_named_changes() {
        let minimum = update(&["limits.minimum"]).unwrap();
        assert_eq!(minimum.limits.minimum, Some(Some(-100)));
        assert_eq!(minimum.limits.maximum, None);
        assert_eq!(minimum.metadata, MetadataChange::default());
        // Named and left out: the bound is taken away.
        let maximum = update(&["limits.maximum", "metadata"]).unwrap();
        assert_eq!(maximum.limits.minimum, None);
        assert_eq!(maximum.limits.maximum, Some(None));
        assert_eq!(maximum.metadata.remove, vec![Box::from("old")]);
        let all = update(&["limits"]).unwrap();
        assert_eq!(all.limits.velocity, Some(Vec::new()));
    }

    #[test]
    fn an_unknown_path_is_malformed() {
        let malformed = update(&["metadata", "balance"]).unwrap_err();
        assert_eq!(malformed.violations[0].field, "update_mask.paths[1]");
    }
}
