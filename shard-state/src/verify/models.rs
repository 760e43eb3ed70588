//! Holds the read models against the log, exactly, also while a server moves them.
//!
//! The checkpoint is read first, then the rows, then the log up to its end: so each row is at
//! or after the checkpoint and before the log's end. Every row counts its changes (its version,
//! or a head's ledger sequence), so each is compared with the log's state at the very change
//! that it shows. At the checkpoint no row may show an earlier one, and the account history up
//! to there must end with the totals of that very record: the one sequence that the report
//! states.

use std::collections::{BTreeMap, HashMap};

use ledger_core::account::{Account, AccountNumber};
use ledger_core::event::Event;
use ledger_core::ledger::LedgerState;
use ledger_core::name::LedgerName;
use ports::projection::{Checkpoint, HeadRow, ProjectionError};
use ports::views::{AccountFilter, HistoryRange, LedgerView, Views};
use schemas::record::{LogId, Payload, SealedRecord};

use super::books::said;
use super::report::{About, Finding, Report};
use super::transactions::{Touched, Transactions};
use super::walk::Walk;
use crate::place::Head;
use crate::state::ShardState;

/// Rows that are asked for at once.
const PAGE: usize = 1_000;

/// What the read models showed of a shard when its verification began.
pub(super) struct Models<'a> {
    views: &'a dyn Views,
    shard: u32,
    checkpoint: Checkpoint,
    /// Each until it was compared.
    heads: HashMap<LedgerName, HeadRow>,
    /// Their ledger sequences.
    head_sequences: HashMap<LedgerName, u64>,
    ledgers: BTreeMap<LedgerName, Shown>,
    reached: bool,
}

/// What they showed of a ledger.
#[derive(Default)]
struct Shown {
    /// Until it was compared.
    view: Option<LedgerView>,
    /// Of the view.
    version: u64,
    /// By number, each until it was compared.
    accounts: Vec<Option<Box<Account>>>,
    /// Their versions, by number; 0 where there is none.
    versions: Vec<u64>,
    transactions: Transactions,
}

