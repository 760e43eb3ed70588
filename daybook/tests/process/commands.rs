//! The commands that people live in: what they print, what they change, how they fail.

use crate::support::{Server, masked, run};

#[test]
fn a_day_at_the_bank_reads_well() {
    let server = Server::start();
    let mut said = String::new();
    let mut tell = |words: &[&str]| {
        let ran = server.run(words);
        said.push_str(&format!(
            "$ daybook {}\n{}{}[{}]\n\n",
            words.join(" "),
            ran.stdout,
            ran.stderr,
            ran.code
        ));
    };
    tell(&["ledger", "create", "--description", "demo", "--key", "l"]);
    tell(&[
        "account",
        "open",
        "bank:cash",
        "--asset",
        "USD",
        "--type",
        "asset",
        "--key",
        "a",
    ]);
    tell(&[
        "account",
        "open",
        "customers:ada",
        "--asset",
        "USD",
        "--type",
        "liability",
        "--minimum",
        "0",
        "--metadata",
        "city=Brno",
        "--key",
        "b",
    ]);
    tell(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "12.50",
        "USD",
        "--key",
        "d",
        "--description",
        "first deposit",
    ]);
    tell(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "12.50",
        "USD",
        "--key",
        "d",
        "--description",
        "first deposit",
    ]);
    tell(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "bank:cash",
        "20.00 USD",
        "--key",
        "w",
    ]);
    tell(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "bank:cash",
        "10.00 USD",
        "--dry-run",
        "--key",
        "x",
    ]);
    tell(&["balance", "customers:ada"]);
    tell(&["balance", "customers:**"]);
    tell(&["account", "list"]);
    tell(&["account", "get", "customers:adda"]);
    tell(&["transaction", "list"]);
    tell(&["statement", "customers:ada"]);
    tell(&["trial-balance"]);
    tell(&["audit", "decision", "--key", "w"]);
    tell(&["audit", "records"]);
    tell(&["ledger", "get"]);
    tell(&["ledger", "list"]);
    insta::assert_snapshot!(masked(&said));
}

#[test]
fn holds_are_captured_voided_and_reversed() {
    let server = Server::start();
    server.open_bank();
    server.transfer("bank:cash", "customers:ada", "100.00 USD", "deposit");
    let hold = |key: &str| {
        let reply = server.json(&[
            "transaction",
            "create",
            "--from",
            "customers:ada",
            "--to",
            "customers:bob",
            "20.00 USD",
            "--hold",
            "--expires-in",
            "7d",
            "--key",
            key,
        ]);
        reply["transaction"]["id"].as_str().unwrap().to_owned()
    };
    let first = hold("first");
    server.ok(&["transaction", "capture", &first, "15.00 USD"]);
    let captured = server.json(&["transaction", "get", &first]);
    assert_eq!(captured["postings"][0]["captured"], "1500");
    server.ok(&["transaction", "capture", &first, "--final"]);
    let second = hold("second");
    server.ok(&["transaction", "void", &second, "--reason", "not needed"]);
    assert_eq!(server.posted("customers:bob"), "2000");
    let rent = server.transfer("customers:ada", "customers:bob", "30.00 USD", "rent");
    server.ok(&["transaction", "reverse", &rent, "10.00"]);
    assert_eq!(server.posted("customers:bob"), "4000");
    let too_much = server.run(&["transaction", "reverse", &rent, "25.00"]);
    assert!(too_much.failed(1).contains("REVERSAL_EXCEEDS_ORIGINAL"));
    let again = server.run(&["transaction", "capture", &second]);
    assert!(again.failed(1).contains("HOLD_ALREADY_VOIDED"));
}

#[test]
fn several_postings_make_one_transaction() {
    let server = Server::start();
    server.open_bank();
    server.ok(&[
        "transaction",
        "create",
        "--posting",
        "bank:cash customers:ada 10.00 USD",
        "--posting",
        "bank:cash customers:bob 5.00 USD",
        "--posting",
        "customers:ada customers:bob up to 50.00 USD",
    ]);
    assert_eq!(server.posted("customers:ada"), "0");
    assert_eq!(server.posted("customers:bob"), "1500");
}

#[test]
fn a_dry_run_changes_nothing() {
    let server = Server::start();
    server.open_bank();
    server.transfer("bank:cash", "customers:ada", "100.00 USD", "deposit");
    let head = server.ok(&["audit", "head"]);
    let shown = server.ok(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "customers:bob",
        "40.00 USD",
        "--dry-run",
    ]);
    assert!(
        shown.contains("100.00 USD") && shown.contains("60.00 USD"),
        "{shown}"
    );
    let refused = server.run(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "customers:bob",
        "400.00 USD",
        "--dry-run",
    ]);
    assert!(refused.failed(1).contains("INSUFFICIENT_FUNDS"));
    for words in [
        &[
            "account",
            "open",
            "customers:eve",
            "--asset",
            "USD",
            "--type",
            "liability",
            "--dry-run",
        ][..],
        &["account", "freeze", "customers:ada", "--dry-run"],
        &["ledger", "close-books", "--through", "-1d", "--dry-run"],
    ] {
        server.ok(words);
    }
    assert_eq!(server.ok(&["audit", "head"]), head);
    assert_eq!(server.posted("customers:ada"), "10000");
}

