//! The form of a whole command: sizes, and what may stand in a batch.

use crate::asset::Asset;
use crate::command::{
    AtomicMember, Command, CreateLedger, CreateTransaction, Operation, UpdateLedger,
};
use crate::invalid::Invalid;
use crate::limits::{
    ATOMIC_MEMBERS_MAX, CONDITIONS_MAX, METADATA_KEYS_MAX, POSTINGS_MAX, SETTLEMENT_ACCOUNTS_MAX,
    TIME_ZONE_BYTES_MAX,
};
use crate::name::AccountName;
use crate::text::{MetadataChange, Text};
use crate::transaction::LimitsMode;

impl Command {
    /// Checks the form of the whole. The edge asks this before a command is decided, and refuses
    /// it as malformed; `decide` asks again and refuses with `COMMAND_INVALID`.
    ///
    /// # Errors
    /// [`Invalid`] names what is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        at_most("conditions", self.conditions.len(), CONDITIONS_MAX)?;
        match &self.operation {
            Operation::Atomic(members) => check_batch(members),
            operation => operation.check(),
        }
    }
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), Invalid> {
    if count > most {
        return Err(Invalid::new(format!(
            "{count} {what}; at most {most} are allowed"
        )));
    }
    Ok(())
}

fn check_batch(members: &[AtomicMember]) -> Result<(), Invalid> {
    if members.is_empty() {
        return Err(Invalid::new("an atomic batch without members"));
    }
    at_most("members", members.len(), ATOMIC_MEMBERS_MAX)?;
    for (index, member) in members.iter().enumerate() {
        let said = |invalid: Invalid| Invalid::new(format!("member {index}: {invalid}"));
        at_most("conditions", member.conditions.len(), CONDITIONS_MAX).map_err(said)?;
        match &member.operation {
            Operation::Atomic(_) | Operation::CreateLedger(_) | Operation::ExpireHold(_) => {
                return Err(said(Invalid::new(
                    "batches, CreateLedger and ExpireHold cannot be members",
                )));
            }
            operation => operation.check().map_err(said)?,
        }
    }
    Ok(())
}

fn check_text(what: &str, text: Option<&Text>) -> Result<(), Invalid> {
    match text {
        Some(text) => text
            .check_description()
            .map_err(|invalid| Invalid::new(format!("{what}: {invalid}"))),
        None => Ok(()),
    }
}

fn check_change(change: &MetadataChange) -> Result<(), Invalid> {
    at_most(
        "metadata keys to remove",
        change.remove.len(),
        METADATA_KEYS_MAX,
    )
}

fn check_settlement(accounts: &[(Asset, AccountName)]) -> Result<(), Invalid> {
    at_most(
        "settlement accounts",
        accounts.len(),
        SETTLEMENT_ACCOUNTS_MAX,
    )?;
    let mut assets: Vec<&Asset> = accounts.iter().map(|(asset, _)| asset).collect();
    assets.sort_unstable();
    match assets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Invalid::new(format!(
            "two settlement accounts for {}",
            pair[0]
        ))),
        None => Ok(()),
    }
}

impl Operation {
    /// Checks the form of an operation that is no batch.
    fn check(&self) -> Result<(), Invalid> {
        let description = |text| check_text("description", text);
        let reason = |text| check_text("reason", text);
        match self {
            Self::CreateTransaction(asked) => asked.check(),
            Self::CreateLedger(asked) => asked.check(),
            Self::UpdateLedger(asked) => asked.check(),
            Self::OpenAccount(_) | Self::ExpireHold(_) | Self::Atomic(_) => Ok(()),
            Self::UpdateAccount(asked) => check_change(&asked.metadata),
            Self::FreezeAccount(asked) => reason(asked.reason.as_ref()),
            Self::UnfreezeAccount(asked)
            | Self::CloseAccount(asked)
            | Self::ReopenAccount(asked) => reason(asked.reason.as_ref()),
            Self::CaptureTransaction(asked) => {
                at_most("amounts", asked.amounts.len(), POSTINGS_MAX)?;
                description(asked.description.as_ref())
            }
            Self::VoidTransaction(asked) => reason(asked.reason.as_ref()),
            Self::ReverseTransaction(asked) => {
                at_most("amounts", asked.amounts.len(), POSTINGS_MAX)?;
                check_limits_mode(&asked.limits)?;
                description(asked.description.as_ref())
            }
            Self::UpdateTransaction(asked) => {
                check_change(&asked.metadata)?;
                description(asked.description.as_ref().and_then(Option::as_ref))
            }
            Self::CloseBooks(asked) => reason(asked.reason.as_ref()),
            Self::ReopenBooks(asked) => reason(Some(&asked.reason)),
        }
    }
}

fn check_limits_mode(mode: &LimitsMode) -> Result<(), Invalid> {
    match mode {
        LimitsMode::Enforce => Ok(()),
        LimitsMode::RecordOnly(reason) => check_text("record-only reason", Some(reason)),
    }
}

impl CreateTransaction {
    fn check(&self) -> Result<(), Invalid> {
        if self.postings.is_empty() {
            return Err(Invalid::new("a transaction without postings"));
        }
        at_most("postings", self.postings.len(), POSTINGS_MAX)?;
        check_limits_mode(&self.limits)?;
        check_text("description", self.description.as_ref())
    }
}

impl CreateLedger {
    fn check(&self) -> Result<(), Invalid> {
        if self.cut_off_seconds >= 86_400 {
            return Err(Invalid::new("a cut-off is before the end of the day"));
        }
        at_most(
            "bytes of time zone",
            self.time_zone.len(),
            TIME_ZONE_BYTES_MAX,
        )?;
        check_settlement(&self.settlement_accounts)?;
        check_text("description", self.description.as_ref())
    }
}

impl UpdateLedger {
    fn check(&self) -> Result<(), Invalid> {
        if let Some(accounts) = &self.settlement_accounts {
            check_settlement(accounts)?;
        }
        check_change(&self.metadata)?;
        check_text(
            "description",
            self.description.as_ref().and_then(Option::as_ref),
        )
    }
}
