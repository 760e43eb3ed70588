//! A port that answers from the beginning: that the server starts, until it has started.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use schemas::error::Fault;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::service::Routes;

/// The gRPC port. Clones are the same.
#[derive(Clone, Default)]
pub struct Gate {
    started: Arc<OnceLock<Router>>,
}

impl Gate {
    /// What the port serves: before [`Self::open`] every call is UNAVAILABLE.
    pub fn routes(&self) -> Routes {
        Routes::from(Router::new().fallback(answer).with_state(self.clone()))
    }

    /// The server has started: `routes` answers from now on.
    pub fn open(&self, routes: Routes) {
        // Once is enough: a server starts once.
        let _ = self.started.set(routes.prepare().into_axum_router());
    }
}

async fn answer(State(gate): State<Gate>, request: Request) -> Response {
    match gate.started.get() {
        Some(routes) => pass(routes.clone(), request).await,
        None => starting(),
    }
}

/// Lets `routes` answer.
pub(super) async fn pass(mut routes: Router, request: Request) -> Response {
    let answered: Result<Response, Infallible> = routes.call(request).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Says that the server starts; a repeated call may be answered.
pub(super) fn starting() -> Response {
    let status: Status =
        Fault::unavailable("the server starts; /readyz says what it waits for").into();
    status.into_http::<Body>().map(axum::body::Body::new)
}
