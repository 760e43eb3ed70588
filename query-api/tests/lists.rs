//! Lists: filters, pages that stay as they were under writes, tokens of other requests.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{Server, request, strong};
use ledger_core::account::AccountType;
use ports::memory::ACCOUNTS;
use schemas::proto::v1;
use tonic::{Code, Status};

fn reason(status: &Status) -> String {
    status
        .message()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned()
}

async fn accounts(server: &Server, asked: v1::ListAccountsRequest) -> v1::ListAccountsResponse {
    server.api.list_accounts(request(asked)).await.unwrap()
}

fn list(pattern: &str) -> v1::ListAccountsRequest {
    v1::ListAccountsRequest {
        ledger: "bank".to_owned(),
        pattern: pattern.to_owned(),
        consistency: strong(),
        ..v1::ListAccountsRequest::default()
    }
}

#[tokio::test]
async fn accounts_are_filtered_by_everything() {
    let server = Server::new(1).await;
    let _books = server.books("bank", 1);
    server.scribe.commit().await;
    let names = |reply: v1::ListAccountsResponse| -> Vec<String> {
        reply.accounts.into_iter().map(|a| a.name).collect()
    };
    let all: Vec<&str> = ACCOUNTS.iter().map(|a| a.0).collect();
    assert_eq!(names(accounts(&server, list("")).await), all);
    assert_eq!(
        names(accounts(&server, list("customers:*:checking")).await),
        ["customers:1:checking", "customers:2:checking"]
    );
    assert_eq!(
        names(accounts(&server, list("cash:**")).await),
        ["cash:euro"]
    );
    let mut of = list("");
    of.asset = "EUR/2".to_owned();
    assert_eq!(
        names(accounts(&server, of.clone()).await),
        ["cash:euro", "customers:1:euro"]
    );
    of.r#type = v1::AccountType::Liability.into();
    assert_eq!(
        names(accounts(&server, of.clone()).await),
        ["customers:1:euro"]
    );
    of.status = v1::AccountStatus::Closed.into();
    assert!(names(accounts(&server, of).await).is_empty());
    let mut of = list("");
    of.metadata_key = "tier".to_owned();
    assert!(names(accounts(&server, of).await).is_empty());
}

