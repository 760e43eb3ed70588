//! Patterns over account names, and the types of accounts that an import opens.

use std::str::FromStr;

use clap::ValueEnum as _;
use schemas::proto::v1::AccountType;

use crate::cli::TypeArg;

/// Accounts whose names match are opened with this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRule {
    pattern: String,
    /// The type.
    pub account_type: AccountType,
}

impl FromStr for TypeRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, account_type) = text
            .split_once('=')
            .ok_or("write PATTERN=TYPE, such as 'customers:**=liability'")?;
        let account_type = TypeArg::from_str(account_type, true).map_err(|_| {
            format!("{account_type:?} is not asset, liability, equity, income, expense or memo")
        })?;
        Ok(Self {
            pattern: pattern.to_owned(),
            account_type: account_type.into(),
        })
    }
}

impl TypeRule {
    /// True when the rule speaks of `name`.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.pattern, name)
    }
}

/// `*` is one segment, `**` at the end any rest.
fn matches(pattern: &str, name: &str) -> bool {
    let mut names = name.split(':');
    let mut parts = pattern.split(':').peekable();
    while let Some(part) = parts.next() {
        if part == "**" && parts.peek().is_none() {
            return names.next().is_some();
        }
        match names.next() {
            Some(own) if part == "*" || part == own => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_segment() {
        for (pattern, name, expected) in [
            ("**", "a:b", true),
            ("customers:**", "customers:1:cash", true),
            ("customers:**", "customers", false),
            ("customers:*:cash", "customers:1:cash", true),
            ("customers:*:cash", "customers:1:card", false),
            ("customers:*", "customers:1:cash", false),
            ("bank", "bank", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!("customers:**=money".parse::<TypeRule>().is_err());
        let rule: TypeRule = "a:**=asset".parse().unwrap();
        assert_eq!(rule.account_type, AccountType::Asset);
    }
}
