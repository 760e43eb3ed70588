//! The Czech bank's books: sorted, unsorted, imported twice, and with the server killed in the
//! middle, they always end the same, and agree with the bank as far as is known.
//!
//! The files are not part of the project. They are looked for in `DAYBOOK_CZECH_DATA`, or beside
//! the project in `../shared/data`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use schemas::proto::v1::audit_service_client::AuditServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use schemas::proto::v1::{GetHeadRequest, GetTrialBalanceRequest, TrialBalanceLine};

use crate::support::{Ended, Server, daybook, run};

/// Records of the ledger once all is in: itself, the bank's 6 own accounts, 4,500 customers'
/// accounts, 49,102 transactions. The row that is cut off never reaches the engine.
const RECORDS: u64 = 1 + 6 + 4_500 + 49_102;

const REFUSED: &str = "trans.asc line 49104: the line is cut off within column 4 of 10 (type)";

const FIGURES: &str = "  account-days             39,960
  agree within 0.10        37,313
  agree within 0.50        39,911
  agree within 1.00        39,932
  further off                  28
    on 1994-03-31              28
  These are exactly the figures of a computation outside Daybook.
";

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("DAYBOOK_CZECH_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("trans.asc.gz").exists() {
        return Some(folder);
    }
    // Past the test harness, which would swallow it.
    let _ = writeln!(
        std::io::stderr(),
        "NOT RUN: the Czech bank's files are not in {} (set DAYBOOK_CZECH_DATA)",
        folder.display()
    );
    None
}

fn program(data: &Path, server: &Server, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_czech-bank"));
    command
        .arg(data)
        .args(["--server", &server.url()])
        .args(more);
    command
}

/// The number of the ledger's newest record, 0 before there is one.
async fn records(server: &Server) -> u64 {
    let head = GetHeadRequest {
        ledger: "czech-bank".into(),
    };
    let head = AuditServiceClient::new(server.channel().await)
        .get_head(head)
        .await;
    head.map_or(0, |head| head.into_inner().ledger_sequence)
}

async fn trial_balance(server: &Server) -> Vec<TrialBalanceLine> {
    const BYTES_MAX: usize = 64 << 20;
    let request = GetTrialBalanceRequest {
        ledger: "czech-bank".into(),
        ..GetTrialBalanceRequest::default()
    };
    QueryServiceClient::new(server.channel().await)
        .max_decoding_message_size(BYTES_MAX)
        .get_trial_balance(request)
        .await
        .unwrap()
        .into_inner()
        .lines
}

/// Stops the server and has its folder verified.
async fn verify(server: Server, folder: &Path) {
    server.stop();
    let mut verify = Command::new(daybook());
    verify.arg("verify").arg("--data").arg(folder.join("data"));
    run(&mut verify).await.well();
}

#[tokio::test(flavor = "multi_thread")]
async fn books_agree_with_the_bank_however_they_were_imported() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;

    // In the bank's own order.
    let out = run(&mut program(&data, &server, &[])).await.well();
    assert!(out.contains(REFUSED), "{out}");
    assert!(
        out.contains("  transactions   49,102 booked, 0 repeated, 0 refused\n"),
        "{out}"
    );
    assert!(out.contains(FIGURES), "{out}");
    assert!(out.contains("debits = credits"), "{out}");
    assert_eq!(records(&server).await, RECORDS);

    // Again, in another order and in other batches: every row is found decided.
    let again = ["--shuffle", "1", "--batch", "700", "--in-flight", "2"];
    let out = run(&mut program(&data, &server, &again)).await.well();
    assert!(
        out.contains("  transactions        0 booked, 49,102 repeated, 0 refused\n"),
        "{out}"
    );
    assert!(out.contains(FIGURES), "{out}");
    assert_eq!(records(&server).await, RECORDS);
    let sorted = trial_balance(&server).await;
    verify(server, folder.path()).await;

    // Unsorted from the start, with SIGKILL in the middle, twice.
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    let unsorted = ["--shuffle", "7", "--batch", "250"];
    for kill_after in [12_000, 30_000] {
        let ended = interrupted(&data, &mut server, &unsorted, kill_after).await;
        assert_eq!(ended.code, Some(75), "{ended:?}");
        assert!(ended.errors.contains("run the same command"), "{ended:?}");
        server = server.start_again().await;
        let kept = records(&server).await;
        assert!(
            (kill_after..RECORDS).contains(&kept),
            "{kept} records after SIGKILL"
        );
        let acknowledged = acknowledged(&ended.errors);
        let kept = kept - (RECORDS - 49_102);
        assert!(
            kept >= acknowledged,
            "{kept} of {acknowledged} acknowledged are left"
        );
    }
    let kept = records(&server).await - (RECORDS - 49_102);
    let out = run(&mut program(&data, &server, &unsorted)).await.well();
    let counts = counts(&out);
    assert_eq!(counts, (49_102 - kept, kept), "{out}");
    assert!(out.contains(FIGURES), "{out}");
    assert_eq!(records(&server).await, RECORDS);
    assert_eq!(
        trial_balance(&server).await,
        sorted,
        "the books are the same"
    );
    verify(server, folder.path()).await;
}