#[tokio::test]
async fn pages_of_accounts_do_not_show_what_is_opened_since() {
    let server = Server::new(1).await;
    let books = server.books("bank", 1);
    server.scribe.commit().await;
    let mut asked = list("");
    asked.page_size = 2;
    let mut seen = Vec::new();
    let mut sequences = BTreeSet::new();
    for n in 0.. {
        let reply = accounts(&server, asked.clone()).await;
        seen.extend(reply.accounts.iter().map(|account| account.number));
        let page = reply.page.unwrap();
        sequences.insert(page.ledger_sequence);
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
        server.scribe.wait(1_000);
        books.open_account(&format!("later:{n}"), "USD/2", AccountType::Asset);
        server.scribe.commit().await;
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(sequences.len(), 1, "all pages are as of one record");
    assert_eq!(accounts(&server, list("later:*")).await.accounts.len(), 2);
}

#[tokio::test]
async fn a_filter_that_passes_few_gives_short_pages_and_ends() {
    let server = Server::new(1).await;
    let books = server.books("bank", 1);
    for n in 0..1_200 {
        books.open_account(&format!("shelf:{n}"), "USD/2", AccountType::Memo);
    }
    server.scribe.commit().await;
    let mut asked = list("shelf:*");
    asked.page_size = 1_000;
    let first = accounts(&server, asked.clone()).await;
    assert_eq!(first.accounts.len(), 1_000);
    asked.page_token = first.page.unwrap().next_page_token;
    let second = accounts(&server, asked).await;
    assert_eq!(second.accounts.len(), 200);
    assert!(second.page.unwrap().next_page_token.is_empty());
    let last = accounts(&server, list("*:1199")).await;
    assert_eq!(last.accounts[0].name, "shelf:1199");
}

fn transactions(account: &str, oldest_first: bool) -> v1::ListTransactionsRequest {
    v1::ListTransactionsRequest {
        ledger: "bank".to_owned(),
        account: account.to_owned(),
        oldest_first,
        page_size: 7,
        consistency: strong(),
        ..v1::ListTransactionsRequest::default()
    }
}

#[tokio::test]
async fn pages_of_transactions_stay_as_they_were_under_writes() {
    for seed in 0..6 {
        let server = Server::new(1).await;
        let mut books = server.books("bank", seed);
        books.write(120).await;
        for account in ["", "cash", "#5"] {
            for oldest_first in [true, false] {
                let mut asked = transactions(account, oldest_first);
                asked.page_size = 1_000;
                let whole = server.api.list_transactions(request(asked.clone()));
                let whole: Vec<String> = whole
                    .await
                    .unwrap()
                    .transactions
                    .into_iter()
                    .map(|t| t.id)
                    .collect();
                let distinct: BTreeSet<&String> = whole.iter().collect();
                assert_eq!(distinct.len(), whole.len(), "each stands once");
                let mut pages = Vec::new();
                asked.page_size = 7;
                loop {
                    let reply = server.api.list_transactions(request(asked.clone()));
                    let reply = reply.await.unwrap();
                    for transaction in &reply.transactions {
                        assert!(
                            account != "cash"
                                || transaction
                                    .postings
                                    .iter()
                                    .any(|p| p.debit == account || p.credit == account)
                        );
                    }
                    pages.extend(reply.transactions.into_iter().map(|t| t.id));
                    asked.page_token = reply.page.unwrap().next_page_token;
                    if asked.page_token.is_empty() {
                        break;
                    }
                    books.write(3).await;
                }
                assert_eq!(pages, whole, "seed {seed}, {account:?}, {oldest_first}");
            }
        }
    }
}

#[tokio::test]
async fn transactions_are_filtered_alike_with_and_without_an_account() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 3);
    books.write(200).await;
    let all = |asked| async {
        let reply = server.api.list_transactions(request(asked)).await.unwrap();
        reply.transactions
    };
    for _ in 0..20 {
        let mut asked = transactions("", true);
        asked.page_size = 1_000;
        let (a, b) = (books.instant(), books.instant());
        let bounds = (common::time(a.min(b)), common::time(a.max(b)));
        match books.below(3) {
            0 => (asked.effective_from, asked.effective_to) = bounds,
            1 => (asked.recorded_from, asked.recorded_to) = bounds,
            _ => asked.status = 1 + books.below(4) as i32,
        }
        let of_ledger: Vec<v1::Transaction> = all(asked.clone()).await;
        asked.account = "cash".to_owned();
        let of_account = all(asked.clone()).await;
        let touches = |t: &&v1::Transaction| {
            t.postings
                .iter()
                .any(|p| p.debit == "cash" || p.credit == "cash")
        };
        let expected: Vec<v1::Transaction> = of_ledger.iter().filter(touches).cloned().collect();
        assert_eq!(of_account, expected, "{asked:?}");
        asked.oldest_first = false;
        let mut backwards = all(asked).await;
        backwards.reverse();
        assert_eq!(backwards, expected);
    }
}

#[tokio::test]
async fn postings_of_both_orders_are_the_same_lines() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 5);
    books.write(150).await;
    let mut found = Vec::new();
    for oldest_first in [true, false] {
        let mut asked = v1::ListPostingsRequest {
            ledger: "bank".to_owned(),
            account: "cash".to_owned(),
            oldest_first,
            page_size: 4,
            consistency: strong(),
            ..v1::ListPostingsRequest::default()
        };
        let mut lines = Vec::new();
        loop {
            let reply = server
                .api
                .list_postings(request(asked.clone()))
                .await
                .unwrap();
            lines.extend(common::without_words(reply.lines));
            asked.page_token = reply.page.unwrap().next_page_token;
            if asked.page_token.is_empty() {
                break;
            }
            books.write(2).await;
        }
        found.push(lines);
    }
    found[1].reverse();
    // The second list was begun later, and goes on where the first ended.
    let shared = found[0].len();
    assert!(shared > 50);
    assert_eq!(found[0][..], found[1][..shared]);
}

