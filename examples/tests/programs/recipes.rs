//! Every recipe asserts its own balances; run again, it finds every command decided and ends in
//! the same ones.

use std::process::Command;

use schemas::proto::v1::GetHeadRequest;
use schemas::proto::v1::audit_service_client::AuditServiceClient;

use crate::support::{Server, run};

#[tokio::test]
async fn recipes_come_out_right_and_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let mut audit = AuditServiceClient::new(server.channel().await);
    for (program, ledger) in [
        (env!("CARGO_BIN_EXE_wallet"), "recipe-wallet"),
        (env!("CARGO_BIN_EXE_marketplace"), "recipe-marketplace"),
        (env!("CARGO_BIN_EXE_card-tip"), "recipe-card-tip"),
        (
            env!("CARGO_BIN_EXE_currency-exchange"),
            "recipe-currency-exchange",
        ),
        (env!("CARGO_BIN_EXE_chargeback"), "recipe-chargeback"),
    ] {
        let mut once = async || {
            let out = run(Command::new(program).args(["--server", &server.url()]))
                .await
                .well();
            let head = GetHeadRequest {
                ledger: ledger.to_owned(),
            };
            let head = audit.get_head(head).await.unwrap().into_inner();
            (out, head.ledger_sequence, head.record_hash)
        };
        let first = once().await;
        assert!(
            first.0.contains("is refused: "),
            "{program} shows a refusal:\n{}",
            first.0
        );
        assert_eq!(
            first,
            once().await,
            "{program} writes nothing when it is run again"
        );
    }
    server.stop();
}
