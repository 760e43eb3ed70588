//! Refusals as friendly sentences.

use ledger_core::rejection::Rejection;

/// What a refusal says, with its figures: `The account's available balance would fall below its
/// minimum (account customers:42, available 100, required 500).`
pub fn sentence(rejection: &Rejection) -> String {
    let mut text = rejection.code.meaning().trim_end_matches('.').to_owned();
    let member = rejection.member.iter();
    let member = member.map(|index| ("member".to_owned(), index.to_string()));
    let figures = rejection
        .figures
        .iter()
        .map(|(name, value)| (name.replace('_', " "), value.clone()))
        .chain(member);
    let mut open = false;
    for (name, value) in figures {
        text.push_str(if open { ", " } else { " (" });
        text.push_str(&name);
        text.push(' ');
        text.push_str(&value);
        open = true;
    }
    text.push_str(if open { ")." } else { "." });
    text
}