#[tokio::test]
async fn tokens_of_other_requests_are_refused_by_field() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 5);
    books.write(60).await;
    let first = server
        .api
        .list_transactions(request(transactions("", true)));
    let token = first.await.unwrap().page.unwrap().next_page_token;
    let mut other = transactions("", false);
    other.page_token = token.clone();
    let refused = server
        .api
        .list_transactions(request(other))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::InvalidArgument, "PAGE_TOKEN_INVALID".to_owned())
    );
    let details = String::from_utf8_lossy(refused.details()).into_owned();
    assert!(details.contains("page_token"), "{details}");

    let mut asked = list("");
    asked.page_token = token;
    let refused = server.api.list_accounts(request(asked)).await.unwrap_err();
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");

    let mut asked = list("");
    asked.page_size = 1_001;
    let refused = server.api.list_accounts(request(asked)).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn read_tokens_are_held_to_and_strangers_refused() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 5);
    books.write(20).await;
    let get = |consistency| {
        let mut asked = request(v1::GetBalanceRequest {
            ledger: "bank".to_owned(),
            account: "cash".to_owned(),
            as_of: None,
            consistency: Some(v1::Consistency {
                consistency: Some(consistency),
            }),
        });
        asked
            .metadata_mut()
            .insert("grpc-timeout", "200m".parse().unwrap());
        server.api.get_balance(asked)
    };
    use v1::consistency::Consistency::{AtLeast, Eventual, Strong};
    let token = get(Strong(true)).await.unwrap().position.unwrap().token;
    assert!(get(AtLeast(token.clone())).await.is_ok());

    server.pause().await;
    let before = get(Eventual(true)).await.unwrap().position.unwrap();
    books.write(30).await;
    let strong = get(Strong(true)).await.unwrap().position.unwrap();
    assert!(
        strong.ledger_sequence > before.ledger_sequence,
        "STRONG does not wait"
    );
    assert_eq!(get(Eventual(true)).await.unwrap().position.unwrap(), before);
    let late = get(AtLeast(strong.token.clone())).await.unwrap_err();
    assert_eq!(
        (late.code(), reason(&late)),
        (Code::Unavailable, "READ_TIMEOUT".to_owned())
    );
    server.resume();
    assert!(get(AtLeast(strong.token)).await.is_ok());

    let other = token.replace("03030303", "04040404");
    let refused = get(AtLeast(other)).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_OF_ANOTHER_LOG");
    let refused = get(AtLeast("nonsense".to_owned())).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_INVALID");
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is_near() {
    let server = Server::new(1).await;
    let _books = server.books("bank", 5);
    server.scribe.commit().await;
    // Names near to one are looked for in the read models.
    accounts(&server, list("")).await;
    let get = |ledger: &str, account: &str| {
        server.api.get_account(request(v1::GetAccountRequest {
            ledger: ledger.to_owned(),
            account: account.to_owned(),
            consistency: None,
        }))
    };
    let refused = get("bank", "customers:1:cheking").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::NotFound, "ACCOUNT_NOT_FOUND".to_owned())
    );
    assert!(
        refused
            .message()
            .contains("did you mean customers:1:checking?"),
        "{refused}"
    );
    let refused = get("bank", "zebra").await.unwrap_err();
    assert!(!refused.message().contains("did you mean"), "{refused}");
    let refused = get("bunk", "cash").await.unwrap_err();
    assert_eq!(reason(&refused), "LEDGER_NOT_FOUND");
    let refused = get("bank", "a::b").await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_ARGUMENT");
    let refused = server
        .api
        .get_transaction(request(v1::GetTransactionRequest {
            ledger: "bank".to_owned(),
            transaction_id: "01900000-0000-7000-8000-000000000000".to_owned(),
            consistency: None,
        }));
    assert_eq!(reason(&refused.await.unwrap_err()), "TRANSACTION_NOT_FOUND");
}

#[tokio::test]
async fn read_models_that_stopped_say_so_at_once() {
    let server = Server::new(1).await;
    let _books = server.books("bank", 5);
    server.scribe.commit().await;
    accounts(&server, list("")).await;
    server.scribe.commit_garbage().await;
    let started = std::time::Instant::now();
    let mut asked = request(list(""));
    asked
        .metadata_mut()
        .insert("grpc-timeout", "60S".parse().unwrap());
    let refused = server.api.list_accounts(asked).await.unwrap_err();
    assert_eq!(reason(&refused), "PROJECTION_STOPPED");
    assert!(started.elapsed().as_secs() < 30);
    let mut asked = list("");
    asked.consistency = Some(v1::Consistency {
        consistency: Some(v1::consistency::Consistency::Eventual(true)),
    });
    assert_eq!(accounts(&server, asked).await.accounts.len(), 5);
}

#[tokio::test]
async fn ledgers_are_listed_by_name() {
    let server = Server::new(2).await;
    for ledger in ["c", "a", "b:x", "b"] {
        server.books(ledger, 1);
    }
    server.scribe.commit().await;
    for ledger in ["c", "a", "b:x", "b"] {
        let got = server.api.get_ledger(request(v1::GetLedgerRequest {
            ledger: ledger.to_owned(),
        }));
        assert_eq!(got.await.unwrap().name, ledger);
    }
    let mut asked = v1::ListLedgersRequest {
        page_size: 3,
        page_token: String::new(),
    };
    let mut names = Vec::new();
    loop {
        let reply = server
            .api
            .list_ledgers(request(asked.clone()))
            .await
            .unwrap();
        names.extend(reply.ledgers.into_iter().map(|ledger| ledger.name));
        asked.page_token = reply.page.unwrap().next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "b:x", "c"]);
}
