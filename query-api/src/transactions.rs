//! Transactions.

use ledger_core::account::AccountNumber;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Transaction, TransactionStatus};
use ports::projection::HistoryRow;
use ports::strong::{StrongAnswer, StrongQuery};
use ports::views::{HistoryRange, TransactionFilter, TransactionView};
use schemas::api::{parse, view};
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use crate::accounts::MetadataFilter;
use crate::consistency::{Book, Freshness};
use crate::deadline::Deadline;
use crate::page::{self, PageToken};
use crate::{QueryApi, fail};

/// What a page begins after: ledger sequence and id.
type Place = (u64, TransactionId);

impl QueryApi {
    /// One transaction as it stands; STRONG where the caller does not say.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_transaction(
        &self,
        request: Request<v1::GetTransactionRequest>,
    ) -> Result<v1::Transaction, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::ledger_name(&request.ledger, "ledger")?;
        let id = parse::transaction_id(&request.transaction_id, "transaction_id")?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let view = if freshness == Freshness::Strong {
            self.strong_transaction(&ledger, id, deadline).await?
        } else {
            self.settle(&ledger, freshness, deadline).await?;
            self.book(ledger.clone()).await?;
            self.projected_transaction(&ledger, id).await?
        };
        let view = view.ok_or_else(|| Fault::TransactionNotFound {
            ledger: ledger.clone(),
            transaction: id,
        })?;
        let mut shown = self.shown(&ledger, &[view]).await?;
        let shown = shown.pop();
        Ok(shown.ok_or_else(|| Fault::internal("a transaction was lost while it was shown"))?)
    }

    /// A hold that is open comes from the writer; what made it from the read models, which can
    /// be long before the ledger's newest record.
    async fn strong_transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
        deadline: Deadline,
    ) -> Result<Option<TransactionView>, Fault> {
        let query = StrongQuery::OpenHolds(vec![id]);
        let read = self.strong(ledger, query, deadline).await?;
        let hold = match read.answer {
            StrongAnswer::OpenHolds(found) => found.into_iter().next().flatten(),
            _ => return Err(Fault::internal("holds were asked for, others came")),
        };
        if let Some(hold) = hold
            && let Some(made) = self.projected_transaction(ledger, id).await?
        {
            return Ok(Some(TransactionView {
                transaction: newer(hold, made.transaction),
                ..made
            }));
        }
        self.projected(self.shard_of(ledger), read.sequence, deadline)
            .await?;
        self.projected_transaction(ledger, id).await
    }

    async fn projected_transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, Fault> {
        self.views()
            .transaction(ledger, id)
            .await
            .map_err(fail::views)
    }

    /// Transactions, newest first where the caller does not say; EVENTUAL where it does not say.
    /// Transactions that are made after the first page are not shown. What a transaction is (its
    /// status, its metadata) is what it is when the page is read, so a filter over these judges
    /// what changed between two pages by what it is then.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn list_transactions(
        &self,
        request: Request<v1::ListTransactionsRequest>,
    ) -> Result<v1::ListTransactionsResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let mut request = request.into_inner();
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let said = request.consistency.take();
        let binding = page::binding(self.sources.log_id, "ListTransactions", &request);
        let token = PageToken::<3>::open(&token, &binding)?;
        let time = |value: &Option<_>, field: &str| parse::timestamp_or_none(value.as_ref(), field);
        let mut filter = TransactionFilter {
            status: parse::transaction_status_or_none(request.status, "status")?,
            effective_from: time(&request.effective_from, "effective_from")?,
            effective_to: time(&request.effective_to, "effective_to")?,
            recorded_from: time(&request.recorded_from, "recorded_from")?,
            recorded_to: time(&request.recorded_to, "recorded_to")?,
            through: None,
            after: None,
            oldest_first: request.oldest_first,
        };
        let account = match request.account.as_str() {
            "" => None,
            account => Some(parse::account_ref(account, "account")?),
        };
        let metadata = MetadataFilter::of(&request.metadata_key, &request.metadata_value)?;
        let freshness = match token {
            Some(_) => Freshness::Eventual,
            None => self.freshness(said, Freshness::Eventual)?,
        };
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let through = match token {
            Some(PageToken([through, sequence, id])) => {
                filter.after = Some((page::narrow(sequence), TransactionId(id)));
                page::narrow(through)
            }
            None => book.head().ledger_sequence,
        };
        filter.through = Some(through);
        let (views, more) = match account {
            None => {
                self.transactions_of_ledger(&book, filter, &metadata, size, deadline)
                    .await?
            }
            Some(account) => {
                let account = self.account(&book.ledger, &account).await?.number;
                let scan = AccountScan {
                    account,
                    through,
                    filter,
                };
                self.transactions_of_account(&book, scan, &metadata, size, deadline)
                    .await?
            }
        };
        let next = more.map(|(sequence, id)| {
            PageToken([through.into(), sequence.into(), id.0]).seal(&binding)
        });
        Ok(v1::ListTransactionsResponse {
            transactions: self.shown(&book.ledger, &views).await?,
            page: Some(v1::PageInfo {
                next_page_token: next.unwrap_or_default(),
                ledger_sequence: through,
            }),
            position: Some(self.position(&book)),
        })
    }

    async fn transactions_of_ledger(
        &self,
        book: &Book,
        mut filter: TransactionFilter,
        metadata: &MetadataFilter<'_>,
        size: usize,
        deadline: Deadline,
    ) -> Result<(Vec<TransactionView>, Option<Place>), Fault> {
        let mut page: Vec<TransactionView> = Vec::new();
        let mut looked_at = 0;
        loop {
            deadline.check()?;
            let chunk = self
                .views()
                .transactions(&book.ledger, &filter, page::CHUNK)
                .await
                .map_err(fail::views)?;
            let at_end = chunk.len() < page::CHUNK;
            for view in chunk {
                if page.len() == size {
                    return Ok((page, filter.after));
                }
                filter.after = Some((view.ledger_sequence, view.transaction.id));
                looked_at += 1;
                if metadata.passes(&view.transaction.metadata) {
                    page.push(view);
                }
            }
            if at_end {
                return Ok((page, None));
            }
            if looked_at >= page::SCAN_MAX {
                return Ok((page, filter.after));
            }
        }
    }

    /// Goes along the account's history: a transaction stands where its making moved or
    /// reserved something on the account.
    async fn transactions_of_account(
        &self,
        book: &Book,
        scan: AccountScan,
        metadata: &MetadataFilter<'_>,
        size: usize,
        deadline: Deadline,
    ) -> Result<(Vec<TransactionView>, Option<Place>), Fault> {
        let AccountScan {
            account,
            through,
            filter,
        } = scan;
        let recorded = (filter.recorded_from, filter.recorded_to);
        let mut range = self
            .recorded_range(book, account, recorded, through)
            .await?;
        range.newest_first = !filter.oldest_first;
        if let Some((sequence, _)) = filter.after {
            // The row of the place itself may hold more.
            if filter.oldest_first {
                range.from = range.from.max(sequence);
            } else {
                range.through = range.through.min(sequence);
            }
        }
        let mut page = Vec::new();
        let mut after = filter.after;
        let mut looked_at = 0;
        loop {
            deadline.check()?;
            let rows = self
                .views()
                .history(&book.ledger, account, range, page::CHUNK)
                .await
                .map_err(fail::views)?;
            let at_end = rows.len() < page::CHUNK;
            let places = places_of(&rows, &filter, after);
            looked_at += rows.len();
            if let Some(last) = rows.last() {
                if filter.oldest_first {
                    range.from = last.ledger_sequence + 1;
                } else {
                    range.through = last.ledger_sequence.saturating_sub(1);
                }
            }
            let ids: Vec<TransactionId> = places.iter().map(|place| place.1).collect();
            let views = self
                .views()
                .transactions_by_id(&book.ledger, &ids)
                .await
                .map_err(fail::views)?;
            for (place, view) in places.into_iter().zip(views) {
                if page.len() == size {
                    return Ok((page, after));
                }
                after = Some(place);
                let passes = |view: &TransactionView| {
                    passes(&filter, view) && metadata.passes(&view.transaction.metadata)
                };
                page.extend(view.filter(passes));
            }
            let Some(last) = rows.last().filter(|_| !at_end) else {
                return Ok((page, None));
            };
            if looked_at >= page::SCAN_MAX {
                // Beyond the last row, whatever it held.
                let id = if filter.oldest_first { u128::MAX } else { 0 };
                return Ok((page, Some((last.ledger_sequence, TransactionId(id)))));
            }
        }
    }

    /// The stretch of an account's history that was recorded from and up to these times.
    pub(crate) async fn recorded_range(
        &self,
        book: &Book,
        account: AccountNumber,
        (recorded_from, recorded_to): (Option<Timestamp>, Option<Timestamp>),
        through: u64,
    ) -> Result<HistoryRange, Fault> {
        let last_at = |at: Timestamp| async move {
            let row = self
                .views()
                .history_at(&book.ledger, account, at)
                .await
                .map_err(fail::views)?;
            Ok::<u64, Fault>(row.map_or(0, |row| row.ledger_sequence))
        };
        let mut range = HistoryRange {
            from: 0,
            through,
            newest_first: false,
        };
        if let Some(from) = recorded_from.filter(|from| *from > Timestamp::MIN) {
            range.from = last_at(from.saturating_add(-1)).await? + 1;
        }
        if let Some(to) = recorded_to {
            range.through = range.through.min(last_at(to).await?);
        }
        Ok(range)
    }

    /// Transactions as replies show them.
    pub(crate) async fn shown(
        &self,
        ledger: &LedgerName,
        views: &[TransactionView],
    ) -> Result<Vec<v1::Transaction>, Fault> {
        let postings = views.iter().flat_map(|view| &view.transaction.postings);
        let numbers = postings.flat_map(|posting| [posting.debit, posting.credit]);
        let names = self.names(ledger, numbers).await?;
        let unknown = views
            .iter()
            .flat_map(|view| &view.transaction.postings)
            .flat_map(|posting| [posting.debit, posting.credit])
            .find(|number| names.of(*number).is_none());
        if let Some(number) = unknown {
            return Err(Fault::ReadModelsUnusable {
                why: format!("account {} of ledger {ledger} is missing", number.0),
            });
        }
        let name_of = |number| names.of(number).expect("looked for just before");
        Ok(views
            .iter()
            .map(|view| {
                view::transaction(
                    ledger,
                    &view.transaction,
                    view.recorded_at,
                    view.ledger_sequence,
                    &view.key,
                    &name_of,
                )
            })
            .collect())
    }
}

