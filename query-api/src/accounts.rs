//! Accounts.

use ledger_core::account::{Account, AccountNumber};
use ledger_core::command::AccountRef;
use ledger_core::name::LedgerName;
use ledger_core::text::{Metadata, Text};
use ports::strong::{StrongAnswer, StrongQuery, StrongRead};
use ports::views::AccountFilter;
use schemas::api::{parse, view};
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use crate::consistency::{Book, Freshness};
use crate::deadline::Deadline;
use crate::page::{self, PageToken};
use crate::pattern::Pattern;
use crate::{QueryApi, fail};

/// Accounts that one call names, at most.
pub(crate) const NAMED_MAX: usize = schemas::limits::ACCOUNTS_NAMED_MAX;

impl QueryApi {
    /// One account with its balance; STRONG where the caller does not say.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_account(
        &self,
        request: Request<v1::GetAccountRequest>,
    ) -> Result<v1::Account, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::ledger_name(&request.ledger, "ledger")?;
        let asked = parse::account_ref(&request.account, "account")?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let (accounts, _) = self
            .accounts_now(&ledger, &[asked], freshness, deadline)
            .await?;
        let account = accounts
            .first()
            .ok_or_else(|| Fault::internal("one account was asked for and none came"))?;
        Ok(view::account(&ledger, account))
    }

    /// Accounts with their balances, in order of the request; STRONG where the caller does not
    /// say. All are of one state of the ledger.
    ///
    /// # Errors
    /// The status of the [`Fault`]; the first account that does not exist fails the call.
    pub async fn batch_get_accounts(
        &self,
        request: Request<v1::BatchGetAccountsRequest>,
    ) -> Result<v1::BatchGetAccountsResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::ledger_name(&request.ledger, "ledger")?;
        let asked = account_refs(&request.accounts)?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let (accounts, position) = self
            .accounts_now(&ledger, &asked, freshness, deadline)
            .await?;
        let accounts = accounts.iter().map(|found| view::account(&ledger, found));
        Ok(v1::BatchGetAccountsResponse {
            accounts: accounts.collect(),
            position: Some(position),
        })
    }

    /// Accounts as they are, in order of the question: from the writer itself where asked for
    /// STRONG, else from the read models.
    pub(crate) async fn accounts_now(
        &self,
        ledger: &LedgerName,
        asked: &[AccountRef],
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<(Vec<Account>, v1::ReadPosition), Fault> {
        if freshness == Freshness::Strong {
            let query = StrongQuery::Accounts(asked.to_vec());
            let read = self.strong(ledger, query, deadline).await?;
            let position = self.strong_position(ledger, &read);
            let StrongRead {
                answer: StrongAnswer::Accounts(found),
                ..
            } = read
            else {
                return Err(Fault::internal("accounts were asked for, others came"));
            };
            let accounts = self.all_found(ledger, asked, found).await?;
            return Ok((accounts, position));
        }
        self.settle(ledger, freshness, deadline).await?;
        let book = self.book(ledger.clone()).await?;
        let found = self.views_accounts(ledger, asked).await?;
        let accounts = self.all_found(ledger, asked, found).await?;
        Ok((accounts, self.position(&book)))
    }

    /// Accounts from the read models, in order of the question.
    async fn views_accounts(
        &self,
        ledger: &LedgerName,
        asked: &[AccountRef],
    ) -> Result<Vec<Option<Account>>, Fault> {
        let mut names = Vec::new();
        let mut numbers = Vec::new();
        for asked in asked {
            match asked {
                AccountRef::Name(name) => names.push(name.clone()),
                AccountRef::Number(number) => numbers.push(*number),
            }
        }
        let views = self.views();
        let by_name = match names.is_empty() {
            true => Vec::new(),
            false => views
                .accounts_by_name(ledger, &names)
                .await
                .map_err(fail::views)?,
        };
        let by_number = match numbers.is_empty() {
            true => Vec::new(),
            false => views
                .accounts_by_number(ledger, &numbers)
                .await
                .map_err(fail::views)?,
        };
        let (mut by_name, mut by_number) = (by_name.into_iter(), by_number.into_iter());
        Ok(asked
            .iter()
            .map(|asked| match asked {
                AccountRef::Name(_) => by_name.next().flatten(),
                AccountRef::Number(_) => by_number.next().flatten(),
            })
            .collect())
    }

    async fn all_found(
        &self,
        ledger: &LedgerName,
        asked: &[AccountRef],
        found: Vec<Option<Account>>,
    ) -> Result<Vec<Account>, Fault> {
        let mut accounts = Vec::with_capacity(found.len());
        for (asked, found) in asked.iter().zip(found) {
            match found {
                Some(account) => accounts.push(account),
                None => return Err(self.account_not_found(ledger, asked).await),
            }
        }
        Ok(accounts)
    }

    /// Accounts by number; EVENTUAL where the caller does not say. Accounts that are opened
    /// after the first page are not shown. Status, metadata and balance are those of the time
    /// when the page is read, so an account whose status changes between two pages is judged by
    /// what it is then.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<v1::ListAccountsResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let mut request = request.into_inner();
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let said = request.consistency.take();
        let binding = page::binding(self.sources.log_id, "ListAccounts", &request);
        let token = PageToken::<3>::open(&token, &binding)?;
        let pattern = Pattern::parse(&request.pattern, "pattern")?;
        let metadata = MetadataFilter::of(&request.metadata_key, &request.metadata_value)?;
        let asset = match request.asset.as_str() {
            "" => None,
            asset => Some(parse::asset(asset, "asset")?),
        };
        let account_type = parse::account_type_or_none(request.r#type, "type")?;
        let status = parse::account_status_or_none(request.status, "status")?;
        let freshness = match token {
            Some(_) => Freshness::Eventual,
            None => self.freshness(said, Freshness::Eventual)?,
        };
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let (through, after, sequence) = match token {
            Some(PageToken([through, after, sequence])) => {
                let number = |n| AccountNumber(page::narrow(n) as u32);
                (number(through), Some(number(after)), page::narrow(sequence))
            }
            None => (
                self.last_account_at(&book).await?,
                None,
                book.head().ledger_sequence,
            ),
        };
        let mut filter = AccountFilter {
            prefix: pattern.prefix().to_owned(),
            asset,
            account_type,
            status,
            after,
            through: Some(through),
        };
        let mut accounts: Vec<Account> = Vec::new();
        let mut looked_at = 0;
        // Where more follows, the last account that was looked at.
        let more = 'page: loop {
            deadline.check()?;
            let chunk = self
                .views()
                .accounts(&book.ledger, &filter, page::CHUNK)
                .await
                .map_err(fail::views)?;
            let at_end = chunk.len() < page::CHUNK;
            for account in chunk {
                if accounts.len() == size {
                    break 'page filter.after;
                }
                filter.after = Some(account.number);
                looked_at += 1;
                if pattern.passes(account.terms.name.as_str())
                    && metadata.passes(&account.terms.metadata)
                {
                    accounts.push(account);
                }
            }
            if at_end {
                break None;
            }
            if looked_at >= page::SCAN_MAX {
                break filter.after;
            }
        };
        let next = more.map(|after| {
            PageToken([through.0.into(), after.0.into(), sequence.into()]).seal(&binding)
        });
        let shown = accounts
            .iter()
            .map(|found| view::account(&book.ledger, found));
        Ok(v1::ListAccountsResponse {
            accounts: shown.collect(),
            page: Some(v1::PageInfo {
                next_page_token: next.unwrap_or_default(),
                ledger_sequence: sequence,
            }),
            position: Some(self.position(&book)),
        })
    }

    /// The last account of the ledger at the head of `book`; those opened since are after it.
    async fn last_account_at(&self, book: &Book) -> Result<AccountNumber, Fault> {
        let views = self.views();
        let mut last = views
            .last_account(&book.ledger)
            .await
            .map_err(fail::views)?
            .unwrap_or(AccountNumber(0));
        // What was opened between the two looks is few, and later by the engine's clock.
        while last.0 > 0 {
            let found = views
                .accounts_by_number(&book.ledger, &[last])
                .await
                .map_err(fail::views)?;
            match found.into_iter().next().flatten() {
                Some(account) if account.opened_at > book.head().recorded_at => last.0 -= 1,
                _ => break,
            }
        }
        Ok(last)
    }
}

