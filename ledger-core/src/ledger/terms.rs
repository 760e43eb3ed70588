//! Creating and updating a ledger.

use std::collections::BTreeMap;

use crate::asset::Asset;
use crate::command::{CreateLedger, UpdateLedger};
use crate::event::{Event, LedgerTerms};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::name::AccountName;
use crate::rejection::{Code, Rejection};

/// Decides [`CreateLedger`].
pub(crate) fn create<B: Books>(
    case: &Case<'_, B>,
    asked: &CreateLedger,
) -> Result<Event, Rejection> {
    case.judge_conditions()?;
    case.judge_settlement(&asked.settlement_accounts)?;
    Ok(Event::LedgerCreated(LedgerTerms {
        time_zone: asked.zone(),
        cut_off_seconds: asked.cut_off_seconds,
        description: asked.description.clone(),
        metadata: asked.metadata.clone(),
        settlement_accounts: sorted(&asked.settlement_accounts),
        version: 1,
    }))
}

/// Decides [`UpdateLedger`].
pub(crate) fn update<B: Books>(
    case: &Case<'_, B>,
    current: &LedgerTerms,
    asked: &UpdateLedger,
) -> Result<Event, Rejection> {
    case.judge_conditions()?;
    if let Some(accounts) = &asked.settlement_accounts {
        case.judge_settlement(accounts)?;
    }
    let metadata = case.change_metadata(&asked.metadata, &current.metadata)?;
    Ok(Event::LedgerUpdated(LedgerTerms {
        time_zone: current.time_zone.clone(),
        cut_off_seconds: current.cut_off_seconds,
        description: (asked.description.as_ref())
            .unwrap_or(&current.description)
            .clone(),
        metadata,
        settlement_accounts: match &asked.settlement_accounts {
            Some(accounts) => sorted(accounts),
            None => current.settlement_accounts.clone(),
        },
        version: current.version + 1,
    }))
}

fn sorted(accounts: &[(Asset, AccountName)]) -> Vec<(Asset, AccountName)> {
    let mut sorted = accounts.to_vec();
    sorted.sort();
    sorted
}

impl<B: Books> Case<'_, B> {
    /// The ledger knows the code of `asset` with no other exponent: neither by an account nor
    /// by a settlement account.
    pub(crate) fn judge_exponent(&self, asset: &Asset) -> Result<(), Rejection> {
        let settled = || {
            let listed = &self.books.terms()?.settlement_accounts;
            let same = listed.iter().find(|(a, _)| a.code() == asset.code());
            same.map(|(asset, _)| asset.exponent())
        };
        match self.books.exponent_of(asset.code()).or_else(settled) {
            Some(known) if known != asset.exponent() => Err(conflict(asset, known)),
            _ => Ok(()),
        }
    }

    /// The assets of a new list of settlement accounts agree with each other and with the
    /// accounts. The list that it replaces does not count.
    fn judge_settlement(&self, accounts: &[(Asset, AccountName)]) -> Result<(), Rejection> {
        let mut listed = BTreeMap::new();
        for (asset, _) in accounts {
            let known = self
                .books
                .exponent_of(asset.code())
                .unwrap_or_else(|| *listed.entry(asset.code()).or_insert(asset.exponent()));
            if known != asset.exponent() {
                return Err(conflict(asset, known));
            }
        }
        Ok(())
    }
}

fn conflict(asset: &Asset, known: u8) -> Rejection {
    Rejection::new(Code::AssetExponentConflict)
        .with("asset", asset)
        .with("known", format_args!("{}/{known}", asset.code()))
}