impl<'a> Models<'a> {
    /// Looks at the read models of `shard`. `None` when nothing was projected yet.
    pub(super) async fn observe(
        views: &'a dyn Views,
        shard: u32,
    ) -> Result<Option<Self>, ProjectionError> {
        let own = LedgerName::of_shard(shard);
        let Some(progress) = views.progress(&own).await? else {
            return Ok(None);
        };
        let heads: HashMap<_, _> = views.heads(shard).await?.into_iter().collect();
        let sequence_of =
            |(name, row): (&LedgerName, &HeadRow)| (name.clone(), row.ledger_sequence);
        let mut models = Self {
            views,
            shard,
            checkpoint: progress.checkpoint,
            head_sequences: heads.iter().map(sequence_of).collect(),
            heads,
            ledgers: BTreeMap::new(),
            reached: false,
        };
        let mut after = None;
        loop {
            let page = views.ledgers(after.as_deref(), PAGE).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|view| view.name.as_str().to_owned());
            for view in page.into_iter().filter(|view| view.shard == shard) {
                let name = view.name.clone();
                let mut shown = Shown {
                    version: view.terms.version,
                    view: Some(view),
                    ..Shown::default()
                };
                shown.observe_accounts(views, &name).await?;
                models.ledgers.insert(name, shown);
            }
            if !full {
                return Ok(Some(models));
            }
        }
    }

    /// The sequence that the read models are compared at.
    pub(super) fn at(&self) -> u64 {
        self.checkpoint.sequence
    }

    /// Checks the checkpoint against the log's id and end.
    pub(super) fn check_checkpoint(&self, log_id: LogId, last: u64, report: &mut Report) {
        let checkpoint = &self.checkpoint;
        if checkpoint.log_id != log_id {
            let message = format!(
                "the read models were made from log {}, and this is log {log_id}",
                checkpoint.log_id
            );
            report.find(self.finding("LOG_DIVERGED", None, None, message));
        }
        if checkpoint.sequence > last {
            let message = format!(
                "the read models have applied record {}, and the log ends with {last}",
                checkpoint.sequence
            );
            report.find(self.finding("LOG_BEHIND", Some(checkpoint.sequence), None, message));
        }
    }

    /// Follows a record that the walk has applied.
    pub(super) async fn follow(
        &mut self,
        walk: &mut Walk,
        sequence: u64,
        sealed: &SealedRecord,
        report: &mut Report,
    ) -> Result<(), ProjectionError> {
        let record = &sealed.record;
        let name = &record.ledger;
        let place = Some((name.clone(), record.ledger_sequence));
        if let Some(row) = self.heads.get(name)
            && row.ledger_sequence == record.ledger_sequence
        {
            if row.record_hash == sealed.hash {
                walk.confirm(name);
            } else {
                let message = format!(
                    "the read models say that it has hash {}, the log has {}",
                    row.record_hash, sealed.hash
                );
                report.find(self.finding("LOG_DIVERGED", Some(sequence), place.clone(), message));
            }
            report.summary.checks += 1;
            self.heads.remove(name);
        }
        let Payload::Event(event) = &record.payload else {
            return Ok(());
        };
        let (Some(shown), Some(ledger)) = (self.ledgers.get_mut(name), walk.state.ledger(name))
        else {
            return Ok(());
        };
        let mut wrong = Vec::new();
        shown.compare_ledger(ledger, report, &mut wrong);
        let mut numbers = Vec::new();
        touched_accounts(event, &mut numbers);
        for number in numbers {
            shown.compare_account(ledger, number, report, &mut wrong);
        }
        let must = sequence <= self.checkpoint.sequence;
        let touched = Touched::of(event);
        let differ = shown
            .transactions
            .follow(self.views, record, &touched, must);
        wrong.extend(differ.await?);
        for message in wrong {
            report.find(self.finding("STATE_DIFFERS", Some(sequence), place.clone(), message));
        }
        Ok(())
    }

    /// Where the walk has reached the checkpoint: no row may be earlier than the state there.
    pub(super) async fn check_at(
        &mut self,
        state: &ShardState,
        report: &mut Report,
    ) -> Result<(), ProjectionError> {
        if self.reached || state.next_sequence() <= self.checkpoint.sequence {
            return Ok(());
        }
        self.reached = true;
        if let Some(last) = state.last()
            && last.sequence == self.checkpoint.sequence
            && last.hash != self.checkpoint.record_hash
        {
            let message = format!(
                "the read models have applied it with hash {}, the log has {}",
                self.checkpoint.record_hash, last.hash
            );
            report.find(self.finding("LOG_DIVERGED", Some(last.sequence), None, message));
        }
        let mut wrong = Vec::new();
        for (name, head) in state.heads() {
            let shown = self.head_sequences.get(name).copied().unwrap_or(0);
            if shown < head.ledger_sequence {
                let message = format!(
                    "the head in the read models is record {shown} of the ledger, the log's is {}",
                    head.ledger_sequence
                );
                wrong.push((name.clone(), message));
            }
        }
        for ledger in state.ledgers() {
            let Some(head) = state.head(ledger.name()) else {
                continue;
            };
            let messages = match self.ledgers.get_mut(ledger.name()) {
                Some(shown) => shown.check_at(self.views, ledger, head, report).await?,
                None if ledger.terms().is_none() => Vec::new(),
                None => vec!["it is not in the read models".to_owned()],
            };
            let name = ledger.name();
            wrong.extend(messages.into_iter().map(|message| (name.clone(), message)));
        }
        for (name, message) in wrong {
            let mut finding = self.finding("STATE_DIFFERS", None, None, message);
            finding.ledger = Some(name);
            finding.sequence = Some(self.checkpoint.sequence);
            report.find(finding);
        }
        Ok(())
    }

    /// At the log's end: what the read models show and no record made.
    pub(super) fn finish(&mut self, state: &ShardState, report: &mut Report) {
        let mut wrong = Vec::new();
        for (name, row) in &self.heads {
            if !state.is_given_up(name) {
                wrong.push((
                    name.clone(),
                    format!(
                        "the read models know its record {}, which the log does not have",
                        row.ledger_sequence
                    ),
                ));
            }
        }
        for (name, shown) in &self.ledgers {
            report.summary.view_transactions += shown.transactions.compared;
            if state.is_given_up(name) {
                continue;
            }
            if shown.view.is_some() {
                let message = "the read models have it in a version that no record made";
                wrong.push((name.clone(), message.to_owned()));
            }
            for account in shown.accounts.iter().flatten() {
                wrong.push((
                    name.clone(),
                    format!(
                        "account {} has version {} in the read models, which no record made",
                        account.terms.name, account.version
                    ),
                ));
            }
            let left = shown.transactions.finish();
            wrong.extend(left.into_iter().map(|message| (name.clone(), message)));
        }
        for (name, message) in wrong {
            let mut finding = self.finding("STATE_DIFFERS", None, None, message);
            finding.ledger = Some(name);
            report.find(finding);
        }
    }

    fn finding(
        &self,
        code: &'static str,
        sequence: Option<u64>,
        place: Option<(LedgerName, u64)>,
        message: String,
    ) -> Finding {
        let (ledger, ledger_sequence) = place.unzip();
        Finding {
            about: About::ReadModels,
            code,
            shard: self.shard,
            sequence,
            ledger,
            ledger_sequence,
            message,
        }
    }
}

