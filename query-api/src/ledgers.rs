//! Ledgers.

use ports::views::LedgerView;
use schemas::api::{parse, view};
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use crate::consistency::Freshness;
use crate::deadline::Deadline;
use crate::page;
use crate::{QueryApi, fail};

impl QueryApi {
    /// One ledger, with everything acknowledged before the call.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn get_ledger(
        &self,
        request: Request<v1::GetLedgerRequest>,
    ) -> Result<v1::Ledger, Status> {
        let deadline = Deadline::of(request.metadata());
        let ledger = parse::ledger_name(&request.get_ref().ledger, "ledger")?;
        self.settle(&ledger, Freshness::Strong, deadline).await?;
        let found = self.views().ledger(&ledger).await.map_err(fail::views)?;
        Ok(shown(&found.ok_or(Fault::LedgerNotFound { ledger })?))
    }

    /// Ledgers by name. A ledger that is created while pages are read is shown where its name
    /// is beyond the page.
    ///
    /// # Errors
    /// The status of the [`Fault`].
    pub async fn list_ledgers(
        &self,
        request: Request<v1::ListLedgersRequest>,
    ) -> Result<v1::ListLedgersResponse, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(name_in_token(token)?),
        };
        let mut ledgers = self
            .views()
            .ledgers(after.as_deref(), size + 1)
            .await
            .map_err(fail::views)?;
        let more = ledgers.len() > size;
        ledgers.truncate(size);
        let last = ledgers.last().filter(|_| more);
        let next_page_token = last.map(|last| token_of_name(last.name.as_str()));
        Ok(v1::ListLedgersResponse {
            ledgers: ledgers.iter().map(shown).collect(),
            page: Some(v1::PageInfo {
                next_page_token: next_page_token.unwrap_or_default(),
                ledger_sequence: 0,
            }),
        })
    }
}

fn shown(ledger: &LedgerView) -> v1::Ledger {
    view::ledger(
        &ledger.name,
        &ledger.terms,
        ledger.created_at,
        ledger.closed_through,
        ledger.shard,
    )
}

/// Ledgers stand in order of their names, so a name is the place; there is no filter to bind.
fn token_of_name(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("l1-{hex}")
}

fn name_in_token(token: &str) -> Result<String, Fault> {
    let unreadable = || Fault::PageTokenInvalid {
        why: "was not made by this call".to_owned(),
    };
    let hex = token.strip_prefix("l1-").ok_or_else(unreadable)?;
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| token_of_name(name) == token)
        .ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageToken;

    #[test]
    fn a_name_comes_back_from_its_token_and_nothing_else_does() {
        assert_eq!(name_in_token(&token_of_name("bank:eu")).unwrap(), "bank:eu");
        for wrong in ["", "x", "l1-6", "l1-6G", "l1-ff", "p1-00-1"] {
            assert!(name_in_token(wrong).is_err(), "{wrong}");
        }
        let other = PageToken([1]).seal(&[0; 16]);
        assert!(name_in_token(&other).is_err());
    }
}
