//! Runs the tables of `tests/tables/`: each directly, with a replay after each line, from its
//! image after each line, and with memory let go of after each line.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ledger_core::rejection::Code;

use harness::MODES;
use harness::table::{parse, run};

#[test]
fn every_table_holds_in_every_mode_and_together_they_give_every_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of tables")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut codes = BTreeSet::new();
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a table file");
        for table in parse(&text) {
            for mode in MODES {
                run(&table, mode, &mut codes);
            }
            count += 1;
        }
    }
    assert!(count > 0, "there are tables");
    // The writer judges sizes of records; a full ledger is tested beside `account/open.rs`.
    let elsewhere = [Code::RecordTooLarge, Code::TooManyAccounts];
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !codes.contains(code) && !elsewhere.contains(code))
        .collect();
    assert!(missing.is_empty(), "no table gives {missing:?}");
}
