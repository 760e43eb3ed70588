//! Records of a ledger, a page at a time; and the head of its chain.

use ledger_core::rejection::Code;
use ports::log::LogEntry;
use ports::strong::StrongQuery;
use schemas::api::{Malformed, parse, token::ReadToken, view};
use schemas::error::Fault;
use schemas::proto::v1;
use schemas::record::{Payload, Record};
use tonic::{Request, Status};

use super::decision::Found;
use super::find::{decode, split};
use crate::deadline::Deadline;
use crate::page::{self, PageToken};
use crate::{QueryApi, fail};

/// Bytes of log that are read at once.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// Bytes of records of one page, at most (but one record at least): a reply holds each nearly
/// three times, and clients take 4 MB.
const PAGE_BYTES: usize = 1024 * 1024;

/// Which records are shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    account: Option<String>,
    codes: Vec<Code>,
    events_only: bool,
    rejections_only: bool,
}

impl Filter {
    pub(super) fn parse(said: Option<v1::RecordFilter>) -> Result<Self, Malformed> {
        let said = said.unwrap_or_default();
        if said.events_only && (said.rejections_only || !said.codes.is_empty()) {
            return Err(Malformed::new(
                "filter.events_only",
                "leaves nothing together with rejections_only or codes",
            ));
        }
        let codes = said.codes.iter().enumerate().map(|(index, code)| {
            Code::parse(code).ok_or_else(|| {
                Malformed::new(
                    format!("filter.codes[{index}]"),
                    format!("{code:?} is no code of a refusal"),
                )
            })
        });
        let account = match said.account.as_str() {
            "" => None,
            name => Some(parse::account_name(name, "filter.account")?),
        };
        Ok(Self {
            account: account.map(|name| name.as_str().to_owned()),
            codes: codes.collect::<Result<_, _>>()?,
            events_only: said.events_only,
            rejections_only: said.rejections_only,
        })
    }

    /// What can be told without names.
    fn passes_kind(&self, record: &Record) -> bool {
        match &record.payload {
            Payload::Event(_) => !self.rejections_only && self.codes.is_empty(),
            Payload::Rejection(rejection) => {
                !self.events_only && (self.codes.is_empty() || self.codes.contains(&rejection.code))
            }
            Payload::WriterClaimed(_)
            | Payload::LogStarted(_)
            | Payload::LogMigrated(_)
            | Payload::LogSealed(_)
            | Payload::LogReopened(_) => {
                !self.rejections_only
                    && !self.events_only
                    && self.codes.is_empty()
                    && self.account.is_none()
            }
        }
    }
}

impl QueryApi {
    pub(super) async fn passes(&self, filter: &Filter, record: &Record) -> Result<bool, Fault> {
        if !filter.passes_kind(record) {
            return Ok(false);
        }
        match &filter.account {
            None => Ok(true),
            Some(account) => Ok(self.touched_names(record).await?.contains(account)),
        }
    }

