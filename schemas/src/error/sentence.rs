//! Refusals as friendly sentences.

use ledger_core::rejection::{Code, Rejection};

/// What to say, with the names of figures in braces; nothing for the code's own meaning. A
/// refusal that lacks one of the figures is told by its meaning too.
const fn template(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::LedgerAlreadyExists => "ledger {ledger} exists already",
        Code::AccountNotFound => "account {account} was never opened in this ledger",
        Code::TransactionNotFound => "transaction {transaction} is not in this ledger",
        Code::BalanceConditionFailed => {
            "the {balance} balance of account {account} is {actual}, and the command demands \
             {comparison} {demanded}"
        }
        Code::AccountAlreadyExists => {
            "account {account} was opened before, as number {number}; names are never used again"
        }
        Code::AssetExponentConflict => "asset {asset} is {known} in this ledger, for ever",
        Code::AccountAlreadyClosed => "account {account} is closed already",
        Code::AccountNotClosed => "account {account} is not closed",
        Code::AccountNotFrozen => "account {account} is not frozen",
        Code::AccountHasHolds => "account {account} still has {holds} open holds",
        Code::AccountNotEmpty => "account {account} still has a balance of {balance}",
        Code::TransactionNotAHold => "transaction {transaction} is not a hold",
        Code::HoldAlreadyPosted => "hold {transaction} has ended, with something captured",
        Code::HoldAlreadyVoided => "hold {transaction} was voided",
        Code::HoldExpired => "hold {transaction} has expired",
        Code::PeriodClosed => {
            "the books are closed through {closed_through}, and {effective_at} lies before"
        }
        Code::ExpiryInPast => "the hold would expire at {expires_at}, and it is {now} already",
        Code::AmountNotPositive => "the amount of posting {posting} is zero",
        Code::SameAccount => "posting {posting} debits and credits the same account, {account}",
        Code::AssetMismatch => {
            "posting {posting} is between accounts of {debit_asset} and {credit_asset}"
        }
        Code::AccountClosed => "account {account} is closed",
        Code::AccountFrozen => "account {account} is frozen",
        Code::CaptureExceedsHold => {
            "{required} were to be captured of posting {posting}, of which {left} are left"
        }
        Code::NothingToCapture => "nothing is left of hold {transaction} to capture",
        Code::ReversalExceedsOriginal => {
            "{required} were to be taken back of posting {posting}, of which {left} are left"
        }
        Code::NothingToReverse => "all of transaction {transaction} was taken back already",
        Code::BalanceOverflow => {
            "a total of account {account} would pass the largest number there is"
        }
        Code::TransactionLimitExceeded => {
            "account {account} allows {limit} in one transaction, and this one needs {required}"
        }
        Code::VelocityLimitExceeded => {
            "account {account} allows {limit} of {direction} per {window}; {counted} have flowed \
             already, and this needs {required}"
        }
        Code::InsufficientFunds => {
            "account {account} has {available} available, and {required} would leave less than \
             its minimum of {minimum}"
        }
        Code::BalanceLimitExceeded => {
            "account {account} has a balance of {balance}, and {required} more would pass its \
             maximum of {maximum}"
        }
        _ => return None,
    })
}

/// What a refusal says, with its figures (amounts in minor units): `account customers:42 has 100
/// available, and 500 would leave less than its minimum of 0`.
pub fn sentence(rejection: &Rejection) -> String {
    let filled = template(rejection.code).and_then(|template| fill(template, rejection));
    let (mut text, told) = filled.unwrap_or_else(|| {
        let meaning = rejection.code.meaning().trim_end_matches('.');
        (meaning.to_owned(), Vec::new())
    });
    let rest = rejection
        .figures
        .iter()
        .filter(|(name, _)| !told.contains(&name.as_ref()))
        .map(|(name, value)| format!("{} {value}", name.replace('_', " ")))
        .chain(rejection.member.map(|index| format!("member {index}")));
    let rest: Vec<String> = rest.collect();
    if !rest.is_empty() {
        text = format!("{text} ({})", rest.join(", "));
    }
    text
}

/// `template` with figures in place of their names, and which it told; nothing where one lacks.
fn fill(template: &'static str, rejection: &Rejection) -> Option<(String, Vec<&'static str>)> {
    let mut parts = template.split(['{', '}']);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut told = Vec::new();
    while let Some(wanted) = parts.next() {
        let (_, value) = rejection.figures.iter().find(|(name, _)| name == wanted)?;
        text.push_str(value);
        text.push_str(parts.next().unwrap_or_default());
        told.push(wanted);
    }
    Some((text, told))
}
