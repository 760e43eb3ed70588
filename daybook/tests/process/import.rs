//! Imports: repeated, refused, interrupted.

use std::fmt::Write as _;

use crate::support::{Server, daybook};

#[test]
fn a_file_is_imported_once_however_often_it_is_run() {
    let server = Server::start();
    server.ok(&["ledger", "create"]);
    let folder = tempfile::tempdir().unwrap();
    let accounts = folder.path().join("accounts.csv");
    std::fs::write(
        &accounts,
        "name,asset,type,minimum,metadata.city\nbank:cash,USD,asset,,\ncustomers:1,USD,liability,0,Brno\n",
    )
    .unwrap();
    let accounts = accounts.to_str().unwrap();
    assert_eq!(server.json(&["import", "accounts", accounts])["booked"], 2);
    assert_eq!(
        server.json(&["import", "accounts", accounts])["booked_before"],
        2
    );

    let rows = folder.path().join("rows.csv");
    std::fs::write(
        &rows,
        "key,transaction,effective_at,from,to,amount,asset,description,metadata.source\n\
         r1,,2026-01-01,bank:cash,customers:1,100.00,USD,salary,file\n\
         r2,,2026-01-02,bank:cash,customers:2,50.00,USD,,\n\
         r3,split,2026-01-03,customers:1,customers:2,10.00,USD,,\n\
         r4,split,2026-01-03,customers:1,bank:cash,5.00,USD,,\n\
         r5,,2026-01-04,customers:1,bank:cash,1000.00,USD,,\n\
         r6,,2026-01-05,customers:1,bank:cash,1.005,USD,,\n\
         r7,,someday,customers:1,bank:cash,1.00,USD,,\n\
         r8,,2026-01-06,customers:1\n",
    )
    .unwrap();
    let rows = rows.to_str().unwrap();
    let report = folder.path().join("refused.csv");
    let words = [
        "import",
        rows,
        "--open-accounts",
        "customers:**=liability",
        "--report",
        report.to_str().unwrap(),
    ];
    let said = server.run(&words).failed(1);
    assert!(
        said.contains("ROWS_REFUSED") && said.contains("4 rows"),
        "{said}"
    );
    let refused = std::fs::read_to_string(&report).unwrap();
    for part in [
        "6,6,r5,INSUFFICIENT_FUNDS",
        "7,7,r6,ROW_MALFORMED",
        "8,8,r7,ROW_MALFORMED",
        "9,9,r8",
    ] {
        assert!(refused.contains(part), "{part} is not in\n{refused}");
    }
    let head = server.ok(&["audit", "head"]);
    assert_eq!(server.posted("customers:1"), "8500");
    assert_eq!(server.posted("customers:2"), "6000");
    server.run(&words).failed(1);
    assert_eq!(server.ok(&["audit", "head"]), head, "a repeat adds nothing");
    let split = server.json(&["audit", "decision", "--key", "r3"]);
    assert_eq!(
        split["transactions"][0]["postings"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn an_import_that_was_cut_off_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let count = 30_000_u64;
    let mut text = String::from("key,from,to,amount,asset\n");
    for row in 0..count {
        writeln!(text, "row-{row},bank:cash,customers:{},1.00,USD", row % 100).unwrap();
    }
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, text).unwrap();
    let types = [
        "--open-accounts",
        "customers:**=liability",
        "--open-accounts",
        "**=asset",
    ];
    let server = Server::on(&data, &[]);
    server.ok(&["ledger", "create"]);
    let mut import = daybook()
        .env("DAYBOOK_SERVER", server.url())
        .arg("import")
        .arg(&file)
        .args(types)
        .args(["--retry-for", "0s"])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Until some of it, but surely not all, is in the books.
    while server.json(&["server", "info"])["shards"][0]["committed_sequence"]
        .as_str()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        < 500
    {}
    server.kill();
    assert_ne!(import.wait().unwrap().code(), Some(0));
    let server = Server::on(&data, &[]);
    let words: Vec<_> = ["import", file.to_str().unwrap()]
        .into_iter()
        .chain(types)
        .collect();
    let report = server.json(&words);
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(number("booked") + number("booked_before"), count);
    assert!(number("booked_before") > 0);
    assert_eq!(server.posted("bank:cash"), (count * 100).to_string());
    server.ok(&["verify"]);
}
