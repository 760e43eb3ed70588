//! `daybook balance`, `statement` and `trial-balance`.

use clap::ValueEnum;
use schemas::proto::v1::*;

use super::account::type_name;
use super::options::{FreshArgs, LimitArgs, shown, time};
use super::pages::{more_hint, pages_to_show, to_show};
use crate::client::failure::Failure;
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN, RED, Table, cell, paint};
use crate::client::session::Session;
use crate::client::{moment, money, rpc};

/// As of which time.
#[derive(Debug, Clone, clap::Args)]
pub struct AsOfArgs {
    /// As of this business time: postings that are effective up to it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    as_of_effective: Option<String>,
    /// As the books stood at this time: records up to it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    as_of_recorded: Option<String>,
}

impl AsOfArgs {
    fn wire(&self) -> Result<Option<AsOf>, Failure> {
        let as_of = AsOf {
            effective: time(&self.as_of_effective)?,
            recorded: time(&self.as_of_recorded)?,
        };
        Ok((as_of != AsOf::default()).then_some(as_of))
    }
}

/// `daybook balance`.
#[derive(Debug, clap::Args)]
pub struct BalanceArgs {
    /// An account, or a pattern such as 'customers:**' for sums by asset.
    account: String,
    #[command(flatten)]
    as_of: AsOfArgs,
    #[command(flatten)]
    fresh: FreshArgs,
}

/// Shows a balance, or the sums over a pattern.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn balance(session: &Session, args: BalanceArgs) -> Result<(), Failure> {
    if args.account.contains('*') {
        return aggregate(session, args).await;
    }
    let request = GetBalanceRequest {
        ledger: session.ledger(),
        account: args.account,
        as_of: args.as_of.wire()?,
        consistency: args.fresh.wire(),
    };
    let Some(reply) = to_show(session, rpc::GET_BALANCE, request).await? else {
        return Ok(());
    };
    let balance = reply.balance.unwrap_or_default();
    let both = |minor: &str| match minor.is_empty() {
        true => String::new(),
        false => money::both(minor, &balance.asset),
    };
    output::fields(&[
        ("account", balance.account.clone()),
        ("posted", both(&balance.posted)),
        ("pending", both(&balance.pending)),
        ("available", both(&balance.available)),
        ("spendable", both(&balance.spendable)),
        ("debits posted", both(&balance.debits_posted)),
        ("credits posted", both(&balance.credits_posted)),
        ("debits pending", both(&balance.debits_pending)),
        ("credits pending", both(&balance.credits_pending)),
    ]);
    position(reply.position.as_ref());
    Ok(())
}

async fn aggregate(session: &Session, args: BalanceArgs) -> Result<(), Failure> {
    let request = AggregateBalancesRequest {
        ledger: session.ledger(),
        pattern: args.account,
        as_of: args.as_of.wire()?,
        consistency: args.fresh.or_strong(),
    };
    let Some(reply) = to_show(session, rpc::AGGREGATE_BALANCES, request).await? else {
        return Ok(());
    };
    let mut table = Table::new(&["asset", ">accounts", ">posted", ">pending", ">available"]);
    for sum in &reply.sums {
        table.row(vec![
            (&sum.asset).into(),
            sum.accounts.to_string().into(),
            cell(BOLD, money::human(&sum.posted, &sum.asset)),
            money::human(&sum.pending, &sum.asset).into(),
            money::human(&sum.available, &sum.asset).into(),
        ]);
    }
    table.print("no account matches");
    position(reply.position.as_ref());
    Ok(())
}

fn position(position: Option<&ReadPosition>) {
    if let Some(position) = position {
        output::line(format!(
            "  {DIM}as of record {}, {}{DIM:#}",
            position.ledger_sequence,
            moment::exact(position.recorded_at.as_ref())
        ));
    }
}

/// In which order a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByArg {
    /// As the books were written: never changes.
    Recorded,
    /// By business time: back-dated postings stand where they belong.
    Effective,
}

/// `daybook statement`.
#[derive(Debug, clap::Args)]
pub struct StatementArgs {
    /// The account.
    account: String,
    /// In which order.
    #[arg(long, value_enum, default_value = "recorded")]
    by: ByArg,
    /// From this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Up to, and without, this time: months join without overlap.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Make it again as it was at this record.
    #[arg(long, value_name = "RECORD", default_value_t = 0)]
    at: u64,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    fresh: FreshArgs,
}

