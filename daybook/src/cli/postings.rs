//! Postings and amounts on the command line.

use ledger_core::asset::Asset;
use schemas::proto::v1::*;

use crate::client::failure::Failure;
use crate::client::money::Written;
use crate::client::rpc;
use crate::client::session::Session;

/// What moves from where to where.
#[derive(Debug, Clone, clap::Args)]
pub struct PostingArgs {
    /// The debit account.
    #[arg(long, value_name = "ACCOUNT", requires = "to")]
    from: Option<String>,
    /// The credit account.
    #[arg(long, value_name = "ACCOUNT", requires = "from")]
    to: Option<String>,
    /// How much, such as 12.50 USD.
    #[arg(num_args = 0..=2, value_name = "AMOUNT")]
    amount: Vec<String>,
    /// Move up to AMOUNT: what the accounts' limits allow.
    #[arg(long, requires = "from")]
    up_to: bool,
    /// With --up-to: refuse when less than this could be moved.
    #[arg(long, value_name = "AMOUNT", requires = "up_to")]
    at_least: Option<String>,
    /// A posting, 'DEBIT CREDIT AMOUNT' or 'DEBIT CREDIT up to AMOUNT'; several make one
    /// transaction.
    #[arg(long = "posting", value_name = "POSTING", conflicts_with_all = ["from", "to", "amount"])]
    postings: Vec<String>,
}

struct Said {
    debit: String,
    credit: String,
    amount: String,
    up_to: bool,
}

impl PostingArgs {
    fn said(&self) -> Result<Vec<Said>, Failure> {
        let form = "--from ACCOUNT --to ACCOUNT 12.50 USD, or --posting 'DEBIT CREDIT 12.50 USD'";
        if let (Some(debit), Some(credit)) = (&self.from, &self.to) {
            if self.amount.is_empty() {
                return Err(Failure::usage("the amount is missing").hint(form));
            }
            return Ok(vec![Said {
                debit: debit.clone(),
                credit: credit.clone(),
                amount: self.amount.join(" "),
                up_to: self.up_to,
            }]);
        }
        if self.postings.is_empty() {
            return Err(Failure::usage("a transaction needs a posting").hint(form));
        }
        self.postings
            .iter()
            .map(|text| {
                let mut words = text.splitn(3, char::is_whitespace);
                let (Some(debit), Some(credit), Some(rest)) =
                    (words.next(), words.next(), words.next())
                else {
                    return Err(Failure::usage(format!("{text:?} is not a posting"))
                        .hint("write --posting 'DEBIT CREDIT 12.50 USD'"));
                };
                let most = rest.trim().strip_prefix("up to ");
                Ok(Said {
                    debit: debit.to_owned(),
                    credit: credit.to_owned(),
                    amount: most.unwrap_or(rest).to_owned(),
                    up_to: most.is_some(),
                })
            })
            .collect()
    }

    /// The postings as the API takes them, and the accounts as they are before.
    ///
    /// # Errors
    /// An account is not known, or an amount cannot be read.
    pub async fn specs(
        &self,
        session: &Session,
    ) -> Result<(Vec<PostingSpec>, Vec<Account>), Failure> {
        let said = self.said()?;
        let names = said
            .iter()
            .flat_map(|p| [p.debit.clone(), p.credit.clone()]);
        let accounts = accounts(session, names.collect()).await?;
        let specs = said
            .iter()
            .map(|posting| {
                let minor = minor_of(&accounts, &posting.debit, &posting.amount)?;
                let asset = asset(&accounts, &posting.debit)?;
                let amount = match posting.up_to {
                    false => posting_spec::AmountSpec::Amount(minor),
                    true => posting_spec::AmountSpec::UpTo(UpTo {
                        most: minor,
                        at_least: match &self.at_least {
                            Some(text) => minor_of(&accounts, &posting.debit, text)?,
                            None => String::new(),
                        },
                    }),
                };
                Ok(PostingSpec {
                    debit: posting.debit.clone(),
                    credit: posting.credit.clone(),
                    asset: asset.to_string(),
                    amount_spec: Some(amount),
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok((specs, accounts))
    }
}

fn asset(accounts: &[Account], name: &str) -> Result<Asset, Failure> {
    let account = accounts
        .iter()
        .find(|account| account.name == name || format!("#{}", account.number) == name)
        .ok_or_else(|| Failure::usage(format!("account {name} is not known")))?;
    Asset::parse(&account.asset).map_err(|invalid| Failure::broken(invalid.to_string()))
}

/// An amount as written, in minor units of the account's asset.
///
/// # Errors
/// It cannot be read.
pub fn minor_of(accounts: &[Account], account: &str, text: &str) -> Result<String, Failure> {
    let amount = Written::parse(text)?.minor(&asset(accounts, account)?)?;
    Ok(amount.to_string())
}

async fn accounts(session: &Session, mut names: Vec<String>) -> Result<Vec<Account>, Failure> {
    names.sort();
    names.dedup();
    let request = BatchGetAccountsRequest {
        ledger: session.ledger(),
        accounts: names,
        consistency: None,
    };
    Ok(session
        .call(rpc::BATCH_GET_ACCOUNTS, request)
        .await?
        .accounts)
}

/// Part amounts of a hold or a posted transaction, and (for a dry run) its accounts before.
///
/// # Errors
/// The transaction is not known, or an amount cannot be read.
pub async fn amounts_of(
    session: &Session,
    id: &str,
    amount: &[String],
    of: &[String],
    with_accounts: bool,
) -> Result<(Vec<PostingAmount>, Vec<Account>), Failure> {
    if amount.is_empty() && of.is_empty() && !with_accounts {
        return Ok((Vec::new(), Vec::new()));
    }
    let request = GetTransactionRequest {
        ledger: session.ledger(),
        transaction_id: id.to_owned(),
        consistency: None,
    };
    let transaction = session.call(rpc::GET_TRANSACTION, request).await?;
    let minor = |index: usize, text: &str| {
        let count = transaction.postings.len();
        let posting = transaction.postings.get(index).ok_or_else(|| {
            Failure::usage(format!(
                "transaction {id} has {count} postings, from 0; there is no posting {index}"
            ))
        })?;
        let asset =
            Asset::parse(&posting.asset).map_err(|invalid| Failure::broken(invalid.to_string()))?;
        Ok::<_, Failure>(PostingAmount {
            posting: index as u32,
            amount: Written::parse(text)?.minor(&asset)?.to_string(),
        })
    };
    let mut amounts = Vec::new();
    if !amount.is_empty() {
        if transaction.postings.len() != 1 {
            return Err(Failure::usage(format!(
                "transaction {id} has {} postings: say how much of which",
                transaction.postings.len()
            ))
            .hint("--of 0=12.50"));
        }
        amounts.push(minor(0, &amount.join(" "))?);
    }
    for text in of {
        let (index, amount) = super::options::pair(text)?;
        let index = index
            .parse()
            .map_err(|_| Failure::usage(format!("{index:?} is not the index of a posting")))?;
        amounts.push(minor(index, amount)?);
    }
    let names = transaction
        .postings
        .iter()
        .flat_map(|p| [p.debit.clone(), p.credit.clone()])
        .collect();
    let accounts = match with_accounts {
        true => accounts(session, names).await?,
        false => Vec::new(),
    };
    Ok((amounts, accounts))
}