#[test]
fn accounts_are_frozen_changed_and_closed() {
    let server = Server::start();
    server.open_bank();
    server.ok(&[
        "account",
        "freeze",
        "customers:ada",
        "--scope",
        "credits",
        "--reason",
        "check",
    ]);
    let deposit = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "1.00 USD",
    ];
    assert!(server.run(&deposit).failed(1).contains("ACCOUNT_FROZEN"));
    server.ok(&["account", "unfreeze", "customers:ada"]);
    server.ok(&deposit);
    server.ok(&[
        "account",
        "update",
        "customers:ada",
        "--maximum",
        "5.00 USD",
        "--metadata",
        "a=b",
    ]);
    let account = server.json(&["account", "get", "customers:ada"]);
    assert_eq!(
        account["limits"]["minimum"], "0",
        "what was not named stays"
    );
    assert_eq!(account["limits"]["maximum"], "500");
    assert_eq!(account["metadata"]["a"]["plain"], "b");
    let full = server.run(&["account", "close", "customers:ada"]);
    assert!(full.failed(1).contains("ACCOUNT_NOT_EMPTY"));
    server.ok(&["account", "close", "customers:bob"]);
    server.ok(&["account", "reopen", "customers:bob"]);
    let wrong = server.run(&[
        "account",
        "update",
        "customers:ada",
        "--if-version",
        "customers:ada=99",
        "--metadata",
        "a=c",
    ]);
    assert!(wrong.failed(1).contains("VERSION_CONFLICT"));
    let poor = server.run(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "customers:bob",
        "0.10 USD",
        "--if",
        "customers:ada available >= 50.00 USD",
    ]);
    assert!(poor.failed(1).contains("BALANCE_CONDITION_FAILED"));
}

#[test]
fn books_are_closed_and_reopened() {
    let server = Server::start();
    server.open_bank();
    server.ok(&[
        "ledger",
        "close-books",
        "--through",
        "2026-01-31",
        "--reason",
        "January",
    ]);
    let late = server.run(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "1.00 USD",
        "--effective-at",
        "2026-01-15",
    ]);
    assert!(late.failed(1).contains("PERIOD_CLOSED"));
    server.ok(&["ledger", "reopen-books", "--reason", "a correction"]);
    server.ok(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "1.00 USD",
        "--effective-at",
        "2026-01-15",
    ]);
    let before = server.json(&[
        "balance",
        "customers:ada",
        "--as-of-effective",
        "2026-01-14",
    ]);
    assert_eq!(before["balance"]["posted"], "0");
    let after = server.json(&[
        "balance",
        "customers:ada",
        "--as-of-effective",
        "2026-01-15",
    ]);
    assert_eq!(after["balance"]["posted"], "100");
}

#[test]
fn errors_say_the_code_the_field_and_the_way_out() {
    let server = Server::start();
    server.open_bank();
    let wrong = |words: &[&str], code: i32, said: &[&str]| {
        let text = server.run(words).failed(code);
        for part in said {
            assert!(text.contains(part), "{words:?} says {text}");
        }
    };
    let create = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
    ];
    let with = |amount: &'static str| create.iter().copied().chain([amount]).collect::<Vec<_>>();
    wrong(&with("1.005 USD"), 2, &["decimal places"]);
    wrong(&with("1.00 EUR"), 2, &["USD/2"]);
    wrong(&with("ten"), 2, &["not an amount"]);
    wrong(&with("0.00 USD"), 1, &["AMOUNT_NOT_POSITIVE", "way out"]);
    wrong(&create, 2, &["the amount is missing"]);
    wrong(
        &["account", "get", "customers:addda"],
        1,
        &["ACCOUNT_NOT_FOUND", "customers:ada"],
    );
    wrong(
        &["account", "list", "--ledger", "mian"],
        1,
        &["LEDGER_NOT_FOUND", "main"],
    );
    wrong(
        &[
            "account", "open", "a b", "--asset", "USD", "--type", "asset",
        ],
        2,
        &["INVALID_ARGUMENT", "name"],
    );
    wrong(
        &["explain", "INSUFICIENT_FUNDS"],
        2,
        &["INSUFFICIENT_FUNDS"],
    );
    wrong(&["transaction", "get", "nonsense"], 2, &["UUID"]);
    let json = server
        .run(&["account", "get", "nobody", "--json"])
        .failed(1);
    let json: serde_json::Value = serde_json::from_str(&json).expect("an error for machines");
    assert_eq!(json["error"]["code"], "ACCOUNT_NOT_FOUND");
}

#[test]
fn without_a_server_the_way_out_is_told() {
    let said = run(&["account", "list", "--server", "http://127.0.0.1:1"]).failed(3);
    assert!(said.contains("daybook serve"), "{said}");
}

#[test]
fn the_equal_grpcurl_call_is_shown_and_not_made() {
    let server = Server::start();
    server.open_bank();
    let head = server.ok(&["audit", "head"]);
    let shown = server.ok(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "12.50 USD",
        "--show-rpc",
        "--key",
        "k",
    ]);
    let body = shown.split('\'').nth(1).expect("a body in quotes");
    let body: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
    assert_eq!(body["create"]["postings"][0]["amount"], "1250");
    assert!(shown.starts_with("grpcurl -plaintext"), "{shown}");
    assert!(shown.contains("daybook.v1.TransactionService/CreateTransaction"));
    assert_eq!(server.ok(&["audit", "head"]), head);
}

#[test]
fn codes_are_explained_and_completions_printed() {
    let shown = run(&["explain", "insufficient-funds"]).ok();
    assert!(
        shown.contains("INSUFFICIENT_FUNDS") && shown.contains("what to do"),
        "{shown}"
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            run(&["completions", shell]).ok().contains("trial-balance"),
            "{shell}"
        );
    }
}
