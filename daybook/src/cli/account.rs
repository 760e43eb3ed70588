//! `daybook account`.

use clap::{Subcommand, ValueEnum};
use schemas::proto::v1::*;

use super::limits::{self, LimitsArgs};
use super::options::{
    CommandArgs, FreshArgs, LimitArgs, MetadataArgs, asset_of, metadata, pair, shown_metadata,
    some_plain,
};
use super::pages::{more_hint, pages_to_show, to_show};
use super::receipt;
use crate::client::failure::Failure;
use crate::client::output::{self, CYAN, Table, cell};
use crate::client::session::Session;
use crate::client::{iso4217, moment, money, rpc};

/// What kind of thing an account is; gives its normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    /// Debit side: what we have.
    Asset,
    /// Credit side: what we owe; customers' money.
    Liability,
    /// Credit side.
    Equity,
    /// Credit side: what we earn.
    Income,
    /// Debit side: what we spend.
    Expense,
    /// Debit side, outside of the statements.
    Memo,
}

impl From<TypeArg> for AccountType {
    fn from(arg: TypeArg) -> Self {
        match arg {
            TypeArg::Asset => Self::Asset,
            TypeArg::Liability => Self::Liability,
            TypeArg::Equity => Self::Equity,
            TypeArg::Income => Self::Income,
            TypeArg::Expense => Self::Expense,
            TypeArg::Memo => Self::Memo,
        }
    }
}

/// The status of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Takes part.
    Open,
    /// Frozen for debits.
    FrozenDebits,
    /// Frozen for credits.
    FrozenCredits,
    /// Frozen for both.
    FrozenAll,
    /// Closed.
    Closed,
}

impl From<StatusArg> for AccountStatus {
    fn from(arg: StatusArg) -> Self {
        match arg {
            StatusArg::Open => Self::Open,
            StatusArg::FrozenDebits => Self::FrozenDebits,
            StatusArg::FrozenCredits => Self::FrozenCredits,
            StatusArg::FrozenAll => Self::FrozenAll,
            StatusArg::Closed => Self::Closed,
        }
    }
}

/// What is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// No debits.
    Debits,
    /// No credits.
    Credits,
    /// Neither.
    All,
}

/// Accounts: names with a balance.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Open an account.
    Open {
        /// Its name, a path such as customers:42:checking.
        name: String,
        /// What it holds: USD (ISO 4217) or CODE/EXPONENT.
        #[arg(long)]
        asset: String,
        /// What kind of thing it is.
        #[arg(long = "type", value_enum)]
        account_type: TypeArg,
        #[command(flatten)]
        limits: LimitsArgs,
        /// An entry of metadata.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Show an account.
    Get {
        /// Its name.
        account: String,
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// List accounts.
    List {
        /// 'customers:*:checking': * is one segment, ** at the end any rest.
        #[arg(default_value = "**")]
        pattern: String,
        /// Of this asset.
        #[arg(long)]
        asset: Option<String>,
        /// Of this type.
        #[arg(long = "type", value_enum)]
        account_type: Option<TypeArg>,
        /// With this status.
        #[arg(long, value_enum)]
        status: Option<StatusArg>,
        /// With this entry of metadata.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// Change limits or metadata.
    Update {
        /// Its name.
        account: String,
        #[command(flatten)]
        limits: LimitsArgs,
        #[command(flatten)]
        metadata: MetadataArgs,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Freeze an account: for debits, credits or all.
    Freeze {
        /// Its name.
        account: String,
        /// What is frozen.
        #[arg(long, value_enum, default_value = "all")]
        scope: ScopeArg,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Unfreeze an account.
    Unfreeze(ChangeArgs),
    /// Close an account that has no balance and no holds.
    Close(ChangeArgs),
    /// Reopen a closed account.
    Reopen(ChangeArgs),
}

/// A change without more to say.
#[derive(Debug, clap::Args)]
pub struct ChangeArgs {
    /// Its name.
    account: String,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    command: CommandArgs,
}

/// Runs the command.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn run(session: &Session, command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::Open {
            name,
            asset,
            account_type,
            limits,
            metadata: entries,
            command,
        } => {
            let asset = iso4217::asset(&asset)?;
            let request = OpenAccountRequest {
                options: Some(command.options(session).await?),
                ledger: session.ledger(),
                open: Some(OpenAccount {
                    name,
                    asset: asset.to_string(),
                    r#type: AccountType::from(account_type).into(),
                    limits: match limits.any() {
                        true => Some(limits.limits(&asset)?),
                        false => None,
                    },
                    metadata: metadata(&entries)?,
                }),
            };
            changed(session, rpc::OPEN_ACCOUNT, request, "opened").await
        }
        AccountCommand::Get { account, fresh } => {
            let request = GetAccountRequest {
                ledger: session.ledger(),
                account,
                consistency: fresh.wire(),
            };
            if let Some(account) = to_show(session, rpc::GET_ACCOUNT, request).await? {
                show(&account);
            }
            Ok(())
        }
        AccountCommand::List {
            pattern,
            asset,
            account_type,
            status,
            metadata,
            limit,
            fresh,
        } => {
            let (key, value) = match &metadata {
                Some(text) => pair(text)?,
                None => ("", ""),
            };
            let filter = ListAccountsRequest {
                ledger: session.ledger(),
                pattern,
                asset: match asset {
                    Some(asset) => iso4217::asset(&asset)?.to_string(),
                    None => String::new(),
                },
                r#type: account_type.map_or(0, |t| AccountType::from(t).into()),
                status: status.map_or(0, |s| AccountStatus::from(s).into()),
                metadata_key: key.to_owned(),
                metadata_value: value.to_owned(),
                consistency: fresh.or_strong(),
                ..Default::default()
            };
            list(session, filter, limit).await
        }
        AccountCommand::Update {
            account,
            limits,
            metadata,
            command,
        } => {
            let mut paths = limits.mask();
            let limits = match limits.any() {
                true => Some(limits.limits(&asset_of(session, &account).await?)?),
                false => None,
            };
            let metadata = metadata.change()?;
            if metadata.is_some() {
                paths.push("metadata".to_owned());
            }
            if paths.is_empty() {
                return Err(Failure::usage("nothing to change was given")
                    .hint("--minimum, --maximum, --per-transaction, --velocity, --metadata"));
            }
            let request = UpdateAccountRequest {
                options: Some(command.options(session).await?),
                ledger: session.ledger(),
                update: Some(UpdateAccount {
                    account,
                    limits,
                    metadata,
                }),
                update_mask: Some(prost_types::FieldMask { paths }),
            };
            changed(session, rpc::UPDATE_ACCOUNT, request, "updated").await
        }
        AccountCommand::Freeze {
            account,
            scope,
            reason,
            command,
        } => {
            use freeze_account::Scope;
            let scope = match scope {
                ScopeArg::Debits => Scope::Debits,
                ScopeArg::Credits => Scope::Credits,
                ScopeArg::All => Scope::All,
            };
            let request = FreezeAccountRequest {
                options: Some(command.options(session).await?),
                ledger: session.ledger(),
                freeze: Some(FreezeAccount {
                    account,
                    scope: scope.into(),
                    reason: some_plain(&reason),
                }),
            };
            changed(session, rpc::FREEZE_ACCOUNT, request, "froze").await
        }
        AccountCommand::Unfreeze(args) => {
            let request = change(session, args).await?;
            changed(session, rpc::UNFREEZE_ACCOUNT, request, "unfroze").await
        }
        AccountCommand::Close(args) => {
            let request = change(session, args).await?;
            changed(session, rpc::CLOSE_ACCOUNT, request, "closed").await
        }
        AccountCommand::Reopen(args) => {
            let request = change(session, args).await?;
            changed(session, rpc::REOPEN_ACCOUNT, request, "reopened").await
        }
    }
}

async fn change(session: &Session, args: ChangeArgs) -> Result<ChangeAccountRequest, Failure> {
    Ok(ChangeAccountRequest {
        options: Some(args.command.options(session).await?),
        ledger: session.ledger(),
        change: Some(ChangeAccount {
            account: args.account,
            reason: some_plain(&args.reason),
        }),
    })
}

async fn changed<Q: prost::Message + Clone + 'static>(
    session: &Session,
    rpc: rpc::Rpc<Q, AccountReply>,
    request: Q,
    what: &str,
) -> Result<(), Failure> {
    if let Some(reply) = to_show(session, rpc, request).await? {
        let account = reply.account.unwrap_or_default();
        let receipt = reply.receipt.unwrap_or_default();
        receipt::headline(what, &format!("account {}", account.name), &receipt);
        show(&account);
    }
    Ok(())
}

