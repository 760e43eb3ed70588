//! docs/errors.md and docs/limits.md say what the code says, all of it and nothing else.
//! `DAYBOOK_BLESS=1 cargo test -p schemas --test docs` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::rejection::Code;
use schemas::api::Malformed;
use schemas::error::{Explanation, Fault, Kind, explain, explanations, grpc_name};
use schemas::record::LogId;

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

fn agrees(name: &str, written: &str) {
    if std::env::var_os("DAYBOOK_BLESS").is_some() {
        std::fs::write(page(name), written).expect("the page can be written");
    }
    let page = std::fs::read_to_string(page(name)).expect("the page is there");
    for (number, (is, should)) in page.lines().zip(written.lines()).enumerate() {
        assert_eq!(is, should, "docs/{name}, line {}", number + 1);
    }
    assert_eq!(page.lines().count(), written.lines().count(), "docs/{name}");
}

const ERRORS: &str = "\
# Errors

<!-- Written from schemas/src/error/explain and held to it by a test:
     DAYBOOK_BLESS=1 cargo test -p schemas --test docs -->

Every error has a code in capitals that never changes its meaning and is never used again. It is
the `reason` of a `google.rpc.ErrorInfo` (domain `daybook`) in the gRPC status; the figures stand
in its `metadata`. The text of the message may change, the code may not. `daybook explain CODE`
prints the entry.

- A **refusal** is a decision: it is recorded, and repeated for its key whatever happens later.
  To try again, correct the command and use a *new* key.
- A **fault** is no decision: nothing was recorded under the key (or it is not known yet whether
  it was). Where *Repeat* says yes, send the same command with the *same* key: it is carried out
  once, however often it is sent. `google.rpc.RetryInfo` says how long to wait first.
- An **operations** code is said to the operator, at start or by a tool.

";

const REFUSALS: &str = "\
## Refusals

In order of precedence: where several rules say no, the first one that is checked gives its code,
so the same command on the same state always gets the same code. Of an atomic batch, `member`
says which member was refused (from 0).

";

const FAULTS: &str = "\
## Faults

";

const OPERATIONS: &str = "\
## Operations

";

