//! The demo tells its story to the end.

use crate::support::{Ran, daybook};

#[test]
fn the_story_is_told_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let tell = || {
        let output = daybook()
            .current_dir(folder.path())
            .args(["demo", "--no-server", "--data", "story"])
            .args([
                "--listen",
                "127.0.0.1:0",
                "--operations-listen",
                "127.0.0.1:0",
            ])
            .output()
            .unwrap();
        Ran::of(&["demo"], output)
    };
    let said = tell().ok();
    for part in [
        "repeated: decided before under this key",
        "Statement of customers:ada",
        "balanced",
        "clean everything agrees",
        "ledger main, record 8 of the ledger",
        "not clean",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(tell().failed(2).contains("is there already"));
}
