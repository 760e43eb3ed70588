//! 'Did you mean': a name near to one that was never opened.

use ledger_core::account::Account;
use ledger_core::command::AccountRef;
use ledger_core::name::LedgerName;
use ports::views::AccountFilter;
use schemas::error::Fault;

use crate::{QueryApi, fail};

/// Names that are looked at, at most.
const LOOKED_AT: usize = 500;
/// How alike two names must be (Jaro-Winkler).
const ALIKE: f64 = 0.85;

impl QueryApi {
    /// The account that `asked` names, from the read models.
    pub(crate) async fn account(
        &self,
        ledger: &LedgerName,
        asked: &AccountRef,
    ) -> Result<Account, Fault> {
        let found = match asked {
            AccountRef::Name(name) => self.views().account(ledger, name.as_str()).await,
            AccountRef::Number(number) => self
                .views()
                .accounts_by_number(ledger, &[*number])
                .await
                .map(|accounts| accounts.into_iter().next().flatten()),
        };
        match found.map_err(fail::views)? {
            Some(account) => Ok(account),
            None => Err(self.account_not_found(ledger, asked).await),
        }
    }

    /// Says that there is no such account, with a name near to it where there is one. That the
    /// search fails is no reason to say anything else.
    pub(crate) async fn account_not_found(&self, ledger: &LedgerName, asked: &AccountRef) -> Fault {
        let account = match asked {
            AccountRef::Name(name) => name.as_str().to_owned(),
            AccountRef::Number(number) => format!("#{}", number.0),
        };
        let did_you_mean = match asked {
            AccountRef::Name(_) => self.near(ledger, &account).await,
            AccountRef::Number(_) => None,
        };
        Fault::AccountNotFound {
            ledger: ledger.clone(),
            account,
            did_you_mean,
        }
    }

    /// Looks among the names beside it (same parent path), then among the ledger's first ones.
    async fn near(&self, ledger: &LedgerName, name: &str) -> Option<String> {
        let parent = name.rfind(':').map_or("", |at| &name[..=at]);
        let root = name.find(':').map_or("", |at| &name[..=at]);
        let mut searched = Vec::new();
        for prefix in [parent, root, ""] {
            if searched.contains(&prefix) {
                continue;
            }
            searched.push(prefix);
            let filter = AccountFilter {
                prefix: prefix.to_owned(),
                ..AccountFilter::default()
            };
            let beside = self
                .views()
                .accounts(ledger, &filter, LOOKED_AT)
                .await
                .ok()?;
            let best = beside
                .iter()
                .map(|account| account.terms.name.as_str())
                .map(|other| (strsim::jaro_winkler(name, other), other))
                .filter(|(alike, _)| *alike >= ALIKE)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, best)) = best {
                return Some(best.to_owned());
            }
        }
        None
    }
}