fn entry(e: &Explanation, page: &mut String) {
    let figures = match e.figures {
        [] => "none".to_owned(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let repeat = match (e.kind, e.retry) {
        (Kind::Refusal, _) => "no; a new key after the correction",
        (_, true) => "yes, with the same key",
        (_, false) => "no",
    };
    let _ = writeln!(page, "### {}\n\n{}\n", e.code, e.meaning);
    if e.kind != Kind::Operation {
        let _ = writeln!(page, "- **gRPC status**: {}", e.grpc);
    }
    let _ = writeln!(page, "- **Cause**: {}", e.cause);
    let _ = writeln!(page, "- **What to do**: {}", e.what_to_do);
    if e.kind != Kind::Operation {
        let _ = writeln!(page, "- **Repeat**: {repeat}");
        let _ = writeln!(page, "- **Figures**: {figures}");
    }
    page.push('\n');
}

#[test]
fn errors_md_has_an_entry_per_code_and_no_other() {
    let mut written = ERRORS.to_owned();
    for (kind, head) in [
        (Kind::Refusal, REFUSALS),
        (Kind::Fault, FAULTS),
        (Kind::Operation, OPERATIONS),
    ] {
        written.push_str(head);
        for explanation in explanations().iter().filter(|e| e.kind == kind) {
            entry(explanation, &mut written);
        }
    }
    agrees("errors.md", written.trim_end());
}

/// One fault of every variant.
fn faults() -> Vec<Fault> {
    let ledger = || LedgerName::new("main").expect("a name");
    let key = || IdempotencyKey::parse("import-7").expect("a key");
    let why = || "because".to_owned();
    vec![
        Malformed::new("ledger", "is required").into(),
        Fault::IdempotencyKeyReused {
            ledger: ledger(),
            key: key(),
        },
        Fault::KeyStampInFuture {
            key: key(),
            ahead_micros: 301_000_000,
        },
        Fault::LedgerNotFound { ledger: ledger() },
        Fault::AccountNotFound {
            ledger: ledger(),
            account: "a".to_owned(),
            did_you_mean: Some("customers:1".to_owned()),
        },
        Fault::TransactionNotFound {
            ledger: ledger(),
            transaction: TransactionId(7),
        },
        Fault::DecisionNotFound {
            ledger: ledger(),
            by: "with key import-7".to_owned(),
        },
        Fault::SequenceNotReached {
            ledger: ledger(),
            asked: 9,
            reached: 7,
        },
        Fault::ReadTimeout {
            asked: 9,
            reached: 7,
        },
        Fault::DeadlineExceeded,
        Fault::unavailable("it starts"),
        Fault::Overloaded {
            what: "the queue of shard 0".to_owned(),
        },
        Fault::DiskFull { shard: 0 },
        Fault::PageTokenInvalid { why: why() },
        Fault::TokenInvalid { why: why() },
        Fault::TokenOfAnotherLog {
            found: LogId([1; 16]),
            expected: LogId([2; 16]),
        },
        Fault::BatchTooLarge {
            what: "commands",
            found: 8_191,
            most: 8_190,
        },
        Fault::MessageMalformed { why: why() },
        Fault::MessageTooLarge {
            found: 17_000_000,
            most: 16_842_752,
        },
        Fault::ReplyTooLarge {
            what: "accounts",
            most: 50_000,
        },
        Fault::ReadModelsUnusable { why: why() },
        Fault::ProjectionStopped {
            shard: 0,
            sequence: 7,
            why: why(),
        },
        Fault::LogDamaged { why: why() },
        Fault::ShardStopped {
            shard: 0,
            why: why(),
        },
        Fault::NotOwner {
            shard: 0,
            owner: Some("10.0.0.7:7070".into()),
        },
        Fault::internal("a bug"),
    ]
}

#[test]
fn every_refusal_is_explained_in_order_of_precedence() {
    let refusals = explanations();
    let refusals = refusals.iter().filter(|e| e.kind == Kind::Refusal);
    let explained: Vec<&str> = refusals.map(|e| e.code).collect();
    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        explained, known,
        "schemas/src/error/explain/refusals.rs has a row per code of ledger-core, in its order"
    );
}

#[test]
fn every_fault_is_explained_as_it_is_said() {
    let mut said = BTreeSet::new();
    for fault in faults() {
        let explanation = explain(fault.code());
        let explanation = explanation.unwrap_or_else(|| panic!("{} has no entry", fault.code()));
        said.insert(fault.code());
        assert_eq!(
            explanation.grpc,
            grpc_name(fault.grpc()),
            "{}",
            fault.code()
        );
        assert_eq!(explanation.retry, fault.retryable(), "{}", fault.code());
        for (figure, _) in fault.figures() {
            assert!(
                explanation.figures.contains(&figure),
                "{} {figure}",
                fault.code()
            );
        }
    }
    let unsaid: Vec<_> = explanations()
        .into_iter()
        .filter(|e| e.kind == Kind::Fault && !said.contains(e.code))
        .map(|e| e.code)
        .collect();
    assert_eq!(
        unsaid,
        Vec::<&str>::new(),
        "explained, but no fault says it"
    );
}

#[test]
fn a_code_has_one_entry_and_is_found_in_any_case() {
    let mut codes = BTreeSet::new();
    for explanation in explanations() {
        assert!(codes.insert(explanation.code), "{} twice", explanation.code);
        for text in [
            explanation.meaning,
            explanation.cause,
            explanation.what_to_do,
        ] {
            assert!(
                text.ends_with('.') && text.len() > 10,
                "{}: {text:?}",
                explanation.code
            );
        }
    }
    assert_eq!(
        explain(" insufficient_funds ").map(|e| e.code),
        Some("INSUFFICIENT_FUNDS")
    );
    assert_eq!(explain("NO_SUCH_CODE"), None);
}

const LIMITS: &str = "\
# Limits

<!-- Written from schemas/src/limits.rs and held to it by a test:
     DAYBOOK_BLESS=1 cargo test -p schemas --test docs -->

Every size that a user can run into. `GetServerInfo` serves them by the same names, all but the
largest amount, which does not fit 64 bits. A request beyond a limit is refused as a whole, with
the field, its size and the limit; nothing of it is done.

| name | value | what | beyond it |
|---|---:|---|---|
";

const FIXED: &str = "
Some bounds are part of a form and need no number of their own: times lie in the years 1 to 9999
and are truncated to microseconds; an asset code is a capital letter and at most 15 more of
`A-Z 0-9 _ . -`; a rolling velocity window has 60 seconds to 31 days; a cut-off lies within the
day. Texts cannot contain the character U+0000.
";

#[test]
fn limits_md_lists_every_limit_with_its_value() {
    let mut written = LIMITS.to_owned();
    for limit in schemas::limits::ALL {
        let _ = writeln!(
            written,
            "| `{}` | {} | {} | {} |",
            limit.name,
            grouped(limit.value),
            limit.what,
            limit.beyond
        );
    }
    written.push_str(FIXED);
    agrees("limits.md", &written);
}

/// `16777216` as `16,777,216`.
fn grouped(value: u128) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[test]
fn every_constant_of_core_is_a_limit_and_served() {
    let source = include_str!("../../ledger-core/src/limits.rs");
    let constants = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "));
    let served = schemas::limits::served();
    let mut count = 0;
    for constant in constants {
        let name = constant.split(':').next().expect("a name").to_lowercase();
        let listed = schemas::limits::ALL.iter().find(|limit| limit.name == name);
        let listed = listed.unwrap_or_else(|| panic!("{name} is not in schemas::limits::ALL"));
        let fits = u64::try_from(listed.value).ok();
        assert_eq!(served.get(&name).copied(), fits, "{name}");
        for code in listed.beyond.split([',', ';']).map(|part| part.trim()) {
            let code = code.split(' ').next().expect("a word");
            assert!(code == "-" || explain(code).is_some(), "{name}: {code}");
        }
        count += 1;
    }
    assert!(count >= 20, "only {count} constants were found");
}