/// Reads the accounts that a call names.
pub(crate) fn account_refs(names: &[String]) -> Result<Vec<AccountRef>, Fault> {
    if names.is_empty() {
        return Err(fail::field("accounts", "names no account"));
    }
    if names.len() > NAMED_MAX {
        return Err(Fault::BatchTooLarge {
            what: "accounts",
            found: names.len() as u64,
            most: NAMED_MAX as u64,
        });
    }
    let refs = names.iter().enumerate();
    refs.map(|(index, name)| {
        parse::account_ref(name, &format!("accounts[{index}]")).map_err(Fault::from)
    })
    .collect()
}

/// Passes what has an entry of metadata; with an empty key everything.
pub(crate) struct MetadataFilter<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'a> MetadataFilter<'a> {
    /// Both are said, or none.
    pub(crate) fn of(key: &'a str, value: &'a str) -> Result<Self, Fault> {
        if key.is_empty() && !value.is_empty() {
            return Err(fail::field(
                "metadata_key",
                "must be there with metadata_value",
            ));
        }
        Ok(Self { key, value })
    }

    /// A sealed value passes none: it is opaque here.
    pub(crate) fn passes(&self, metadata: &Metadata) -> bool {
        self.key.is_empty()
            || matches!(
                metadata.entries().get(self.key),
                Some(Text::Plain(value)) if value.as_ref() == self.value
            )
    }
}
