//! The operations port: `/metrics`, `/healthz`, `/readyz`, and AdminService.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

/// How the server is doing.
pub trait Health: Send + Sync + 'static {
    /// What keeps it from serving; empty when it serves.
    fn obstacles(&self) -> Vec<String>;
    /// Brings gauges up to date.
    fn measure(&self);
}

/// What a server that starts waits for, as its readiness tells.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<RwLock<String>>);

impl Waiting {
    /// Tells that it waits for this.
    pub fn say(&self, what: impl Into<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    fn said(&self) -> String {
        let said = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match said.is_empty() {
            true => "the server starts".to_owned(),
            false => format!("the server starts: {said}"),
        }
    }
}

/// The operations port: the pages from the beginning, all else once the server has started.
#[derive(Clone)]
pub struct Gate {
    metrics: PrometheusHandle,
    waiting: Waiting,
    started: Arc<OnceLock<(Arc<dyn Health>, Router)>>,
}

impl Gate {
    /// A server that starts.
    pub fn new(metrics: PrometheusHandle) -> Self {
        Self {
            metrics,
            waiting: Waiting::default(),
            started: Arc::default(),
        }
    }

    /// Hears what the start waits for.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// The server has started: `health` tells how it is doing, `routes` answers all other paths.
    pub fn open(&self, health: Arc<dyn Health>, routes: Router) {
        // Once is enough: a server starts once.
        let _ = self.started.set((health, routes));
    }

    /// The routes of the port.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(metrics_page))
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(ready_page))
            .fallback(others)
            .with_state(self.clone())
    }

    fn health(&self) -> Option<&Arc<dyn Health>> {
        self.started.get().map(|(health, _)| health)
    }
}

async fn others(State(gate): State<Gate>, request: Request) -> axum::response::Response {
    match gate.started.get() {
        Some((_, routes)) => super::gate::pass(routes.clone(), request).await,
        None => super::gate::starting(),
    }
}

async fn metrics_page(State(gate): State<Gate>) -> impl IntoResponse {
    if let Some(health) = gate.health() {
        health.measure();
    }
    metrics::gauge!("daybook_process_resident_bytes").set(resident_bytes() as f64);
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        gate.metrics.render(),
    )
}

async fn ready_page(State(gate): State<Gate>) -> impl IntoResponse {
    let obstacles = match gate.health() {
        Some(health) => health.obstacles(),
        None => vec![gate.waiting.said()],
    };
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