async fn list(
    session: &Session,
    filter: ListAccountsRequest,
    limit: LimitArgs,
) -> Result<(), Failure> {
    let request = |page_size, page_token| ListAccountsRequest {
        page_size,
        page_token,
        ..filter.clone()
    };
    let Some(all) = pages_to_show(session, rpc::LIST_ACCOUNTS, &limit, request).await? else {
        return Ok(());
    };
    let mut table = Table::new(&["account", "type", "status", ">posted", ">available"]);
    for account in &all.accounts {
        let balance = account.balance.clone().unwrap_or_default();
        table.row(vec![
            cell(CYAN, &account.name),
            type_name(account.r#type()).into(),
            status_name(account.status()).into(),
            money::human(&balance.posted, &account.asset).into(),
            money::human(&balance.available, &account.asset).into(),
        ]);
    }
    table.print("no accounts");
    more_hint(&all);
    Ok(())
}

/// `liability`.
pub fn type_name(account_type: AccountType) -> String {
    account_type
        .as_str_name()
        .trim_start_matches("ACCOUNT_TYPE_")
        .to_lowercase()
}

/// `frozen for debits`.
pub fn status_name(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Unspecified => "",
        AccountStatus::Open => "open",
        AccountStatus::FrozenDebits => "frozen for debits",
        AccountStatus::FrozenCredits => "frozen for credits",
        AccountStatus::FrozenAll => "frozen",
        AccountStatus::Closed => "closed",
    }
}

/// Shows an account.
pub fn show(account: &Account) {
    let balance = account.balance.clone().unwrap_or_default();
    let amount = |minor: &str| match minor.is_empty() {
        true => String::new(),
        false => money::both(minor, &account.asset),
    };
    let mut pairs = vec![
        ("account", account.name.clone()),
        ("number", account.number.to_string()),
        (
            "type",
            format!("{} of {}", type_name(account.r#type()), account.asset),
        ),
        ("status", status_name(account.status()).to_owned()),
        ("posted", amount(&balance.posted)),
        ("pending", amount(&balance.pending)),
        ("available", amount(&balance.available)),
        ("spendable", amount(&balance.spendable)),
    ];
    pairs.extend(limits::shown(account.limits.as_ref(), &account.asset));
    if account.open_holds > 0 {
        pairs.push(("open holds", account.open_holds.to_string()));
    }
    pairs.extend([
        ("metadata", shown_metadata(&account.metadata)),
        ("opened", moment::exact(account.opened_at.as_ref())),
        ("version", account.version.to_string()),
    ]);
    output::fields(&pairs);
}
