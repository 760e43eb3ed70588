//! Holds every transaction of the read models against the log, in one pass along both.
//!
//! Both list transactions in the order of their making. A row shows its transaction as it is
//! now; where that is later than the making, its digest is kept until the walk comes to the
//! record that made that version. What is kept so is bounded by the transactions that change
//! after they were made and have not come to their last change.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::BytesMut;
use ledger_core::event::Event;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::transaction::Transaction;
use ports::projection::ProjectionError;
use ports::views::{TransactionFilter, TransactionView, Views};
use schemas::record::{Record, convert};

/// Rows that are asked for at once.
const PAGE: usize = 1_000;

/// The transactions of a ledger in the read models.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    page: VecDeque<TransactionView>,
    after: Option<(u64, TransactionId)>,
    ended: bool,
    later: HashMap<TransactionId, Later>,
    pub(super) compared: u64,
}

/// A version that the walk has not come to.
#[derive(Debug, Clone, Copy)]
struct Later {
    version: u64,
    digest: [u8; 16],
}

/// What a record did to transactions, each as it stands after the record.
#[derive(Debug, Default)]
pub(super) struct Touched<'a> {
    made: BTreeMap<TransactionId, &'a Transaction>,
    changed: BTreeMap<TransactionId, &'a Transaction>,
}

impl<'a> Touched<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        let mut touched = Self::default();
        touched.add(event);
        touched
    }

    fn add(&mut self, event: &'a Event) {
        match event {
            Event::TransactionCreated(event) => self.make(&event.transaction),
            Event::TransactionCaptured(event) => {
                self.make(&event.capture);
                self.change(&event.hold);
            }
            Event::TransactionReleased(event) => self.change(&event.hold),
            Event::TransactionReversed(event) => {
                self.make(&event.reversal);
                self.change(&event.original);
            }
            Event::TransactionUpdated(event) => self.change(&event.transaction),
            Event::Atomic(members) => members.iter().for_each(|member| self.add(member)),
            _ => {}
        }
    }

    /// Transactions that the record made.
    pub(super) fn made(&self) -> u64 {
        self.made.len() as u64
    }

    fn make(&mut self, transaction: &'a Transaction) {
        self.made.insert(transaction.id, transaction);
    }

    fn change(&mut self, transaction: &'a Transaction) {
        match self.made.get_mut(&transaction.id) {
            Some(made) => *made = transaction,
            None => {
                self.changed.insert(transaction.id, transaction);
            }
        }
    }
}

impl Transactions {
    /// Follows a record. `must` says that the read models must have it: it is at or before
    /// their checkpoint. Gives what differs.
    pub(super) async fn follow(
        &mut self,
        views: &dyn Views,
        record: &Record,
        touched: &Touched<'_>,
        must: bool,
    ) -> Result<Vec<String>, ProjectionError> {
        let mut wrong = Vec::new();
        if must {
            for (id, made) in &touched.made {
                let place = (record.ledger_sequence, *id);
                let row = self
                    .row_at(views, &record.ledger, place, &mut wrong)
                    .await?;
                match row {
                    Some(row) => self.compare_made(record, made, &row, &mut wrong),
                    None => wrong.push(format!(
                        "transaction {id} is not in the read models, or not in its place"
                    )),
                }
            }
        }
        for (id, changed) in &touched.changed {
            self.compare_changed(*id, changed, must, &mut wrong);
        }
        Ok(wrong)
    }

    /// The row at `place`; names rows before it, which no record made.
    async fn row_at(
        &mut self,
        views: &dyn Views,
        ledger: &LedgerName,
        place: (u64, TransactionId),
        wrong: &mut Vec<String>,
    ) -> Result<Option<TransactionView>, ProjectionError> {
        while let Some(row) = self.peek(views, ledger).await? {
            match place_of(row).cmp(&place) {
                std::cmp::Ordering::Greater => return Ok(None),
                std::cmp::Ordering::Equal => return Ok(self.page.pop_front()),
                std::cmp::Ordering::Less => {
                    wrong.push(extra(row));
                    self.page.pop_front();
                }
            }
        }
        Ok(None)
    }

