//! The trial balance: every account's balance on the side where it stands, and both sums.

use std::collections::BTreeMap;

use ledger_core::account::{Account, NormalSide, Totals};
use ledger_core::asset::Asset;
use schemas::api::view;
use schemas::error::Fault;
use schemas::limits::TRIAL_BALANCE_ACCOUNTS_MAX;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::AsOf;
use super::sweep::Sum;
use super::wide::Wide;
use crate::QueryApi;
use crate::consistency::Freshness;
use crate::deadline::Deadline;
use crate::pattern::Pattern;

impl QueryApi {
    /// The trial balance of a ledger, now or as of either time or both; STRONG where the caller
    /// does not say. Of one state of the ledger, so its totals are equal, whatever is written
    /// meanwhile.
    ///
    /// # Errors
    /// The status of the [`Fault`]; REPLY_TOO_LARGE above [`TRIAL_BALANCE_ACCOUNTS_MAX`].
    pub async fn get_trial_balance(
        &self,
        request: Request<v1::GetTrialBalanceRequest>,
    ) -> Result<v1::GetTrialBalanceResponse, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let as_of = AsOf::parse(request.as_of.as_ref())?;
        let freshness = self.freshness(request.consistency, Freshness::Strong)?;
        let book = self.open(&request.ledger, freshness, deadline).await?;
        let pattern = Pattern::parse("", "pattern")?;
        let (mut trial, book): (Trial, _) = self.sweep(book, &pattern, as_of, deadline).await?;
        trial
            .lines
            .sort_by(|a, b| (a.asset, &a.account).cmp(&(b.asset, &b.account)));
        Ok(v1::GetTrialBalanceResponse {
            lines: trial.lines.into_iter().map(Line::shown).collect(),
            totals: trial
                .totals
                .into_iter()
                .map(|(asset, (debits, credits))| v1::TrialBalanceTotal {
                    asset: asset.to_string(),
                    debits: debits.to_string(),
                    credits: credits.to_string(),
                    balanced: debits == credits,
                })
                .collect(),
            position: Some(self.position(&book)),
        })
    }
}

#[derive(Default)]
struct Trial {
    lines: Vec<Line>,
    totals: BTreeMap<Asset, (Wide, Wide)>,
}

struct Line {
    account: String,
    account_type: v1::AccountType,
    asset: Asset,
    /// Which side, and how much.
    balance: (NormalSide, u128),
}

impl Sum for Trial {
    fn add(&mut self, account: &Account, totals: &Totals) -> Result<(), Fault> {
        if self.lines.len() == TRIAL_BALANCE_ACCOUNTS_MAX {
            return Err(Fault::ReplyTooLarge {
                what: "accounts",
                most: TRIAL_BALANCE_ACCOUNTS_MAX as u64,
            });
        }
        let debit = totals.posted(NormalSide::Debit);
        let side = match debit {
            0 => account.normal_side(),
            1.. => NormalSide::Debit,
            _ => NormalSide::Credit,
        };
        let amount = debit.unsigned_abs();
        let (debits, credits) = self.totals.entry(account.terms.asset).or_default();
        match side {
            NormalSide::Debit => debits.add(amount),
            NormalSide::Credit => credits.add(amount),
        }
        self.lines.push(Line {
            account: account.terms.name.as_str().to_owned(),
            account_type: view::account_type(account.terms.account_type),
            asset: account.terms.asset,
            balance: (side, amount),
        });
        Ok(())
    }
}

impl Line {
    fn shown(self) -> v1::TrialBalanceLine {
        let (side, amount) = self.balance;
        let on = |of| match side == of {
            true => amount.to_string(),
            false => String::new(),
        };
        v1::TrialBalanceLine {
            account: self.account,
            r#type: self.account_type.into(),
            asset: self.asset.to_string(),
            debit_balance: on(NormalSide::Debit),
            credit_balance: on(NormalSide::Credit),
        }
    }
}
