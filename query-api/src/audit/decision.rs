//! Everything known about a decision.

use std::collections::BTreeMap;

use ledger_core::account::AccountNumber;
use ledger_core::event::Event;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::transaction::Transaction;
use ports::views::TransactionView;
use prost::Message as _;
use schemas::api::{token::ReadToken, view};
use schemas::error::{Fault, rejection_status};
use schemas::proto::{record::v1 as record_proto, v1};
use schemas::record::{Payload, Record, SealedRecord};

use crate::names::Names;
use crate::{QueryApi, fail};

/// A record of the log and where it stands in its shard: one that was carried over from another
/// log says another sequence itself.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) sealed: SealedRecord,
}

/// What an event touches.
#[derive(Debug, Default)]
struct Touched {
    accounts: Vec<AccountNumber>,
    /// The account that the command was about, where it was about one.
    subject: Option<AccountNumber>,
    transactions: Vec<TransactionId>,
    /// The transaction that the command made or changed: see `Receipt.transaction_id`.
    made: Option<TransactionId>,
    /// Per member of an atomic batch.
    members: Vec<Option<TransactionId>>,
}

impl Touched {
    fn of(record: &Record) -> Self {
        let mut touched = Self::default();
        if let Payload::Event(event) = &record.payload {
            touched.event(event);
        }
        touched.accounts.sort_unstable();
        touched.accounts.dedup();
        touched
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::LedgerCreated(_) | Event::LedgerUpdated(_) | Event::BooksChanged(_) => {}
            Event::AccountOpened(opened) => self.account(opened.number),
            Event::AccountUpdated(updated) => self.account(updated.number),
            Event::AccountStatusChanged(changed) => self.account(changed.number),
            Event::TransactionCreated(created) => self.transaction(&created.transaction),
            Event::TransactionCaptured(captured) => {
                self.transaction(&captured.hold);
                self.transaction(&captured.capture);
            }
            Event::TransactionReleased(released) => self.transaction(&released.hold),
            Event::TransactionReversed(reversed) => {
                self.transaction(&reversed.original);
                self.transaction(&reversed.reversal);
            }
            Event::TransactionUpdated(updated) => self.transaction(&updated.transaction),
            Event::Atomic(events) => {
                for event in events {
                    self.made = None;
                    self.event(event);
                    self.members.push(self.made);
                }
                self.made = None;
                self.subject = None;
            }
        }
    }

    fn account(&mut self, number: AccountNumber) {
        self.accounts.push(number);
        self.subject = Some(number);
    }

    fn transaction(&mut self, transaction: &Transaction) {
        let postings = transaction.postings.iter();
        self.accounts
            .extend(postings.flat_map(|posting| [posting.debit, posting.credit]));
        if !self.transactions.contains(&transaction.id) {
            self.transactions.push(transaction.id);
        }
        self.made = Some(transaction.id);
    }
}

impl QueryApi {
    /// Names of the accounts that `record` touched. Of a refusal: what its figures name.
    pub(super) async fn touched_names(&self, record: &Record) -> Result<Vec<String>, Fault> {
        let touched = Touched::of(record);
        let numbers = touched.accounts.iter().copied();
        let names = self.names(&record.ledger, numbers).await?;
        Ok(account_names(record, &touched, &names))
    }

