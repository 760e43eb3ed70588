//! The operations port: `/metrics`, `/healthz`, `/readyz`, and AdminService.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

/// What the pages ask.
#[derive(Clone)]
pub struct Pages {
    metrics: PrometheusHandle,
    health: Arc<dyn Health>,
}

/// How the server is doing.
pub trait Health: Send + Sync + 'static {
    /// What keeps it from serving; empty when it serves.
    fn obstacles(&self) -> Vec<String>;
    /// Brings gauges up to date.
    fn measure(&self);
}

/// The pages, to which gRPC routes may be merged.
pub fn pages(metrics: PrometheusHandle, health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready_page))
        .with_state(Pages { metrics, health })
}

async fn metrics_page(State(pages): State<Pages>) -> impl IntoResponse {
    pages.health.measure();
    metrics::gauge!("daybook_process_resident_bytes").set(resident_bytes() as f64);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        pages.metrics.render(),
    )
}

async fn ready_page(State(pages): State<Pages>) -> impl IntoResponse {
    let obstacles = pages.health.obstacles();
    match obstacles.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", obstacles.join("\n")),
        ),
    }
}

/// Resident memory of this process; 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kilobytes| kilobytes * 1_024)
}
