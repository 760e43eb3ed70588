//! `daybook transaction`.

use clap::{Subcommand, ValueEnum};
use schemas::proto::v1::*;

use super::options::{
    CommandArgs, FreshArgs, LimitArgs, MetadataArgs, metadata, pair, some_plain, time,
};
use super::pages::{more_hint, pages_to_show, to_show};
use super::postings::{PostingArgs, amounts_of};
use super::receipt;
use super::transaction_view as view;
use crate::client::failure::Failure;
use crate::client::session::Session;
use crate::client::{moment, rpc};

/// The status of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Money moved.
    Posted,
    /// A hold.
    Pending,
    /// A hold that was released.
    Voided,
    /// A hold that ran out.
    Expired,
}

impl From<StatusArg> for TransactionStatus {
    fn from(arg: StatusArg) -> Self {
        match arg {
            StatusArg::Posted => Self::Posted,
            StatusArg::Pending => Self::Pending,
            StatusArg::Voided => Self::Voided,
            StatusArg::Expired => Self::Expired,
        }
    }
}

/// Options of what creates a transaction.
#[derive(Debug, Clone, clap::Args)]
pub struct TermsArgs {
    /// Business time; now when left out.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    effective_at: Option<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// An entry of metadata.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

/// Transactions: postings that happen together.
#[derive(Debug, Subcommand)]
pub enum TransactionCommand {
    /// Move money from a debit account to a credit account, or hold it.
    Create {
        #[command(flatten)]
        postings: PostingArgs,
        /// Only reserve the money: a hold, to be captured or voided.
        #[arg(long)]
        hold: bool,
        /// When the hold expires by itself.
        #[arg(long, value_name = "SPAN", requires = "hold")]
        expires_in: Option<String>,
        /// Captures may come to this much in all, above the hold.
        #[arg(long, value_name = "AMOUNT", requires = "hold")]
        over_capture_up_to: Option<String>,
        /// Pass limits by, since it has happened already: says why.
        #[arg(long, value_name = "REASON")]
        record_only: Option<String>,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Show a transaction.
    Get {
        /// Its id.
        id: String,
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// List transactions, newest first.
    List {
        /// Those that touch this account.
        #[arg(long)]
        account: Option<String>,
        /// With this status.
        #[arg(long, value_enum)]
        status: Option<StatusArg>,
        /// Effective from this time.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        effective_from: Option<String>,
        /// Effective up to this time.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        effective_to: Option<String>,
        /// Recorded from this time.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        recorded_from: Option<String>,
        /// Recorded up to this time.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        recorded_to: Option<String>,
        /// With this entry of metadata.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Option<String>,
        /// Oldest first.
        #[arg(long)]
        oldest_first: bool,
        #[command(flatten)]
        limit: LimitArgs,
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// Change description or metadata.
    Update {
        /// Its id.
        id: String,
        /// The new description.
        #[arg(long)]
        description: Option<String>,
        /// Take the description away.
        #[arg(long, conflicts_with = "description")]
        clear_description: bool,
        #[command(flatten)]
        metadata: MetadataArgs,
        /// Only if it still has this version.
        #[arg(long, value_name = "VERSION", default_value_t = 0)]
        expected_version: u64,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Take money from a hold; all that is left without an amount.
    Capture {
        /// The hold's id.
        hold: String,
        /// How much of its only posting.
        #[arg(num_args = 0..=2, value_name = "AMOUNT")]
        amount: Vec<String>,
        /// How much of posting INDEX (from 0), where it has several.
        #[arg(long, value_name = "INDEX=AMOUNT", conflicts_with = "amount")]
        of: Vec<String>,
        /// Release what is left.
        #[arg(long = "final")]
        is_final: bool,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Release what is left of a hold.
    Void {
        /// The hold's id.
        hold: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        command: CommandArgs,
    },
    /// Take a posted transaction back, wholly or in part.
    Reverse {
        /// Its id.
        original: String,
        /// How much of its only posting; all that is left without.
        #[arg(num_args = 0..=2, value_name = "AMOUNT")]
        amount: Vec<String>,
        /// How much of posting INDEX (from 0), where it has several.
        #[arg(long, value_name = "INDEX=AMOUNT", conflicts_with = "amount")]
        of: Vec<String>,
        /// Pass limits by: says why.
        #[arg(long, value_name = "REASON")]
        record_only: Option<String>,
        #[command(flatten)]
        terms: TermsArgs,
        #[command(flatten)]
        command: CommandArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn run(session: &Session, command: TransactionCommand) -> Result<(), Failure> {
    let ledger = session.ledger();
    match command {
        TransactionCommand::Create {
            postings,
            hold,
            expires_in,
            over_capture_up_to,
            record_only,
            terms,
            command,
        } => {
            let (specs, accounts) = postings.specs(session).await?;
            let hold = match hold {
                false => None,
                true => Some(HoldSpec {
                    expires_at: expires_in.as_deref().map(moment::after).transpose()?,
                    over_capture_up_to: match over_capture_up_to {
                        Some(text) => super::postings::minor_of(&accounts, &specs[0].debit, &text)?,
                        None => String::new(),
                    },
                }),
            };
            let what = if hold.is_some() { "held" } else { "posted" };
            let request = CreateTransactionRequest {
                options: Some(command.options(session).await?),
                ledger,
                create: Some(CreateTransaction {
                    postings: specs,
                    effective_at: time(&terms.effective_at)?,
                    hold,
                    record_only_reason: some_plain(&record_only),
                    description: some_plain(&terms.description),
                    metadata: metadata(&terms.metadata)?,
                }),
            };
            changed(session, rpc::CREATE_TRANSACTION, request, what, &accounts).await
        }
        TransactionCommand::Get { id, fresh } => {
            let request = GetTransactionRequest {
                ledger,
                transaction_id: id,
                consistency: fresh.wire(),
            };
            if let Some(transaction) = to_show(session, rpc::GET_TRANSACTION, request).await? {
                view::show(&transaction);
            }
            Ok(())
        }
        TransactionCommand::List {
            account,
            status,
            effective_from,
            effective_to,
            recorded_from,
            recorded_to,
            metadata,
            oldest_first,
            limit,
            fresh,
        } => {
            let (key, value) = match &metadata {
                Some(text) => pair(text)?,
                None => ("", ""),
            };
            let filter = ListTransactionsRequest {
                ledger,
                account: account.unwrap_or_default(),
                status: status.map_or(0, |s| TransactionStatus::from(s).into()),
                effective_from: time(&effective_from)?,
                effective_to: time(&effective_to)?,
                recorded_from: time(&recorded_from)?,
                recorded_to: time(&recorded_to)?,
                metadata_key: key.to_owned(),
                metadata_value: value.to_owned(),
                oldest_first,
                consistency: fresh.or_strong(),
                ..Default::default()
            };
            list(session, filter, limit).await
        }
        TransactionCommand::Update {
            id,
            description,
            clear_description,
            metadata,
            expected_version,
            command,
        } => {
            let request = UpdateTransactionRequest {
                options: Some(command.options(session).await?),
                ledger,
                update: Some(UpdateTransaction {
                    transaction: id,
                    expected_version,
                    description: some_plain(&description),
                    clear_description,
                    metadata: metadata.change()?,
                }),
            };
            changed(session, rpc::UPDATE_TRANSACTION, request, "updated", &[]).await
        }
        TransactionCommand::Capture {
            hold,
            amount,
            of,
            is_final,
            terms,
            command,
        } => {
            let (amounts, accounts) =
                amounts_of(session, &hold, &amount, &of, command.dry_run).await?;
            let request = CaptureTransactionRequest {
                options: Some(command.options(session).await?),
                ledger,
                capture: Some(CaptureTransaction {
                    hold,
                    amounts,
                    r#final: is_final,
                    effective_at: time(&terms.effective_at)?,
                    description: some_plain(&terms.description),
                    metadata: metadata(&terms.metadata)?,
                }),
            };
            changed(
                session,
                rpc::CAPTURE_TRANSACTION,
                request,
                "captured",
                &accounts,
            )
            .await
        }
        TransactionCommand::Void {
            hold,
            reason,
            command,
        } => {
            let (_, accounts) = amounts_of(session, &hold, &[], &[], command.dry_run).await?;
            let request = VoidTransactionRequest {
                options: Some(command.options(session).await?),
                ledger,
                void: Some(VoidTransaction {
                    hold,
                    reason: some_plain(&reason),
                }),
            };
            changed(session, rpc::VOID_TRANSACTION, request, "voided", &accounts).await
        }
        TransactionCommand::Reverse {
            original,
            amount,
            of,
            record_only,
            terms,
            command,
        } => {
            let (amounts, accounts) =
                amounts_of(session, &original, &amount, &of, command.dry_run).await?;
            let request = ReverseTransactionRequest {
                options: Some(command.options(session).await?),
                ledger,
                reverse: Some(ReverseTransaction {
                    original,
                    amounts,
                    effective_at: time(&terms.effective_at)?,
                    record_only_reason: some_plain(&record_only),
                    description: some_plain(&terms.description),
                    metadata: metadata(&terms.metadata)?,
                }),
            };
            changed(
                session,
                rpc::REVERSE_TRANSACTION,
                request,
                "reversed",
                &accounts,
            )
            .await
        }
    }
}

async fn changed<Q: prost::Message + Clone + 'static>(
    session: &Session,
    rpc: rpc::Rpc<Q, TransactionReply>,
    request: Q,
    what: &str,
    before: &[Account],
) -> Result<(), Failure> {
    let Some(reply) = to_show(session, rpc, request).await? else {
        return Ok(());
    };
    let receipt = reply.receipt.unwrap_or_default();
    let transaction = reply.transaction.unwrap_or_default();
    let id = match transaction.id.is_empty() {
        true => &receipt.transaction_id,
        false => &transaction.id,
    };
    // A capture and a reversal are transactions of their own, and the id is theirs.
    let (what, object) = match (
        what,
        transaction.capture_of.is_empty(),
        transaction.reversal_of.is_empty(),
    ) {
        ("captured", false, _) => ("posted", "capture"),
        ("reversed", _, false) => ("posted", "reversal"),
        (what, _, _) => (what, "transaction"),
    };
    receipt::headline(what, &format!("{object} {id}"), &receipt);
    view::postings(&transaction);
    if receipt.ledger_sequence == 0 {
        receipt::before_and_after(before, &receipt.balances);
    } else {
        receipt::balances(&receipt.balances);
    }
    Ok(())
}

async fn list(
    session: &Session,
    filter: ListTransactionsRequest,
    limit: LimitArgs,
) -> Result<(), Failure> {
    let request = |page_size, page_token| ListTransactionsRequest {
        page_size,
        page_token,
        ..filter.clone()
    };
    if let Some(all) = pages_to_show(session, rpc::LIST_TRANSACTIONS, &limit, request).await? {
        view::table(&all.transactions).print("no transactions");
        more_hint(&all);
    }
    Ok(())
}