    /// Decisions as audits show them, in order. One look-up per ledger serves them all.
    pub(super) async fn decisions(&self, found: Vec<Found>) -> Result<Vec<v1::Decision>, Fault> {
        let touched: Vec<Touched> = found
            .iter()
            .map(|found| Touched::of(&found.sealed.record))
            .collect();
        let mut by_ledger: BTreeMap<LedgerName, (Vec<AccountNumber>, Vec<TransactionId>)> =
            BTreeMap::new();
        for (found, touched) in found.iter().zip(&touched) {
            let ledger = found.sealed.record.ledger.clone();
            let asked = by_ledger.entry(ledger).or_default();
            asked.0.extend(&touched.accounts);
            asked.1.extend(&touched.transactions);
        }
        let mut known = BTreeMap::new();
        for (ledger, (accounts, mut ids)) in by_ledger {
            ids.sort_unstable();
            ids.dedup();
            let mut views: Vec<TransactionView> = Vec::new();
            for ids in ids.chunks(crate::page::CHUNK) {
                let found = self.views().transactions_by_id(&ledger, ids).await;
                views.extend(found.map_err(fail::views)?.into_iter().flatten());
            }
            let shown = self.shown(&ledger, &views).await?;
            let ids = views.into_iter().map(|view| view.transaction.id);
            let transactions: BTreeMap<TransactionId, v1::Transaction> = ids.zip(shown).collect();
            let names = self.names(&ledger, accounts).await?;
            known.insert(ledger, (names, transactions));
        }
        let shard_of = |ledger: &LedgerName| self.shard_of(ledger);
        found
            .into_iter()
            .zip(touched)
            .map(|(Found { sequence, sealed }, touched)| {
                let (names, transactions) = known
                    .get(&sealed.record.ledger)
                    .ok_or_else(|| Fault::internal("a decision's ledger was not looked up"))?;
                let token = ReadToken {
                    log_id: self.sources.log_id,
                    shard: shard_of(&sealed.record.ledger),
                    sequence,
                    ledger_sequence: sealed.record.ledger_sequence,
                };
                decision(sealed, &touched, names, transactions, token)
            })
            .collect()
    }
}

fn decision(
    sealed: SealedRecord,
    touched: &Touched,
    names: &Names,
    transactions: &BTreeMap<TransactionId, v1::Transaction>,
    token: ReadToken,
) -> Result<v1::Decision, Fault> {
    let message =
        record_proto::Record::decode(sealed.bytes.clone()).map_err(|error| Fault::LogDamaged {
            why: error.to_string(),
        })?;
    let record = &sealed.record;
    let previous_hash = record.previous_hash.map(|hash| hash.to_string());
    Ok(v1::Decision {
        record: Some(message),
        record_hash: sealed.hash.to_string(),
        previous_hash: previous_hash.unwrap_or_default(),
        outcome: outcome(&sealed, touched, token),
        accounts: account_names(record, touched, names),
        transactions: touched
            .transactions
            .iter()
            .filter_map(|id| transactions.get(id).cloned())
            .collect(),
        record_bytes: sealed.bytes.to_vec(),
    })
}

/// What the caller was answered; nobody asked for the engine's own records.
fn outcome(sealed: &SealedRecord, touched: &Touched, token: ReadToken) -> Option<v1::Outcome> {
    let record = &sealed.record;
    record.request_hash?;
    let text = |id: &Option<TransactionId>| id.map(|id| id.to_string()).unwrap_or_default();
    let outcome = match &record.payload {
        Payload::Rejection(rejection) => v1::outcome::Outcome::Error(rejection_status(rejection)),
        Payload::Event(_) => v1::outcome::Outcome::Receipt(v1::Receipt {
            ledger: record.ledger.as_str().to_owned(),
            idempotency_key: record.key.to_string(),
            transaction_id: text(&touched.made),
            ledger_sequence: record.ledger_sequence,
            recorded_at: Some(view::timestamp(record.moment.recorded_at)),
            repeated: false,
            token: token.to_string(),
            account_number: touched.subject.map_or(0, |number| number.0),
            balances: Vec::new(),
            record_hash: sealed.hash.to_string(),
            member_transaction_ids: touched.members.iter().map(text).collect(),
        }),
        Payload::WriterClaimed(_)
        | Payload::LogStarted(_)
        | Payload::LogMigrated(_)
        | Payload::LogSealed(_)
        | Payload::LogReopened(_) => return None,
    };
    Some(v1::Outcome {
        outcome: Some(outcome),
    })
}

fn account_names(record: &Record, touched: &Touched, names: &Names) -> Vec<String> {
    if let Payload::Rejection(rejection) = &record.payload {
        let figures = rejection.figures.iter();
        return figures
            .filter(|(figure, _)| figure == "account")
            .map(|(_, name)| name.clone())
            .collect();
    }
    let accounts = touched.accounts.iter();
    accounts.map(|number| names.name(*number)).collect()
}
