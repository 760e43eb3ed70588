//! Statements: opening balance, every posted movement with the balance after it, closing
//! balance; of one state of the ledger, which the reply names so that the statement can be
//! made again identically, whatever was recorded since. (Only descriptions are shown as they
//! are now: they are the user's own words, which the user may change.)

use std::collections::BTreeMap;

use ledger_core::account::{Account, Totals};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::TransactionStatus;
use ports::views::HistoryRange;
use schemas::api::parse;
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};
use v1::get_statement_request::By;

use super::AsOf;
use super::as_of::Scan;
use super::line::Line;
use crate::consistency::{Book, Freshness};
use crate::deadline::Deadline;
use crate::page::{self, CHUNK, PageToken};
use crate::{QueryApi, fail};

/// Days that are read together, at most.
const DAYS_AT_ONCE: usize = 64;

/// What a statement is asked for: `[from, to)` as instants that are in it, both inclusive.
struct Span {
    /// `None` where nothing is before it.
    before: Option<Timestamp>,
    first: Timestamp,
    last: Timestamp,
    open_ended: bool,
}

impl Span {
    fn parse(request: &v1::GetStatementRequest) -> Result<Self, Fault> {
        let from = parse::timestamp_or_none(request.from.as_ref(), "from")?;
        let to = parse::timestamp_or_none(request.to.as_ref(), "to")?;
        let first = from.unwrap_or(Timestamp::MIN);
        if let Some(to) = to
            && to <= first
        {
            return Err(fail::field("to", "must be later than from"));
        }
        Ok(Self {
            before: (first > Timestamp::MIN).then(|| first.saturating_add(-1)),
            first,
            last: to.map_or(Timestamp::MAX, |to| to.saturating_add(-1)),
            open_ended: to.is_none(),
        })
    }
}

/// Where the lines go on: after this line, with this balance.
#[derive(Clone, Copy)]
struct From {
    effective_at: Timestamp,
    ledger_sequence: u64,
    index: u64,
    balance: i128,
}

impl From {
    fn after(line: &Line) -> Self {
        Self {
            effective_at: line.movement.effective_at,
            ledger_sequence: line.ledger_sequence,
            index: line.index,
            balance: line.balance.unwrap_or_default(),
        }
    }

    fn token(&self, through: u64) -> PageToken<5> {
        let effective = i128::from(self.effective_at.micros()) - i128::from(i64::MIN);
        PageToken([
            through.into(),
            effective as u128,
            self.ledger_sequence.into(),
            self.index.into(),
            // Two's complement, as `open` takes it back.
            self.balance as u128,
        ])
    }

    fn open(token: &PageToken<5>) -> (u64, Self) {
        let [through, effective, sequence, index, balance] = token.0;
        let micros = i64::try_from(effective as i128 + i128::from(i64::MIN)).ok();
        let from = Self {
            effective_at: micros.and_then(Timestamp::from_micros).unwrap_or_default(),
            ledger_sequence: page::narrow(sequence),
            index: page::narrow(index),
            balance: balance as i128,
        };
        (page::narrow(through), from)
    }
}

/// Lines of one page, and whether more follow.
struct Lines {
    lines: Vec<Line>,
    next: Option<From>,
}

/// A statement as it is being made.
struct Making<'a> {
    book: &'a Book,
    account: &'a Account,
    span: Span,
    through: u64,
    from: Option<From>,
    opening: Totals,
    size: usize,
    deadline: Deadline,
}

impl Making<'_> {
    /// The balance before the page's first line.
    fn balance(&self) -> i128 {
        match &self.from {
            Some(from) => from.balance,
            None => self.opening.posted(self.account.normal_side()),
        }
    }
}

