//! Options that several commands share, and how their texts are read.

use std::collections::BTreeMap;

use schemas::proto::v1::*;

use crate::client::failure::Failure;
use crate::client::money::Written;
use crate::client::session::{Session, new_key};
use crate::client::{moment, rpc};

/// What every command that changes something takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Command options")]
pub struct CommandArgs {
    /// Makes the command safe to repeat; a new UUIDv7 when left out.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,

    /// Decide and show the outcome, but record nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Only if the account still has this version.
    #[arg(long, value_name = "ACCOUNT=VERSION")]
    pub if_version: Vec<String>,

    /// Only if the balance compares so: 'ACCOUNT available >= 12.50 USD' (posted, pending,
    /// available; >=, <=, =).
    #[arg(long = "if", value_name = "CONDITION")]
    pub conditions: Vec<String>,
}

impl CommandArgs {
    /// The options as the API takes them.
    ///
    /// # Errors
    /// A condition cannot be read.
    pub async fn options(&self, session: &Session) -> Result<CommandOptions, Failure> {
        let mut conditions = Vec::new();
        for text in &self.if_version {
            let (account, version) = pair(text)?;
            let version = version.parse().map_err(|_| {
                Failure::usage(format!("--if-version {text}: {version:?} is not a version"))
            })?;
            conditions.push(Condition {
                condition: Some(condition::Condition::AccountVersion(AccountVersion {
                    account: account.to_owned(),
                    version,
                })),
            });
        }
        for text in &self.conditions {
            conditions.push(balance_condition(session, text).await?);
        }
        Ok(CommandOptions {
            idempotency_key: self.key.clone().unwrap_or_else(new_key),
            validate_only: self.dry_run,
            return_balances: true,
            conditions,
        })
    }
}

async fn balance_condition(session: &Session, text: &str) -> Result<Condition, Failure> {
    let form = || {
        Failure::usage(format!("--if {text:?} is not a condition"))
            .hint("write --if 'customers:ada available >= 12.50 USD'")
    };
    let mut words = text.splitn(4, ' ').map(str::trim);
    let (Some(account), Some(kind), Some(comparison), Some(amount)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(form());
    };
    use balance_condition::{Comparison, Kind};
    let kind = match kind {
        "posted" => Kind::Posted,
        "pending" => Kind::Pending,
        "available" => Kind::Available,
        _ => return Err(form()),
    };
    let asset = asset_of(session, account).await?;
    let minor = Written::parse(amount)?.signed_minor(&asset)?;
    let comparison = match comparison {
        ">=" => Comparison::AtLeast(minor),
        "<=" => Comparison::AtMost(minor),
        "=" | "==" => Comparison::Equal(minor),
        _ => return Err(form()),
    };
    Ok(Condition {
        condition: Some(condition::Condition::Balance(BalanceCondition {
            account: account.to_owned(),
            kind: kind.into(),
            comparison: Some(comparison),
        })),
    })
}

/// The account, with everything acknowledged.
///
/// # Errors
/// It does not exist, or the server does not answer.
pub async fn account_of(session: &Session, account: &str) -> Result<Account, Failure> {
    let request = GetAccountRequest {
        ledger: session.ledger(),
        account: account.to_owned(),
        consistency: None,
    };
    session.call(rpc::GET_ACCOUNT, request).await
}

/// The asset that the account holds, which says how an amount is read.
///
/// # Errors
/// As [`account_of`].
pub async fn asset_of(
    session: &Session,
    account: &str,
) -> Result<ledger_core::asset::Asset, Failure> {
    let account = account_of(session, account).await?;
    ledger_core::asset::Asset::parse(&account.asset)
        .map_err(|invalid| Failure::broken(invalid.to_string()))
}

/// Splits `name=value`.
///
/// # Errors
/// There is no `=`.
pub fn pair(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=')
        .ok_or_else(|| Failure::usage(format!("{text:?} is not of the form NAME=VALUE")))
}

/// A text in the open.
pub fn plain(text: &str) -> Text {
    Text {
        text: Some(text::Text::Plain(text.to_owned())),
    }
}

/// A text, where one was given.
pub fn some_plain(text: &Option<String>) -> Option<Text> {
    text.as_deref().map(plain)
}

/// A text as it is shown.
pub fn shown(text: Option<&Text>) -> String {
    match text.and_then(|t| t.text.as_ref()) {
        None => String::new(),
        Some(text::Text::Plain(plain)) => plain.clone(),
        Some(text::Text::Sealed(sealed)) => format!("(sealed with key {})", sealed.key_id),
    }
}

/// Reads `--metadata k=v` options.
///
/// # Errors
/// One is not of this form.
pub fn metadata(texts: &[String]) -> Result<BTreeMap<String, Text>, Failure> {
    texts
        .iter()
        .map(|text| pair(text).map(|(k, v)| (k.to_owned(), plain(v))))
        .collect()
}

/// Metadata as it is shown: `k=v, k=v`.
pub fn shown_metadata(metadata: &BTreeMap<String, Text>) -> String {
    metadata
        .iter()
        .map(|(key, value)| format!("{key}={}", shown(Some(value))))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A change of metadata.
#[derive(Debug, Clone, clap::Args)]
pub struct MetadataArgs {
    /// Add or replace an entry.
    #[arg(long, value_name = "KEY=VALUE")]
    pub metadata: Vec<String>,
    /// Take an entry away.
    #[arg(long, value_name = "KEY")]
    pub remove_metadata: Vec<String>,
}

impl MetadataArgs {
    /// The change, where there is one.
    ///
    /// # Errors
    /// An entry cannot be read.
    pub fn change(&self) -> Result<Option<MetadataChange>, Failure> {
        if self.metadata.is_empty() && self.remove_metadata.is_empty() {
            return Ok(None);
        }
        Ok(Some(MetadataChange {
            set: metadata(&self.metadata)?,
            remove: self.remove_metadata.clone(),
        }))
    }
}

/// An optional time.
///
/// # Errors
/// It cannot be read.
pub fn time(text: &Option<String>) -> Result<Option<prost_types::Timestamp>, Failure> {
    text.as_deref().map(moment::parse).transpose()
}

/// How fresh an answer must be.
#[derive(Debug, Clone, clap::Args)]
pub struct FreshArgs {
    /// How fresh: strong (all that was acknowledged), eventual, or the token of a reply.
    #[arg(long, value_name = "strong|eventual|TOKEN")]
    pub consistency: Option<String>,
}

impl FreshArgs {
    /// As the API takes it; the method's own default when not given.
    pub fn wire(&self) -> Option<Consistency> {
        use consistency::Consistency as C;
        let consistency = match self.consistency.as_deref()? {
            "strong" => C::Strong(true),
            "eventual" => C::Eventual(true),
            token => C::AtLeast(token.to_owned()),
        };
        Some(Consistency {
            consistency: Some(consistency),
        })
    }

    /// As the API takes it; strong when not given, so that what was just written is seen.
    pub fn or_strong(&self) -> Option<Consistency> {
        self.wire().or_else(strong)
    }
}

/// With everything that was acknowledged.
pub fn strong() -> Option<Consistency> {
    Some(Consistency {
        consistency: Some(consistency::Consistency::Strong(true)),
    })
}

/// How many rows are listed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitArgs {
    /// Rows at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}