/// A list of one account's transactions.
struct AccountScan {
    account: AccountNumber,
    through: u64,
    filter: TransactionFilter,
}

/// A hold that was captured or released while both were read is newer in the read models.
fn newer(a: Transaction, b: Transaction) -> Transaction {
    if a.version >= b.version { a } else { b }
}

/// Where the transactions stand that the records of `rows` made, in order, beyond `after`.
fn places_of(rows: &[HistoryRow], filter: &TransactionFilter, after: Option<Place>) -> Vec<Place> {
    let mut places = Vec::new();
    for row in rows {
        let made = row.movements.iter().filter(|movement| {
            matches!(
                movement.effect,
                TransactionStatus::Posted | TransactionStatus::Pending
            )
        });
        let mut of_row: Vec<Place> = made
            .map(|movement| (row.ledger_sequence, movement.transaction))
            .collect();
        of_row.sort_unstable();
        of_row.dedup();
        if !filter.oldest_first {
            of_row.reverse();
        }
        places.extend(of_row.into_iter().filter(|place| {
            after.is_none_or(|after| {
                if filter.oldest_first {
                    *place > after
                } else {
                    *place < after
                }
            })
        }));
    }
    places
}

fn passes(filter: &TransactionFilter, view: &TransactionView) -> bool {
    let effective_at = view.transaction.effective_at;
    filter.status.is_none_or(|of| view.transaction.status == of)
        && filter
            .effective_from
            .is_none_or(|from| effective_at >= from)
        && filter.effective_to.is_none_or(|to| effective_at <= to)
        && filter
            .recorded_from
            .is_none_or(|from| view.recorded_at >= from)
        && filter.recorded_to.is_none_or(|to| view.recorded_at <= to)
}
