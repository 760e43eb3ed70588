//! `daybook ledger`.

use clap::Subcommand;
use schemas::proto::v1::*;

use super::options::{
    CommandArgs, LimitArgs, MetadataArgs, metadata, pair, shown, shown_metadata, some_plain, time,
};
use super::pages::{more_hint, pages_to_show, to_show};
use super::receipt;
use crate::client::failure::Failure;
use crate::client::output::{self, CYAN, Table, cell};
use crate::client::session::Session;
use crate::client::{moment, rpc};

/// Ledgers: independent charts of accounts.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Create a ledger.
    Create {
        /// Its name; that of --ledger when left out.
        name: Option<String>,
        /// IANA time zone of its business day; UTC when left out.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// When its business day ends, HH:MM local.
        #[arg(long, value_name = "HH:MM")]
        cut_off: Option<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// An entry of metadata.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        /// Where deposits and withdrawals of an asset settle.
        #[arg(long, value_name = "ASSET=ACCOUNT")]
        settlement: Vec<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Show a ledger.
    Get {
        /// Its name; that of --ledger when left out.
        name: Option<String>,
    },
    /// List the ledgers.
    List {
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Change description, metadata or settlement accounts.
    Update {
        /// Its name; that of --ledger when left out.
        name: Option<String>,
        /// The new description.
        #[arg(long)]
        description: Option<String>,
        /// Take the description away.
        #[arg(long, conflicts_with = "description")]
        clear_description: bool,
        #[command(flatten)]
        metadata: MetadataArgs,
        /// The new list of settlement accounts.
        #[arg(long, value_name = "ASSET=ACCOUNT")]
        settlement: Vec<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Close the books: nothing may be effective at or before this instant any more.
    CloseBooks {
        /// The instant.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        through: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Open closed books again.
    ReopenBooks {
        /// Keep them closed through this earlier instant; entirely open when left out.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        through: Option<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
}

fn settlement_accounts(
    texts: &[String],
) -> Result<std::collections::BTreeMap<String, String>, Failure> {
    texts
        .iter()
        .map(|text| {
            let (asset, account) = pair(text)?;
            let asset = crate::client::iso4217::asset(asset)?;
            Ok((asset.to_string(), account.to_owned()))
        })
        .collect()
}

/// Runs the command.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn run(session: &Session, command: LedgerCommand) -> Result<(), Failure> {
    match command {
        LedgerCommand::Create {
            name,
            time_zone,
            cut_off,
            description,
            metadata: entries,
            settlement,
            command,
        } => {
            let request = CreateLedgerRequest {
                options: Some(command.options(session).await?),
                ledger: name.unwrap_or_else(|| session.ledger()),
                create: Some(CreateLedger {
                    time_zone: time_zone.unwrap_or_default(),
                    cut_off: cut_off.unwrap_or_default(),
                    description: some_plain(&description),
                    metadata: metadata(&entries)?,
                    settlement_accounts: settlement_accounts(&settlement)?,
                }),
            };
            changed(session, rpc::CREATE_LEDGER, request, "created").await
        }
        LedgerCommand::Get { name } => {
            let request = GetLedgerRequest {
                ledger: name.unwrap_or_else(|| session.ledger()),
            };
            if let Some(ledger) = to_show(session, rpc::GET_LEDGER, request).await? {
                show(&ledger);
            }
            Ok(())
        }
        LedgerCommand::List { limit } => list(session, limit).await,
        LedgerCommand::Update {
            name,
            description,
            clear_description,
            metadata,
            settlement,
            command,
        } => {
            let settlement_accounts = match settlement.is_empty() {
                true => None,
                false => Some(SettlementAccounts {
                    accounts: settlement_accounts(&settlement)?,
                }),
            };
            let request = UpdateLedgerRequest {
                options: Some(command.options(session).await?),
                ledger: name.unwrap_or_else(|| session.ledger()),
                update: Some(UpdateLedger {
                    metadata: metadata.change()?,
                    description: some_plain(&description),
                    clear_description,
                    settlement_accounts,
                }),
            };
            changed(session, rpc::UPDATE_LEDGER, request, "updated").await
        }
        LedgerCommand::CloseBooks {
            through,
            reason,
            command,
        } => {
            let request = CloseBooksRequest {
                options: Some(command.options(session).await?),
                ledger: session.ledger(),
                close: Some(CloseBooks {
                    through: Some(moment::parse(&through)?),
                    reason: some_plain(&reason),
                }),
            };
            changed(session, rpc::CLOSE_BOOKS, request, "closed the books of").await
        }
        LedgerCommand::ReopenBooks {
            through,
            reason,
            command,
        } => {
            let request = ReopenBooksRequest {
                options: Some(command.options(session).await?),
                ledger: session.ledger(),
                reopen: Some(ReopenBooks {
                    through: time(&through)?,
                    reason: some_plain(&reason),
                }),
            };
            changed(session, rpc::REOPEN_BOOKS, request, "reopened the books of").await
        }
    }
}

async fn changed<Q: prost::Message + Clone + 'static>(
    session: &Session,
    rpc: rpc::Rpc<Q, LedgerReply>,
    request: Q,
    what: &str,
) -> Result<(), Failure> {
    if let Some(reply) = to_show(session, rpc, request).await? {
        let ledger = reply.ledger.unwrap_or_default();
        let receipt = reply.receipt.unwrap_or_default();
        receipt::headline(what, &format!("ledger {}", ledger.name), &receipt);
        show(&ledger);
    }
    Ok(())
}

async fn list(session: &Session, limit: LimitArgs) -> Result<(), Failure> {
    let request = |page_size, page_token| ListLedgersRequest {
        page_size,
        page_token,
    };
    let Some(all) = pages_to_show(session, rpc::LIST_LEDGERS, &limit, request).await? else {
        return Ok(());
    };
    let mut table = Table::new(&[
        "ledger",
        "time zone",
        "closed through",
        "created",
        "description",
    ]);
    for ledger in &all.ledgers {
        table.row(vec![
            cell(CYAN, &ledger.name),
            (&ledger.time_zone).into(),
            moment::short(ledger.closed_through.as_ref()).into(),
            moment::short(ledger.created_at.as_ref()).into(),
            shown(ledger.description.as_ref()).into(),
        ]);
    }
    table.print("no ledgers yet; create one: daybook ledger create");
    more_hint(&all);
    Ok(())
}

fn show(ledger: &Ledger) {
    let settlement: Vec<_> = ledger
        .settlement_accounts
        .iter()
        .map(|(asset, account)| format!("{asset} in {account}"))
        .collect();
    output::fields(&[
        ("ledger", ledger.name.clone()),
        ("time zone", ledger.time_zone.clone()),
        ("cut-off", ledger.cut_off.clone()),
        ("description", shown(ledger.description.as_ref())),
        ("metadata", shown_metadata(&ledger.metadata)),
        ("settlement", settlement.join(", ")),
        (
            "closed through",
            moment::exact(ledger.closed_through.as_ref()),
        ),
        ("created", moment::exact(ledger.created_at.as_ref())),
        ("version", ledger.version.to_string()),
        ("shard", ledger.shard.to_string()),
    ]);
}
