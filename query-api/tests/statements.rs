//! Statements: against a naive scan, over pages, and made again.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Server, posted, request, sums, time, without_words};
use ledger_core::time::Timestamp;
use ports::memory::ACCOUNTS;
use schemas::proto::v1;
use v1::get_statement_request::By;

/// All pages of a statement as one.
async fn whole(server: &Server, mut asked: v1::GetStatementRequest) -> v1::GetStatementResponse {
    let mut statement: Option<v1::GetStatementResponse> = None;
    loop {
        let reply = server.api.get_statement(request(asked.clone()));
        let mut page = reply.await.unwrap();
        page.lines = without_words(page.lines);
        asked.page_token = page.page.clone().unwrap().next_page_token;
        statement = Some(match statement {
            None => page,
            Some(mut all) => {
                assert_eq!(all.opening_balance, page.opening_balance);
                assert_eq!(all.closing_balance, page.closing_balance);
                assert_eq!(all.ledger_sequence, page.ledger_sequence);
                all.lines.extend(page.lines);
                all
            }
        });
        if asked.page_token.is_empty() {
            return statement.unwrap();
        }
    }
}

fn asked(
    account: u32,
    by: By,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> v1::GetStatementRequest {
    v1::GetStatementRequest {
        ledger: "bank".to_owned(),
        account: format!("#{account}"),
        by: by.into(),
        from: from.and_then(time),
        to: to.and_then(time),
        ..v1::GetStatementRequest::default()
    }
}

#[tokio::test]
async fn statements_are_what_a_scan_of_the_log_says() {
    for seed in 0..12 {
        let server = Server::new(1).await;
        let mut books = server.books("bank", seed);
        books.write(150).await;
        let moved = posted(&server, "bank").await;
        for _ in 0..12 {
            let account = 1 + books.below(5) as u32;
            let (a, b) = (books.instant(), books.instant());
            let from = (books.below(4) > 0).then_some(a.min(b));
            let to = (books.below(4) > 0 && a != b).then_some(a.max(b));
            for by in [By::Recorded, By::Effective] {
                let mut asked = asked(account, by, from, to);
                asked.page_size = [0, 1, 3][books.below(3) as usize];
                let statement = whole(&server, asked).await;
                let at = |m: &common::Moved| match by {
                    By::Effective => m.effective_at,
                    _ => m.recorded_at,
                };
                let is_debit = matches!(
                    ACCOUNTS[account as usize - 1].2,
                    ledger_core::account::AccountType::Asset
                );
                let net = |(debits, credits): (ledger_core::amount::Amount, _)| {
                    let net = debits.signed_sub(credits);
                    if is_debit { net } else { -net }
                };
                let opening = net(sums(&moved, account, |m| from.is_some_and(|f| at(m) < f)));
                let closing = net(sums(&moved, account, |m| to.is_none_or(|t| at(m) < t)));
                let place = format!("seed {seed}, account {account}, {by:?}, {from:?} to {to:?}");
                assert_eq!(statement.opening_balance, opening.to_string(), "{place}");
                assert_eq!(statement.closing_balance, closing.to_string(), "{place}");
                let mut expected: Vec<_> = moved
                    .iter()
                    .filter(|m| m.account.0 == account)
                    .filter(|m| from.is_none_or(|f| at(m) >= f) && to.is_none_or(|t| at(m) < t))
                    .collect();
                expected.sort_by_key(|m| at(m));
                let mut balance = opening;
                assert_eq!(statement.lines.len(), expected.len(), "{place}");
                for (line, moved) in statement.lines.iter().zip(expected) {
                    let change = moved.amount as i128;
                    balance += if moved.debit == is_debit {
                        change
                    } else {
                        -change
                    };
                    assert_eq!(line.transaction_id, moved.transaction, "{place}");
                    assert_eq!(line.amount, moved.amount.to_string(), "{place}");
                    assert_eq!(line.balance, balance.to_string(), "{place}");
                }
                assert_eq!(statement.closing_balance, balance.to_string(), "{place}");
            }
        }
    }
}

#[tokio::test]
async fn a_statement_is_made_again_identically_whatever_was_recorded_since() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 4);
    books.write(150).await;
    let (from, to) = (books.instant(), books.instant());
    let (from, to) = (from.min(to), from.max(to));
    let mut first = Vec::new();
    for account in 1..=5 {
        for by in [By::Recorded, By::Effective] {
            let asked = asked(account, by, Some(from), Some(to));
            first.push((asked.clone(), whole(&server, asked).await));
        }
    }
    // Back-dated ones among them.
    books.write(150).await;
    let mut changed = 0;
    for (mut asked, before) in first {
        changed += usize::from(whole(&server, asked.clone()).await.lines != before.lines);
        asked.at_ledger_sequence = before.ledger_sequence;
        asked.page_size = 2;
        let again = whole(&server, asked).await;
        assert_eq!(again.lines, before.lines);
        assert_eq!(
            (
                again.opening_balance,
                again.closing_balance,
                again.total_debits
            ),
            (
                before.opening_balance,
                before.closing_balance,
                before.total_debits
            )
        );
    }
    assert!(changed > 0, "what came since shows in new statements");
}

#[tokio::test]
async fn pages_go_on_as_the_first_was_made() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 11);
    books.write(120).await;
    for by in [By::Recorded, By::Effective] {
        let mut asked = asked(1, by, None, None);
        let before = whole(&server, asked.clone()).await;
        asked.page_size = 5;
        let mut lines = Vec::new();
        loop {
            let reply = server.api.get_statement(request(asked.clone()));
            let page = reply.await.unwrap();
            lines.extend(without_words(page.lines));
            asked.page_token = page.page.unwrap().next_page_token;
            if asked.page_token.is_empty() {
                break;
            }
            books.write(10).await;
        }
        assert_eq!(lines, before.lines, "{by:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 4);
    books.write(5).await;
    let at = books.instant();
    let backwards = asked(1, By::Recorded, Some(at), Some(at));
    let refused = server
        .api
        .get_statement(request(backwards))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let mut ahead = asked(1, By::Recorded, None, None);
    ahead.at_ledger_sequence = 10_000;
    let refused = server.api.get_statement(request(ahead)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    assert!(
        refused.message().starts_with("SEQUENCE_NOT_REACHED"),
        "{refused}"
    );
}
