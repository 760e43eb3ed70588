//! Reading them.

use async_trait::async_trait;
use ledger_core::account::{Account, AccountNumber};
use ledger_core::facts::{Facts, FactsNeeded, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Timestamp};

use super::MemoryViews;
use crate::projection::{HeadRow, HistoryRow, PlaceRow, ProjectionError};
use crate::views::{
    AccountFilter, DayBucket, FactsSource, HistoryRange, LedgerProgress, LedgerView,
    TransactionFilter, TransactionView, Views,
};

#[async_trait]
impl Views for MemoryViews {
    async fn progress(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<LedgerProgress>, ProjectionError> {
        let models = self.models();
        let found = models.ledgers.get(ledger);
        Ok(found.and_then(|ledger| {
            Some(LedgerProgress {
                checkpoint: *models.checkpoints.get(&ledger.shard)?,
                head: ledger.head?,
            })
        }))
    }

    async fn ledger(&self, ledger: &LedgerName) -> Result<Option<LedgerView>, ProjectionError> {
        Ok(self.of(ledger, |ledger| ledger.view.clone()).flatten())
    }

    async fn ledgers(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<LedgerView>, ProjectionError> {
        let models = self.models();
        let views = models.ledgers.values().filter_map(|l| l.view.clone());
        Ok(views
            .filter(|view| after.is_none_or(|after| view.name.as_str() > after))
            .take(most)
            .collect())
    }

    async fn account(
        &self,
        ledger: &LedgerName,
        name: &str,
    ) -> Result<Option<Account>, ProjectionError> {
        let found = self.of(ledger, |ledger| {
            ledger.accounts.get(ledger.names.get(name)?).cloned()
        });
        Ok(found.flatten())
    }

    async fn accounts_by_number(
        &self,
        ledger: &LedgerName,
        numbers: &[AccountNumber],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        let found = self.of(ledger, |ledger| {
            let accounts = numbers.iter();
            accounts.map(|n| ledger.accounts.get(n).cloned()).collect()
        });
        Ok(found.unwrap_or_else(|| vec![None; numbers.len()]))
    }

    async fn accounts(
        &self,
        ledger: &LedgerName,
        filter: &AccountFilter,
        most: usize,
    ) -> Result<Vec<Account>, ProjectionError> {
        let passes = |account: &&Account| {
            account.terms.name.as_str().starts_with(&filter.prefix)
                && filter
                    .asset
                    .is_none_or(|asset| account.terms.asset == asset)
                && filter
                    .account_type
                    .is_none_or(|of| account.terms.account_type == of)
                && filter.status.is_none_or(|status| account.status == status)
                && filter.after.is_none_or(|after| account.number > after)
                && filter
                    .through
                    .is_none_or(|through| account.number <= through)
        };
        let found = self.of(ledger, |ledger| {
            let accounts = ledger.accounts.values().filter(passes);
            accounts.take(most).cloned().collect()
        });
        Ok(found.unwrap_or_default())
    }

    async fn transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ProjectionError> {
        let found = self.of(ledger, |ledger| {
            ledger.transactions.get(&id).map(|(view, _)| view.clone())
        });
        Ok(found.flatten())
    }

    async fn key(
        &self,
        ledger: &LedgerName,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyEntry>, ProjectionError> {
        Ok(self.of(ledger, |ledger| ledger.key(key)).flatten())
    }

    async fn transactions(
        &self,
        ledger: &LedgerName,
        filter: &TransactionFilter,
        most: usize,
    ) -> Result<Vec<TransactionView>, ProjectionError> {
        let place = |view: &TransactionView| (view.ledger_sequence, view.transaction.id);
        let passes = |view: &&TransactionView| {
            let effective_at = view.transaction.effective_at;
            filter.status.is_none_or(|s| view.transaction.status == s)
                && filter.effective_from.is_none_or(|at| effective_at >= at)
                && filter.effective_to.is_none_or(|at| effective_at <= at)
                && filter.recorded_from.is_none_or(|at| view.recorded_at >= at)
                && filter.recorded_to.is_none_or(|at| view.recorded_at <= at)
                && filter
                    .through
                    .is_none_or(|through| view.ledger_sequence <= through)
                && filter.after.is_none_or(|after| {
                    if filter.oldest_first {
                        place(view) > after
                    } else {
                        place(view) < after
                    }
                })
        };
        let found = self.of(ledger, |ledger| {
            let all = ledger.transactions.values().map(|(view, _)| view);
            let mut found: Vec<TransactionView> = all.filter(passes).cloned().collect();
            found.sort_by_key(place);
            if !filter.oldest_first {
                found.reverse();
            }
            found.truncate(most);
            found
        });
        Ok(found.unwrap_or_default())
    }

    async fn history(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        if range.from > range.through {
            return Ok(Vec::new());
        }
        let found = self.of(ledger, |ledger| {
            let rows = ledger
                .history
                .range((account, range.from)..=(account, range.through))
                .map(|(_, row)| row.clone());
            if range.newest_first {
                rows.rev().take(most).collect()
            } else {
                rows.take(most).collect()
            }
        });
        Ok(found.unwrap_or_default())
    }

    async fn history_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        let found = self.of(ledger, |ledger| {
            let rows = ledger.history.range((account, 0)..=(account, u64::MAX));
            rows.rev()
                .map(|(_, row)| row)
                .find(|row| row.recorded_at <= at)
                .cloned()
        });
        Ok(found.flatten())
    }

    async fn days(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        from: Day,
        through: Day,
        most: usize,
    ) -> Result<Vec<DayBucket>, ProjectionError> {
        if from > through {
            return Ok(Vec::new());
        }
        let found = self.of(ledger, |ledger| {
            let buckets = ledger.days.range((account, from)..=(account, through));
            buckets.map(|(_, bucket)| *bucket).take(most).collect()
        });
        Ok(found.unwrap_or_default())
    }

    async fn place(
        &self,
        ledger: &LedgerName,
        ledger_sequence: u64,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        let found = self.of(ledger, |ledger| {
            let places = ledger.places.range(..=ledger_sequence);
            places.last().map(|(_, place)| *place)
        });
        Ok(found.flatten())
    }

    async fn place_at(
        &self,
        ledger: &LedgerName,
        at: Timestamp,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        Ok(self.of(ledger, |ledger| ledger.place_before(at)).flatten())
    }

    async fn heads(&self, shard: u32) -> Result<Vec<(LedgerName, HeadRow)>, ProjectionError> {
        let models = self.models();
        let ledgers = models.ledgers.iter().filter(|(_, l)| l.shard == shard);
        Ok(ledgers
            .filter_map(|(name, ledger)| Some((name.clone(), ledger.head?)))
            .collect())
    }
}

#[async_trait]
impl FactsSource for MemoryViews {
    async fn load(
        &self,
        shard: u32,
        ledger: &LedgerName,
        needed: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError> {
        let models = self.models();
        let mut facts = Facts {
            through: models.checkpoints.get(&shard).map_or(0, |at| at.sequence),
            ..Facts::default()
        };
        let Some(ledger) = models.ledgers.get(ledger) else {
            return Ok(facts);
        };
        for needed in needed {
            if let Some(key) = &needed.key
                && let Some(entry) = ledger.key(key)
            {
                facts.keys.insert(key.clone(), entry);
            }
            for id in &needed.transactions {
                if let Some((view, _)) = ledger.transactions.get(id) {
                    facts.transactions.insert(*id, view.transaction.clone());
                }
            }
        }
        Ok(facts)
    }
}