    /// Records of a ledger's chain, oldest first: up to everything that was acknowledged before
    /// the first page was asked for, or as far as the read models are where the writer does not
    /// serve now (`page.ledger_sequence` says which).
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn list_records(
        &self,
        request: Request<v1::ListRecordsRequest>,
    ) -> Result<v1::ListRecordsResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let mut request = request.into_inner();
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let binding = page::binding(self.sources.log_id, "ListRecords", &request);
        let token = PageToken::<2>::open(&token, &binding)?;
        let ledger = parse::chain_name(&request.ledger, "ledger")?;
        let recorded_from =
            parse::timestamp_or_none(request.recorded_from.as_ref(), "recorded_from")?;
        let filter = Filter::parse(request.filter)?;
        let book = match &token {
            None => {
                let will_do = |why: &Fault| matches!(why, Fault::Unavailable { .. });
                self.newest(ledger, deadline, will_do).await?
            }
            Some(_) => self.book(ledger).await?,
        };
        let ledger = &book.ledger;
        let (through, mut next) = match token {
            Some(PageToken([through, next])) => (page::narrow(through), page::narrow(next)),
            None => {
                let mut next = request.from_ledger_sequence.max(1);
                if let Some(from) = recorded_from {
                    // The last place before it: the first record in time stands in its entry.
                    let place = self.views().place_at(ledger, from.saturating_add(-1)).await;
                    let place = place.map_err(fail::views)?;
                    next = next.max(place.map_or(1, |place| place.ledger_sequence));
                }
                (book.head().ledger_sequence, next)
            }
        };
        let mut found: Vec<Found> = Vec::new();
        let mut bytes = 0;
        let mut looked_at = 0;
        let full = |found: &[Found], bytes, looked_at| {
            found.len() == size
                || (bytes >= PAGE_BYTES && !found.is_empty())
                || looked_at >= page::SCAN_MAX
        };
        while next <= through && !full(&found, bytes, looked_at) {
            deadline.check()?;
            let before = next;
            'read: for entry in self.entries_from(ledger, next).await? {
                for (sequence, record) in (entry.first_sequence..).zip(split(&entry)?) {
                    let sealed = decode(&entry, record)?;
                    looked_at += 1;
                    let record = &sealed.record;
                    if record.ledger != *ledger || record.ledger_sequence < next {
                        continue;
                    }
                    if next > through || full(&found, bytes, looked_at) {
                        break 'read;
                    }
                    next = record.ledger_sequence + 1;
                    let in_time =
                        recorded_from.is_none_or(|from| record.moment.recorded_at >= from);
                    if in_time && self.passes(&filter, record).await? {
                        bytes += sealed.bytes.len();
                        found.push(Found { sequence, sealed });
                    }
                }
            }
            if next == before && !full(&found, bytes, looked_at) {
                let why = format!("record {next} of ledger {ledger} is not where it should be");
                return Err(Fault::ReadModelsUnusable { why }.into());
            }
        }
        let more = next <= through;
        let next = PageToken([through.into(), next.into()]).seal(&binding);
        Ok(v1::ListRecordsResponse {
            decisions: self.decisions(found).await?,
            page: Some(v1::PageInfo {
                next_page_token: if more { next } else { String::new() },
                ledger_sequence: through,
            }),
        })
    }

    /// Entries from the one that holds the ledger's record of `ledger_sequence`.
    async fn entries_from(
        &self,
        ledger: &ledger_core::name::LedgerName,
        ledger_sequence: u64,
    ) -> Result<Vec<LogEntry>, Fault> {
        let place = self.views().place(ledger, ledger_sequence).await;
        let Some(place) = place.map_err(fail::views)? else {
            return Ok(Vec::new());
        };
        let reader = &self.sources.reader;
        let shard = self.shard_of(ledger);
        let entries = reader.read(shard, place.position, READ_BYTES).await;
        entries.map_err(fail::log)
    }

    /// The head of a ledger's chain, with everything acknowledged before the call; of the
    /// engine's own chains, as far as the read models are.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_head(&self, request: Request<v1::GetHeadRequest>) -> Result<v1::Head, Status> {
        let deadline = Deadline::of(request.metadata());
        let ledger = parse::chain_name(&request.get_ref().ledger, "ledger")?;
        let (sequence, ledger_sequence, record_hash, recorded_at) = if ledger.is_engine() {
            let book = self.book(ledger.clone()).await?;
            let head = book.head();
            (
                book.progress.checkpoint.sequence,
                head.ledger_sequence,
                head.record_hash,
                head.recorded_at,
            )
        } else {
            let read = self
                .strong(&ledger, StrongQuery::Position, deadline)
                .await?;
            (
                read.sequence,
                read.ledger_sequence,
                read.record_hash,
                read.recorded_at,
            )
        };
        let token = ReadToken {
            log_id: self.sources.log_id,
            shard: self.shard_of(&ledger),
            sequence,
            ledger_sequence,
        };
        Ok(v1::Head {
            ledger: ledger.as_str().to_owned(),
            ledger_sequence,
            record_hash: record_hash.to_string(),
            recorded_at: Some(view::timestamp(recorded_at)),
            log_id: self.sources.log_id.to_string(),
            token: token.to_string(),
        })
    }
}
