//! Names of accounts by number. They never change, so they are remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ledger_core::account::AccountNumber;
use ledger_core::asset::Asset;
use ledger_core::name::{AccountName, LedgerName};
use schemas::error::Fault;

use crate::{QueryApi, fail};

/// Names of one half of the cache: some 10 MB where all is full.
const HALF: usize = 32_768;
/// Names that are asked for at once.
const CHUNK: usize = 500;

/// What of an account never changes.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: AccountName,
    pub(crate) asset: Asset,
}

/// Remembers names: two halves, of which the older is dropped when the newer is full.
#[derive(Debug, Default)]
pub(crate) struct NameCache {
    halves: Mutex<Halves>,
}

type Half = HashMap<(LedgerName, AccountNumber), Named>;

#[derive(Debug, Default)]
struct Halves {
    new: Half,
    old: Half,
}

impl Halves {
    fn get(&mut self, key: &(LedgerName, AccountNumber)) -> Option<Named> {
        if let Some(named) = self.new.get(key) {
            return Some(named.clone());
        }
        let named = self.old.get(key)?.clone();
        self.put(key.clone(), named.clone());
        Some(named)
    }

    fn put(&mut self, key: (LedgerName, AccountNumber), named: Named) {
        if self.new.len() >= HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, named);
    }
}

/// Names that an answer needs.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<AccountNumber, Named>);

impl Names {
    /// The name and asset of `number`, as replies show them.
    pub(crate) fn of(&self, number: AccountNumber) -> Option<(String, Asset)> {
        let named = self.0.get(&number)?;
        Some((named.name.as_str().to_owned(), named.asset))
    }

    /// The name of `number`; its number where the name is not known, which only a read model
    /// that is damaged can bring about.
    pub(crate) fn name(&self, number: AccountNumber) -> String {
        match self.0.get(&number) {
            Some(named) => named.name.as_str().to_owned(),
            None => format!("#{}", number.0),
        }
    }
}

impl QueryApi {
    /// The names of `numbers` in `ledger`.
    pub(crate) async fn names(
        &self,
        ledger: &LedgerName,
        numbers: impl IntoIterator<Item = AccountNumber>,
    ) -> Result<Names, Fault> {
        let mut names = Names::default();
        let mut missing: Vec<AccountNumber> = Vec::new();
        {
            let mut halves = self
                .names
                .halves
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for number in numbers {
                if names.0.contains_key(&number) {
                    continue;
                }
                match halves.get(&(ledger.clone(), number)) {
                    Some(named) => drop(names.0.insert(number, named)),
                    None => missing.push(number),
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        metrics::counter!("daybook_name_cache_hits_total").increment(names.0.len() as u64);
        metrics::counter!("daybook_name_cache_misses_total").increment(missing.len() as u64);
        for chunk in missing.chunks(CHUNK) {
            let accounts = self
                .views()
                .accounts_by_number(ledger, chunk)
                .await
                .map_err(fail::views)?;
            let mut halves = self
                .names
                .halves
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for account in accounts.into_iter().flatten() {
                let named = Named {
                    name: account.terms.name,
                    asset: account.terms.asset,
                };
                halves.put((ledger.clone(), account.number), named.clone());
                names.0.insert(account.number, named);
            }
        }
        Ok(names)
    }
}
