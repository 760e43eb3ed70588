//! Amounts as people see them.

use crate::support::Server;

#[test]
fn sums_beyond_128_bits_are_shown_to_the_last_digit() {
    let server = Server::start();
    server.ok(&["ledger", "create"]);
    // 2^127 - 1 minor units, the largest amount.
    let most = "1701411834604692317316873037158841057.27";
    for pair in 1..=3 {
        let (cash, customer) = (format!("cash:{pair}"), format!("customers:{pair}"));
        for (name, kind) in [(&cash, "asset"), (&customer, "liability")] {
            server.ok(&["account", "open", name, "--asset", "USD", "--type", kind]);
        }
        server.transfer(&cash, &customer, most, &format!("key-{pair}"));
    }
    let text = server.ok(&["trial-balance"]);
    let total = text.lines().find(|line| line.starts_with("total USD/2"));
    let total: Vec<_> = total
        .expect("a line of totals")
        .split_whitespace()
        .collect();
    let sum = "5104235503814076951950619111476523171.81";
    assert_eq!(
        total,
        ["total", "USD/2", "balanced", sum, "USD", sum, "USD"]
    );
    let text = server.ok(&["balance", "customers:*"]);
    assert!(text.contains(&format!("{sum} USD")), "{text}");
    let json = server.json(&["balance", "customers:*"]);
    assert_eq!(
        json["sums"][0]["posted"],
        "510423550381407695195061911147652317181"
    );
    server.ok(&["verify"]);
}

#[test]
fn a_refusal_tells_amounts_with_their_asset() {
    let server = Server::start();
    server.open_bank();
    server.transfer("bank:cash", "customers:ada", "12.50", "deposit");
    let said = server
        .run(&[
            "transaction",
            "create",
            "--from",
            "customers:ada",
            "--to",
            "bank:cash",
            "20",
            "USD",
        ])
        .failed(1);
    assert!(
        said.starts_with(
            "error INSUFFICIENT_FUNDS: account customers:ada has 12.50 USD available, and \
             20.00 USD would leave less than its minimum of 0.00 USD\n"
        ),
        "{said}"
    );
}