/// Shows a statement.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn statement(session: &Session, args: StatementArgs) -> Result<(), Failure> {
    use get_statement_request::By;
    let by = match args.by {
        ByArg::Recorded => By::Recorded,
        ByArg::Effective => By::Effective,
    };
    let (from, to) = (time(&args.from)?, time(&args.to)?);
    let request = |page_size, page_token| GetStatementRequest {
        ledger: session.ledger(),
        account: args.account.clone(),
        by: by.into(),
        from,
        to,
        at_ledger_sequence: args.at,
        page_size,
        page_token,
        consistency: args.fresh.wire(),
    };
    let all = pages_to_show(session, rpc::GET_STATEMENT, &args.limit, request).await?;
    if let Some(reply) = all {
        show_statement(&reply);
    }
    Ok(())
}

/// Prints a statement.
pub fn show_statement(reply: &GetStatementResponse) {
    let human = |minor: &str| money::human(minor, &reply.asset);
    output::line(format!(
        "{BOLD}Statement of {}{BOLD:#} {DIM}in {}, at record {}{DIM:#}",
        reply.account, reply.asset, reply.ledger_sequence
    ));
    let mut table = Table::new(&[
        "effective",
        "counter account",
        ">debit",
        ">credit",
        ">balance",
        "what",
    ]);
    let opening = cell(DIM, "opening balance");
    table.row(vec![
        "".into(),
        opening,
        "".into(),
        "".into(),
        human(&reply.opening_balance).into(),
        "".into(),
    ]);
    for line in &reply.lines {
        let (debit, credit) = match line.direction() {
            Direction::Debit => (human(&line.amount), String::new()),
            _ => (String::new(), human(&line.amount)),
        };
        let what = match (line.capture_of.is_empty(), line.reversal_of.is_empty()) {
            (false, _) => "capture ",
            (_, false) => "reversal ",
            _ => "",
        };
        table.row(vec![
            moment::short(line.effective_at.as_ref()).into(),
            cell(CYAN, &line.counter_account),
            debit.into(),
            credit.into(),
            human(&line.balance).into(),
            format!("{what}{}", shown(line.description.as_ref()))
                .trim_end()
                .into(),
        ]);
    }
    table.row(vec![
        "".into(),
        cell(DIM, "closing balance"),
        cell(DIM, human(&reply.total_debits)),
        cell(DIM, human(&reply.total_credits)),
        cell(BOLD, human(&reply.closing_balance)),
        "".into(),
    ]);
    output::line(table.render());
    more_hint(reply);
}

/// `daybook trial-balance`.
#[derive(Debug, clap::Args)]
pub struct TrialBalanceArgs {
    #[command(flatten)]
    as_of: AsOfArgs,
    #[command(flatten)]
    fresh: FreshArgs,
}

/// Shows the trial balance.
///
/// # Errors
/// What the server said no to, or that it did not answer.
pub async fn trial_balance(session: &Session, args: TrialBalanceArgs) -> Result<(), Failure> {
    let request = GetTrialBalanceRequest {
        ledger: session.ledger(),
        as_of: args.as_of.wire()?,
        consistency: args.fresh.or_strong(),
    };
    let Some(reply) = to_show(session, rpc::GET_TRIAL_BALANCE, request).await? else {
        return Ok(());
    };
    let mut table = Table::new(&["account", "type", ">debit", ">credit"]);
    let amount = |minor: &str, asset: &str| match minor.is_empty() {
        true => String::new(),
        false => money::human(minor, asset),
    };
    for line in &reply.lines {
        table.row(vec![
            cell(CYAN, &line.account),
            type_name(line.r#type()).into(),
            amount(&line.debit_balance, &line.asset).into(),
            amount(&line.credit_balance, &line.asset).into(),
        ]);
    }
    for total in &reply.totals {
        let verdict = match total.balanced {
            true => cell(GREEN, "balanced"),
            false => cell(RED, "NOT BALANCED"),
        };
        table.row(vec![
            cell(BOLD, format!("total {}", total.asset)),
            verdict,
            cell(BOLD, amount(&total.debits, &total.asset)),
            cell(BOLD, amount(&total.credits, &total.asset)),
        ]);
    }
    table.print("no accounts");
    position(reply.position.as_ref());
    if reply.totals.iter().any(|total| !total.balanced) {
        return Err(Failure::new(
            crate::client::failure::Kind::Refused,
            "BOOKS_UNBALANCED",
            paint(RED, "debits and credits differ"),
        )
        .hint("daybook verify"));
    }
    Ok(())
}