impl QueryApi {
    /// A statement of one account; STRONG where the caller does not say.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_statement(
        &self,
        request: Request<v1::GetStatementRequest>,
    ) -> Result<v1::GetStatementResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let mut request = request.into_inner();
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let said = request.consistency.take();
        let binding = page::binding(self.sources.log_id, "GetStatement", &request);
        let token = PageToken::<5>::open(&token, &binding)?;
        let asked = parse::account_ref(&request.account, "account")?;
        let by = match By::try_from(request.by) {
            Ok(By::Unspecified | By::Recorded) => By::Recorded,
            Ok(By::Effective) => By::Effective,
            Err(_) => return Err(fail::field("by", "is no known way").into()),
        };
        let span = Span::parse(&request)?;
        let freshness = match token {
            Some(_) => Freshness::Eventual,
            None => self.freshness(said, Freshness::Strong)?,
        };
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let account = self.account(&book.ledger, &asked).await?;
        let head = book.head().ledger_sequence;
        let (through, from) = match &token {
            Some(token) => {
                let (through, from) = From::open(token);
                (through, Some(from))
            }
            None if request.at_ledger_sequence == 0 => (head, None),
            None => (request.at_ledger_sequence, None),
        };
        if through > head {
            let reached = Fault::SequenceNotReached {
                ledger: book.ledger,
                asked: through,
                reached: head,
            };
            return Err(reached.into());
        }
        let mut making = Making {
            book: &book,
            account: &account,
            span,
            through,
            from,
            opening: Totals::default(),
            size,
            deadline,
        };
        let (closing, lines) = match by {
            By::Effective => self.by_effective(&mut making).await?,
            _ => self.by_recorded(&mut making).await?,
        };
        let opening = making.opening;
        let side = account.normal_side();
        let moved = |after: ledger_core::amount::Amount, before| {
            let moved = after.checked_sub(before).map(|moved| moved.to_string());
            moved.ok_or_else(|| Fault::internal("a total fell from opening to closing"))
        };
        let next = lines.next.map(|next| next.token(through).seal(&binding));
        Ok(v1::GetStatementResponse {
            account: account.terms.name.as_str().to_owned(),
            asset: account.terms.asset.to_string(),
            opening_balance: opening.posted(side).to_string(),
            closing_balance: closing.posted(side).to_string(),
            total_debits: moved(closing.debits_posted, opening.debits_posted)?,
            total_credits: moved(closing.credits_posted, opening.credits_posted)?,
            lines: self
                .lines(&book.ledger, account.number, &lines.lines)
                .await?,
            ledger_sequence: through,
            page: Some(v1::PageInfo {
                next_page_token: next.unwrap_or_default(),
                ledger_sequence: through,
            }),
        })
    }

    async fn by_recorded(&self, making: &mut Making<'_>) -> Result<(Totals, Lines), Fault> {
        let (book, account, through) = (making.book, making.account, making.through);
        let before = match making.span.before {
            Some(before) => self.row_then(book, account, Some(before), through).await?,
            None => None,
        };
        let last = (!making.span.open_ended).then_some(making.span.last);
        let after = self.row_then(book, account, last, through).await?;
        making.opening = before.as_ref().map_or(Totals::default(), |row| row.totals);
        let closing = after.as_ref().map_or(Totals::default(), |row| row.totals);
        let mut range = HistoryRange {
            from: before.map_or(0, |row| row.ledger_sequence + 1),
            through: after.map_or(0, |row| row.ledger_sequence),
            newest_first: false,
        };
        let mut lines = Lines {
            lines: Vec::new(),
            next: None,
        };
        let mut balance = making.balance();
        let mut looked_at = 0;
        if let Some(from) = &making.from {
            range.from = range.from.max(from.ledger_sequence);
        }
        while range.from <= range.through {
            making.deadline.check()?;
            let rows = self
                .views()
                .history(&book.ledger, account.number, range, CHUNK)
                .await
                .map_err(fail::views)?;
            for mut line in rows.iter().flat_map(Line::of) {
                let place = (line.ledger_sequence, line.index);
                let seen = making
                    .from
                    .is_some_and(|from| place <= (from.ledger_sequence, from.index));
                if seen || line.movement.effect != TransactionStatus::Posted {
                    continue;
                }
                if lines.lines.len() == making.size {
                    lines.next = lines.lines.last().map(From::after);
                    return Ok((closing, lines));
                }
                balance = balance.saturating_add(line.change(account));
                line.balance = Some(balance);
                lines.lines.push(line);
            }
            looked_at += rows.len();
            let Some(last) = rows.last().filter(|_| rows.len() == CHUNK) else {
                break;
            };
            range.from = last.ledger_sequence + 1;
            if looked_at >= page::SCAN_MAX {
                lines.next = Some(From {
                    effective_at: Timestamp::default(),
                    ledger_sequence: last.ledger_sequence,
                    index: u64::MAX,
                    balance,
                });
                break;
            }
        }
        Ok((closing, lines))
    }

    async fn by_effective(&self, making: &mut Making<'_>) -> Result<(Totals, Lines), Fault> {
        let (book, account, through) = (making.book, making.account, making.through);
        let totals = |at: Option<Timestamp>| {
            let as_of = AsOf {
                effective: at,
                recorded: None,
            };
            self.then(book, account, as_of, through, making.deadline)
        };
        let opening = match making.span.before {
            Some(before) => totals(Some(before)).await?.totals,
            None => Totals::default(),
        };
        let last = (!making.span.open_ended).then_some(making.span.last);
        let closing = totals(last).await?.totals;
        making.opening = opening;
        let lines = self.lines_by_effective(making).await?;
        Ok((closing, lines))
    }

    /// Day by day: the movements of a day are found through its bucket, and no more of them are
    /// held than a page has.
    async fn lines_by_effective(&self, making: &Making<'_>) -> Result<Lines, Fault> {
        let account = making.account;
        let place_of = |line: &Line| {
            let effective_at = line.movement.effective_at;
            (effective_at, line.ledger_sequence, line.index)
        };
        let after = making
            .from
            .map(|from| (from.effective_at, from.ledger_sequence, from.index));
        let start = after.map_or(making.span.first, |after| after.0);
        let end = making.span.last.utc_day();
        let mut day = start.utc_day();
        let mut at_once = 1;
        let mut found: BTreeMap<(Timestamp, u64, u64), Line> = BTreeMap::new();
        while day <= end && found.len() <= making.size {
            making.deadline.check()?;
            let buckets = self
                .views()
                .days(&making.book.ledger, account.number, day, end, at_once)
                .await
                .map_err(fail::views)?;
            let Some(last) = buckets.last() else { break };
            day = Day(last.day.0 + 1);
            let at_end = buckets.len() < at_once;
            at_once = (at_once * 2).min(DAYS_AT_ONCE);
            let scan = Scan::of(&buckets, making.through);
            for range in scan.ranges {
                let mut range = range;
                while range.from <= range.through {
                    making.deadline.check()?;
                    let rows = self
                        .views()
                        .history(&making.book.ledger, account.number, range, CHUNK)
                        .await
                        .map_err(fail::views)?;
                    for line in rows.iter().flat_map(Line::of) {
                        let effective_at = line.movement.effective_at;
                        let place = place_of(&line);
                        let belongs = line.movement.effect == TransactionStatus::Posted
                            && effective_at >= making.span.first
                            && effective_at <= making.span.last
                            && scan.days.contains(&effective_at.utc_day())
                            && after.is_none_or(|after| place > after);
                        if belongs {
                            found.insert(place, line);
                            // One more than the page shows that another page follows.
                            if found.len() > making.size + 1 {
                                found.pop_last();
                            }
                        }
                    }
                    match rows.last() {
                        Some(last) if rows.len() == CHUNK => range.from = last.ledger_sequence + 1,
                        _ => break,
                    }
                }
            }
            if at_end {
                break;
            }
        }
        let more = found.len() > making.size;
        let mut balance = making.balance();
        let mut lines: Vec<Line> = found.into_values().take(making.size).collect();
        for line in &mut lines {
            balance = balance.saturating_add(line.change(account));
            line.balance = Some(balance);
        }
        let next = lines.last().filter(|_| more).map(From::after);
        Ok(Lines { lines, next })
    }
}
