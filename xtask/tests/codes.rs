//! Every code that Daybook can show has its entry in docs/errors.md (which tests of `schemas/`
//! hold to the table that `daybook explain` prints).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where what users see is made.
const ROOMS: &[&str] = &[
    "adapters",
    "command-handler",
    "daybook",
    "ledger-core",
    "ports",
    "projector",
    "query-api",
    "schemas",
    "shard-state",
];

/// Words in capitals with an underscore that are no codes, and what they are.
const OTHERS: &[(&str, &str)] = &[
    (
        "APIVERSION_QUERY",
        "a state of librdkafka's connections, as its log names it",
    ),
    ("CAPTURE", "how a column spells what a transaction came of"),
    ("DIRECT", "how a column spells what a transaction came of"),
    ("FROZEN_ALL", "how a column spells a status"),
    ("FROZEN_CREDITS", "how a column spells a status"),
    ("FROZEN_DEBITS", "how a column spells a status"),
    ("OUT_DIR", "a variable of cargo's"),
    ("REVERSAL", "how a column spells what a transaction came of"),
];

/// Names of gRPC's own codes, which come with a code of ours.
const GRPC: &[&str] = &[
    "ABORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "tests", "examples"].contains(&&*name) {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Codes that `text` may show: words in capitals that stand alone in quotes, or first in them
/// with a colon behind. Of one word only where the line makes an error, a finding or a code of it.
fn codes(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut found = BTreeSet::new();
    let mut before = ["", ""];
    for line in text.lines() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        let makes_one = |line: &str| {
            ["code", "Failure::new(", "Self::new(Kind", "Kind::", "find("]
                .iter()
                .any(|sign| line.contains(sign))
        };
        let makes_one = makes_one(line) || before.iter().any(|line| makes_one(line));
        for quoted in line.split('"').skip(1).step_by(2) {
            let word = match quoted.split_once(": ") {
                Some((word, _)) if word.contains('_') => word,
                Some(_) => continue,
                None => quoted,
            };
            let capitals = word.len() > 4
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.ends_with(|c: char| c.is_ascii_alphanumeric())
                && word
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            let variable = ["DAYBOOK_", "CARGO_"].iter().any(|p| word.starts_with(p));
            if capitals && !variable && (word.contains('_') || makes_one) {
                found.insert(word.to_owned());
            }
        }
        before = [before[1], line];
    }
    found
}

#[test]
fn every_code_that_can_be_shown_is_explained() {
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut unexplained = BTreeMap::new();
    let mut shown = BTreeSet::new();
    for room in ROOMS {
        let mut files = Vec::new();
        sources(&root().join(room), &mut files);
        for file in files {
            for code in codes(&std::fs::read_to_string(&file).unwrap()) {
                if explained.contains(&*code) {
                    shown.insert(code);
                } else if !OTHERS.iter().any(|(other, _)| *other == code) && !GRPC.contains(&&*code)
                {
                    unexplained.insert(code, file.display().to_string());
                }
            }
        }
    }
    assert_eq!(
        unexplained,
        BTreeMap::new(),
        "each needs an entry in schemas/src/error/explain (or is no code: see OTHERS here)"
    );
    // The search finds what there is to find.
    for code in [
        "ADDRESS_IN_USE",
        "BOOKS_WRONG",
        "FAILED",
        "FILE_UNREADABLE",
        "FOLDER_TOO_NEW",
        "LOG_DAMAGED",
        "NOT_CLEAN",
        "NOT_RESTORED",
        "READ_MODELS_UNUSABLE",
        "ROWS_REFUSED",
        "ROW_MALFORMED",
        "USAGE",
    ] {
        assert!(shown.contains(code), "{code} is shown no more?");
    }
    assert!(shown.len() > 80, "only {} codes were found", shown.len());
}

#[test]
fn codes_are_found_where_they_are_made() {
    let text = r#"
        Failure::new(Kind::Usage, "USAGE", "WORDS in between")
        Failure::new(
            Kind::Broken,
            "BROKEN",
            "FOLDER_X: it is",
        )
        // "IN_A_COMMENT"
        let zone = "UTCETERA";
        env = "DAYBOOK_DATA", "TYPE_"
        #[cfg(test)]
        "IN_A_TEST"
    "#;
    let found: Vec<String> = codes(text).into_iter().collect();
    assert_eq!(found, ["BROKEN", "FOLDER_X", "USAGE"]);
}
