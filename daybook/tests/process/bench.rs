//! The benchmark proves what it loaded.

use crate::support::{Server, run};

#[test]
fn a_small_load_is_proved_to_be_in_the_books() {
    for form in ["friendly", "packed"] {
        let said = run(&[
            "bench",
            "--accounts",
            "50",
            "--transfers",
            "4000",
            "--batch",
            "500",
            "--form",
            form,
            "--json",
        ])
        .ok();
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["transfers"], 4000);
        assert_eq!(report["checked_accounts"], 50);
    }
}

#[test]
fn a_running_server_is_loaded_with_holds_and_queries() {
    let server = Server::start();
    let said = run(&[
        "bench",
        "--server",
        server.url(),
        "--accounts",
        "20",
        "--transfers",
        "1000",
        "--batch",
        "100",
        "--holds",
        "20",
        "--queries",
        "20",
        "--hot-accounts",
        "2",
        "--hot-percent",
        "50",
        "--json",
    ])
    .ok();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["transfers"], 1000);
    assert!(report["captures"].as_u64().unwrap() > 100, "{said}");
    assert!(report["checked_transfers"].as_u64().unwrap() > 0, "{said}");
    server.ok(&["verify"]);
}