impl Shown {
    async fn observe_accounts(
        &mut self,
        views: &dyn Views,
        ledger: &LedgerName,
    ) -> Result<(), ProjectionError> {
        let mut filter = AccountFilter::default();
        loop {
            let page = views.accounts(ledger, &filter, PAGE).await?;
            let full = page.len() == PAGE;
            filter.after = page.last().map(|account| account.number);
            for account in page {
                let index = account.number.0 as usize;
                if self.accounts.len() < index {
                    self.accounts.resize_with(index, || None);
                    self.versions.resize(index, 0);
                }
                self.versions[index - 1] = account.version;
                self.accounts[index - 1] = Some(Box::new(account));
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn compare_ledger(
        &mut self,
        ledger: &LedgerState,
        report: &mut Report,
        wrong: &mut Vec<String>,
    ) {
        let Some(terms) = ledger.terms() else { return };
        if terms.version < self.version {
            return;
        }
        let Some(view) = self.view.take() else { return };
        report.summary.checks += 1;
        let same = view.terms == *terms
            && Some(view.created_at) == ledger.created_at()
            && view.closed_through == ledger.closed_through();
        if !same {
            wrong.push(format!(
                "version {} of the ledger differs in the read models (theirs is {})",
                terms.version, self.version
            ));
        }
    }

    fn compare_account(
        &mut self,
        ledger: &LedgerState,
        number: AccountNumber,
        report: &mut Report,
        wrong: &mut Vec<String>,
    ) {
        let index = (number.0 as usize).wrapping_sub(1);
        let (Some(slot), Some(account)) =
            (self.accounts.get_mut(index), ledger.accounts().get(index))
        else {
            return;
        };
        if slot
            .as_ref()
            .is_none_or(|shown| account.version < shown.version)
        {
            return;
        }
        let Some(shown) = slot.take() else { return };
        report.summary.view_accounts += 1;
        report.summary.checks += 1;
        if *shown != *account {
            wrong.push(account_differs(&shown, account));
        }
    }

    async fn check_at(
        &mut self,
        views: &dyn Views,
        ledger: &LedgerState,
        head: Head,
        report: &mut Report,
    ) -> Result<Vec<String>, ProjectionError> {
        let mut wrong = Vec::new();
        if ledger
            .terms()
            .is_some_and(|terms| terms.version > self.version)
        {
            wrong.push("the read models have an earlier version of it".to_owned());
        }
        for (index, account) in ledger.accounts().iter().enumerate() {
            let name = &account.terms.name;
            match self.versions.get(index).copied().unwrap_or(0) {
                0 => wrong.push(format!("account {name} is not in the read models")),
                version if version < account.version => wrong.push(format!(
                    "account {name} has version {version} in the read models, and {} in the log",
                    account.version
                )),
                _ => {}
            }
            let range = HistoryRange {
                from: 1,
                through: head.ledger_sequence,
                newest_first: true,
            };
            let rows = views
                .history(ledger.name(), account.number, range, 1)
                .await?;
            let totals = rows.first().map(|row| row.totals).unwrap_or_default();
            report.summary.checks += 1;
            if totals != account.totals {
                wrong.push(format!(
                    "the history of account {name} ends with {}; the log with {}",
                    said(&totals),
                    said(&account.totals)
                ));
            }
        }
        let transactions = &mut self.transactions;
        let extra = transactions.at_checkpoint(views, ledger.name(), head.ledger_sequence);
        wrong.extend(extra.await?);
        Ok(wrong)
    }
}

fn account_differs(shown: &Account, account: &Account) -> String {
    let name = &account.terms.name;
    if shown.totals != account.totals {
        return format!(
            "account {name} has {} in the read models; the log has {} at version {}",
            said(&shown.totals),
            said(&account.totals),
            account.version
        );
    }
    let what = if shown.terms != account.terms {
        "terms"
    } else if shown.status != account.status {
        "status"
    } else if shown.version != account.version {
        "version"
    } else if shown.open_holds != account.open_holds {
        "count of open holds"
    } else {
        "number or time of opening"
    };
    format!(
        "the {what} of account {name} differ in the read models from version {} of the log",
        account.version
    )
}

fn touched_accounts(event: &Event, numbers: &mut Vec<AccountNumber>) {
    let balances = match event {
        Event::AccountOpened(event) => return numbers.push(event.number),
        Event::AccountUpdated(event) => return numbers.push(event.number),
        Event::AccountStatusChanged(event) => return numbers.push(event.number),
        Event::Atomic(members) => {
            return members
                .iter()
                .for_each(|member| touched_accounts(member, numbers));
        }
        Event::TransactionCreated(event) => &event.balances,
        Event::TransactionCaptured(event) => &event.balances,
        Event::TransactionReleased(event) => &event.balances,
        Event::TransactionReversed(event) => &event.balances,
        Event::LedgerCreated(_)
        | Event::LedgerUpdated(_)
        | Event::TransactionUpdated(_)
        | Event::BooksChanged(_) => return,
    };
    numbers.extend(balances.iter().map(|balance| balance.account));
}
