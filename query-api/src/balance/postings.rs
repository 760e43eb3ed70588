//! One account's movements, a page at a time.

use ledger_core::transaction::TransactionStatus;
use schemas::api::parse;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::line::Line;
use crate::consistency::Freshness;
use crate::deadline::Deadline;
use crate::page::{self, PageToken};
use crate::{QueryApi, fail};

impl QueryApi {
    /// One account's movements, newest first where the caller does not say; EVENTUAL where it
    /// does not say. What is recorded after the first page is not shown.
    ///
    /// # Errors
    /// The status of the [`schemas::error::Fault`].
    pub async fn list_postings(
        &self,
        request: Request<v1::ListPostingsRequest>,
    ) -> Result<v1::ListPostingsResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let mut request = request.into_inner();
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let said = request.consistency.take();
        let binding = page::binding(self.sources.log_id, "ListPostings", &request);
        let token = PageToken::<3>::open(&token, &binding)?;
        let asked = parse::account_ref(&request.account, "account")?;
        let time = |value: &Option<_>, field: &str| parse::timestamp_or_none(value.as_ref(), field);
        let effective_from = time(&request.effective_from, "effective_from")?;
        let effective_to = time(&request.effective_to, "effective_to")?;
        let recorded_from = time(&request.recorded_from, "recorded_from")?;
        let recorded_to = time(&request.recorded_to, "recorded_to")?;
        let freshness = match token {
            Some(_) => Freshness::Eventual,
            None => self.freshness(said, Freshness::Eventual)?,
        };
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let account = self.account(&book.ledger, &asked).await?;
        let (through, mut after) = match token {
            Some(PageToken([through, sequence, index])) => (
                page::narrow(through),
                Some((page::narrow(sequence), page::narrow(index))),
            ),
            None => (book.head().ledger_sequence, None),
        };
        let passes = |line: &Line| {
            let effective_at = line.movement.effective_at;
            (!request.posted_only || line.movement.effect == TransactionStatus::Posted)
                && effective_from.is_none_or(|from| effective_at >= from)
                && effective_to.is_none_or(|to| effective_at <= to)
        };
        let mut range = self
            .recorded_range(&book, account.number, (recorded_from, recorded_to), through)
            .await?;
        range.newest_first = !request.oldest_first;
        if let Some((sequence, _)) = after {
            if request.oldest_first {
                range.from = range.from.max(sequence);
            } else {
                range.through = range.through.min(sequence);
            }
        }
        let mut lines: Vec<Line> = Vec::new();
        let mut looked_at = 0;
        let more = 'page: loop {
            deadline.check()?;
            let rows = self
                .views()
                .history(&book.ledger, account.number, range, page::CHUNK)
                .await
                .map_err(fail::views)?;
            for row in &rows {
                looked_at += 1;
                let mut of_row: Vec<Line> = Line::of(row).collect();
                if !request.oldest_first {
                    of_row.reverse();
                }
                for line in of_row {
                    let place = (line.ledger_sequence, line.index);
                    let seen = after.is_some_and(|after| {
                        if request.oldest_first {
                            place <= after
                        } else {
                            place >= after
                        }
                    });
                    if seen {
                        continue;
                    }
                    if lines.len() == size {
                        break 'page after;
                    }
                    after = Some(place);
                    if passes(&line) {
                        lines.push(line);
                    }
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == page::CHUNK) else {
                break None;
            };
            if looked_at >= page::SCAN_MAX {
                break after;
            }
            if request.oldest_first {
                range.from = last.ledger_sequence + 1;
            } else {
                range.through = last.ledger_sequence.saturating_sub(1);
            }
        };
        let next = more.map(|(sequence, index)| {
            PageToken([through.into(), sequence.into(), index.into()]).seal(&binding)
        });
        Ok(v1::ListPostingsResponse {
            lines: self.lines(&book.ledger, account.number, &lines).await?,
            page: Some(v1::PageInfo {
                next_page_token: next.unwrap_or_default(),
                ledger_sequence: through,
            }),
            position: Some(self.position(&book)),
        })
    }
}