    async fn peek(
        &mut self,
        views: &dyn Views,
        ledger: &LedgerName,
    ) -> Result<Option<&TransactionView>, ProjectionError> {
        if self.page.is_empty() && !self.ended {
            let filter = TransactionFilter {
                after: self.after,
                oldest_first: true,
                ..TransactionFilter::default()
            };
            self.page = views.transactions(ledger, &filter, PAGE).await?.into();
            self.ended = self.page.len() < PAGE;
            self.after = self.page.back().map(place_of).or(self.after);
        }
        Ok(self.page.front())
    }

    fn compare_made(
        &mut self,
        record: &Record,
        made: &Transaction,
        row: &TransactionView,
        wrong: &mut Vec<String>,
    ) {
        self.compared += 1;
        let shown = &row.transaction;
        let id = made.id;
        if row.recorded_at != record.moment.recorded_at || row.key != record.key {
            wrong.push(format!(
                "transaction {id} has another time of making or another key in the read models"
            ));
        }
        let unchanging = shown.kind == made.kind
            && shown.effective_at == made.effective_at
            && shown.postings == made.postings
            && shown.sources == made.sources
            && shown.limits == made.limits;
        if !unchanging {
            wrong.push(differ(shown, made));
            return;
        }
        match shown.version.cmp(&made.version) {
            std::cmp::Ordering::Equal if shown == made => {}
            std::cmp::Ordering::Greater => {
                let later = Later {
                    version: shown.version,
                    digest: digest(shown),
                };
                self.later.insert(id, later);
            }
            _ => wrong.push(differ(shown, made)),
        }
    }

    fn compare_changed(
        &mut self,
        id: TransactionId,
        changed: &Transaction,
        must: bool,
        wrong: &mut Vec<String>,
    ) {
        let shown = self.later.get(&id).copied();
        match shown {
            Some(shown) if shown.version > changed.version => {}
            Some(shown) if shown.version == changed.version => {
                if shown.digest != digest(changed) {
                    wrong.push(format!(
                        "transaction {id} is not in the read models as version {} of the log has it ({:?})",
                        changed.version, changed.status
                    ));
                }
                self.later.remove(&id);
            }
            _ if must => {
                wrong.push(format!(
                    "transaction {id} is in the read models as it was before version {} ({:?})",
                    changed.version, changed.status
                ));
                self.later.remove(&id);
            }
            _ => {}
        }
    }

    /// At the checkpoint: rows that no record up to the ledger's `head` made.
    pub(super) async fn at_checkpoint(
        &mut self,
        views: &dyn Views,
        ledger: &LedgerName,
        head: u64,
    ) -> Result<Vec<String>, ProjectionError> {
        let mut wrong = Vec::new();
        while let Some(row) = self
            .peek(views, ledger)
            .await?
            .filter(|r| r.ledger_sequence <= head)
        {
            wrong.push(extra(row));
            self.page.pop_front();
        }
        Ok(wrong)
    }

    /// At the log's end: versions that no record made.
    pub(super) fn finish(&self) -> Vec<String> {
        let mut left: Vec<_> = self.later.iter().collect();
        left.sort_by_key(|(id, _)| **id);
        left.into_iter()
            .map(|(id, later)| {
                format!(
                    "transaction {id} has version {} in the read models, which no record made",
                    later.version
                )
            })
            .collect()
    }
}

fn place_of(row: &TransactionView) -> (u64, TransactionId) {
    (row.ledger_sequence, row.transaction.id)
}

fn extra(row: &TransactionView) -> String {
    format!(
        "the read models have transaction {} as made by record {} of the ledger, which did not make it",
        row.transaction.id, row.ledger_sequence
    )
}

fn differ(shown: &Transaction, made: &Transaction) -> String {
    let amounts = |t: &Transaction| {
        let amounts: Vec<_> = t
            .postings
            .iter()
            .take(3)
            .map(|p| p.amount.to_string())
            .collect();
        let more = if t.postings.len() > 3 { ", …" } else { "" };
        format!(
            "{:?}, version {}, amounts {}{more}",
            t.status,
            t.version,
            amounts.join(", ")
        )
    };
    format!(
        "transaction {} differs: the read models have {}; the log has {}",
        made.id,
        amounts(shown),
        amounts(made)
    )
}

fn digest(transaction: &Transaction) -> [u8; 16] {
    let mut bytes = BytesMut::new();
    convert::encode_transaction(transaction, &mut bytes);
    let mut half = [0; 16];
    half.copy_from_slice(&schemas::record::hash(&bytes).0[..16]);
    half
}
