//! `daybook setup`.

use crate::support::Cluster;

#[test]
fn setup_twice_makes_once_and_checks_then() {
    let cluster = Cluster::named(2);
    let refused = cluster.run(&["setup"]).failed(1);
    assert!(
        refused.contains("NOT_SET_UP") && refused.contains("--single-broker"),
        "{refused}"
    );
    let first = cluster.run(&["setup", "--single-broker", "--json"]).ok();
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let made = |report: &serde_json::Value| -> usize {
        let steps = report["steps"].as_array().unwrap().iter();
        steps
            .map(|step| step["made"].as_array().unwrap().len())
            .sum()
    };
    assert!(made(&first) > 9, "{first}");
    let second = cluster.run(&["setup", "--single-broker", "--json"]).ok();
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    assert_eq!(made(&second), 0, "{second}");
    assert_eq!(first["log_id"], second["log_id"]);
    assert_eq!(second["shards"], 2);
    let other = cluster.run(&["setup", "--single-broker", "--shards", "3"]);
    let other = other.failed(1);
    assert!(
        other.contains("NOT_SET_UP") && other.contains("daybook.events") && other.contains('3'),
        "{other}"
    );
}

#[test]
fn what_was_not_set_up_and_what_is_not_there_is_said() {
    let cluster = Cluster::named(1);
    let said = cluster
        .run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "127.0.0.1:0",
        ])
        .failed(5);
    assert!(said.contains("daybook setup"), "{said}");
    let gone = cluster.run(&["setup", "--single-broker", "--kafka", "127.0.0.1:1"]);
    let gone = gone.failed(3);
    assert!(gone.contains("UNAVAILABLE"), "{gone}");
    let secret = std::fs::read_to_string(cluster.config()).unwrap();
    assert!(secret.contains("secret_key"), "the settings have a secret");
    assert!(!said.contains("daybook-local") && !gone.contains("daybook-local"));
}
