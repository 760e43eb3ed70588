//! How the read models are set up, shared, lost and found again, on a real server.

#![allow(clippy::unwrap_used)]
#![allow(dead_code)]

mod common;

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let schema = common::Schema::new();
    let opened = schema.open(2).await;
    opened.close().await;
    let opened = schema.open(2).await;
    opened.reachable().await.unwrap();
    opened.close().await;
}