/// Imports, and kills the server once it has so many records.
async fn interrupted(data: &Path, server: &mut Server, more: &[&str], kill_after: u64) -> Ended {
    const MAX: Duration = Duration::from_secs(300);
    let mut command = program(data, server, more);
    let import = tokio::spawn(async move { run(&mut command).await });
    let started = Instant::now();
    while records(server).await < kill_after {
        assert!(
            !import.is_finished(),
            "the import ended by itself: {:?}",
            import.await
        );
        assert!(
            started.elapsed() < MAX,
            "the import does not come to {kill_after} records"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill();
    import.await.unwrap()
}

/// Transactions that were acknowledged before the server went away, as the program says.
fn acknowledged(errors: &str) -> u64 {
    let (_, after) = errors.split_once("(after ").unwrap();
    let (number, _) = after.split_once(" of 49102 transactions").unwrap();
    number.parse().unwrap()
}

/// Transactions booked and repeated, as printed.
fn counts(out: &str) -> (u64, u64) {
    let line = out
        .lines()
        .find(|line| line.contains("transactions") && line.contains("booked"));
    let numbers: Vec<u64> = line
        .unwrap()
        .split_whitespace()
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect();
    (numbers[0], numbers[1])
}

#[tokio::test]
async fn other_files_are_judged_by_no_known_figures() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let write = |name: &str, text: &str| std::fs::write(files.join(name), text).unwrap();
    write(
        "client.asc",
        "\"client_id\";\"birth_number\";\"district_id\"\n1;\"706213\";18\n",
    );
    write(
        "disp.asc",
        "\"disp_id\";\"client_id\";\"account_id\";\"type\"\n1;1;5;\"OWNER\"\n",
    );
    write(
        "account.asc",
        "\"account_id\";\"district_id\";\"frequency\";\"date\"\n5;1;\"POPLATEK MESICNE\";930101\n",
    );
    write(
        "trans.asc",
        "\"trans_id\";\"account_id\";\"date\";\"type\";\"operation\";\"amount\";\"balance\";\
         \"k_symbol\";\"bank\";\"account\"\n\
         11;5;930102;\"VYDAJ\";\"VYBER\";200.00;800.05;\"\";;\n\
         10;5;930101;\"PRIJEM\";\"VKLAD\";1000.05;1000.10;\"\";;\n\
         12;5;930102;\"VYDAJ\";\"PREVOD NA UCET\";0.00;800.05;\"\";\"AB\";123\n\
         10;5;930101;\"PRIJEM\";\"VKLAD\";9.00;1000.10;\"\";;\n\
         13;6;930102;\"PRIJEM\";\"VKLAD\";1.00;1.00;\"\";;\n\
         14;5;930132;\"PRIJEM\";\"VKLAD\";1.00;1.00;\"\";;\n\
         15;5;930102;\"PRIJEM\";\"VKLAD\";ten;1.00;\"\";;\n",
    );
    let server = Server::start(folder.path()).await;
    let ended = run(&mut program(&files, &server, &[])).await;
    // Rows that the program cannot read, and rows that the engine refuses: each with its line.
    for reason in [
        "trans.asc line 4: AMOUNT_NOT_POSITIVE",
        "trans.asc line 5: IDEMPOTENCY_KEY_REUSED",
        "trans.asc line 6: account 6 is not in account.asc",
        "trans.asc line 7: \"930132\" is not a date",
        "trans.asc line 8: \"ten\" is not an amount",
        "  transactions        2 booked, 0 repeated, 2 refused",
        "  account-days                  2",
        "No figures are known for these files",
    ] {
        assert!(ended.out.contains(reason), "{reason}\n{ended:?}");
    }
    assert_eq!(ended.code, Some(1), "the engine refused rows: {ended:?}");
    server.stop();
}
