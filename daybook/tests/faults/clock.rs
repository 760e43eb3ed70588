//! Clocks that jump.

use std::path::Path;

use crate::server::{Server, assert_verified, shim};

const MINUTE: i64 = 60_000_000;

fn shift(file: &Path, micros: i64) {
    // Renamed into place, so that no half-written number is read.
    let new = file.with_extension("new");
    std::fs::write(&new, micros.to_string()).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_time_never_goes_back_and_a_wrong_clock_is_not_served_by() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let library = shim("shifted_clock", folder.path());
    let offset = folder.path().join("offset");
    shift(&offset, 0);
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("DAYBOOK_TEST_CLOCK_OFFSET", offset.to_str().unwrap()),
    ];
    let server = Server::start(&data, &environment).await;
    let bank = server.connect().await;
    bank.set_up().await;
    let micros = |receipt: schemas::proto::v1::Receipt| {
        let at = receipt.recorded_at.unwrap();
        at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000
    };
    let at_first = micros(bank.deposit("now", 1).await.unwrap());

    shift(&offset, -2 * MINUTE);
    let after_a_step_back = micros(bank.deposit("two-minutes-back", 1).await.unwrap());
    assert!(after_a_step_back >= at_first, "recorded time went back");

    shift(&offset, 3 * MINUTE);
    let after_a_step_ahead = micros(bank.deposit("three-minutes-ahead", 1).await.unwrap());
    assert!(after_a_step_ahead >= at_first + 2 * MINUTE);

    shift(&offset, -7 * MINUTE);
    let refused = bank
        .deposit("ten-minutes-behind-the-log", 1)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    assert!(
        refused.message().contains("CLOCK_BEHIND_LOG"),
        "{refused:?}"
    );
    shift(&offset, 3 * MINUTE);
    let mut again = bank.deposit("ten-minutes-behind-the-log", 1).await;
    for _ in 0..50 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        again = bank.deposit("ten-minutes-behind-the-log", 1).await;
    }
    again.expect("a clock that is right again is served by");
    server.stop();

    shift(&offset, -20 * MINUTE);
    let mut server = Server::spawn(&data, &environment);
    assert!(!server.wait_for_end().success());
    assert!(
        server.said().contains("CLOCK_BEHIND_LOG"),
        "{}",
        server.said()
    );

    shift(&offset, 48 * 60 * MINUTE);
    let mut server = Server::spawn(&data, &environment);
    assert!(!server.wait_for_end().success());
    assert!(
        server.said().contains("CLOCK_AHEAD_OF_LOG"),
        "{}",
        server.said()
    );

    let accepting = [&environment[..], &[("DAYBOOK_ACCEPT_CLOCK", "true")]].concat();
    let server = Server::start(&data, &accepting).await;
    assert_eq!(server.connect().await.balance().await.unwrap(), 4);
    server.stop();
    assert_verified(&data);
}
