//! `daybook serve`.

mod admin;
pub mod cluster;
pub mod config;
pub mod embedded;
mod gate;
mod info;
mod logging;
pub mod node;
pub mod operations;
pub mod route;
mod services;
mod statuses;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use schemas::proto::v1::account_service_server::AccountServiceServer;
use schemas::proto::v1::admin_service_server::AdminServiceServer;
use schemas::proto::v1::audit_service_server::AuditServiceServer;
use schemas::proto::v1::command_service_server::CommandServiceServer;
use schemas::proto::v1::ledger_service_server::LedgerServiceServer;
use schemas::proto::v1::query_service_server::QueryServiceServer;
use schemas::proto::v1::server_service_server::ServerServiceServer;
use schemas::proto::v1::transaction_service_server::TransactionServiceServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::client::failure::{Failure, Kind};
use crate::client::output::{self, BOLD, CYAN, DIM};
use crate::client::session::MESSAGE_BYTES_MAX;
use config::{Config, Profile, ServeArgs};
use gate::Gate;
use node::Node;
use services::Services;

/// How long open calls may take to end after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a server until a signal ends it.
///
/// # Errors
/// It cannot be started: the settings, the folder or a port.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = Config::load(args)?;
    logging::start(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("daybook")
        .build()?;
    let served = runtime.block_on(serve(&config));
    // What still runs (streams that follow) ends with the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served
}

async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(
            Kind::Broken,
            "ADDRESS_IN_USE",
            format!("{what} {address} cannot be listened on: {error}"),
        )
        .hint("another server may run: daybook server info")
        .hint("or choose another: --listen 127.0.0.1:0 --operations-listen 127.0.0.1:0")
    })
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let metrics = metrics()?;
    let mut signals = Signals::new()?;
    let api = bind(config.listen, "listen").await?;
    let operations = bind(config.operations_listen, "operations_listen").await?;
    let addresses = (api.local_addr()?, operations.local_addr()?);
    let (stop, stopping) = watch::channel(false);
    let operations_gate = operations::Gate::new(metrics);
    let mut serving = vec![tokio::spawn(serve_operations(
        operations,
        operations_gate.router(),
        stopping.clone(),
    ))];
    // A cluster's servers may have to be waited for: its port answers meanwhile, and says so. A
    // folder is opened at once: its callers are let in when it is.
    let mut listener = Some(api);
    let api_gate = Gate::default();
    if config.profile == Profile::Cluster
        && let Some(listener) = listener.take()
    {
        let routes = api_gate.routes();
        serving.push(tokio::spawn(serve_api(listener, routes, stopping.clone())));
    }
    let node = tokio::select! {
        node = Node::start(config, addresses.0, operations_gate.waiting()) => node?,
        () = signals.next() => return Ok(()),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<CommandServiceServer<Services>>().await;
    operations_gate.open(Arc::new(node.health()), operations_routes(&node)?);
    let routes = routes(&node, health_service)?;
    match listener {
        Some(listener) => serving.push(tokio::spawn(serve_api(listener, routes, stopping))),
        None => api_gate.open(routes),
    }
    welcome(&node, addresses);
    signals.next().await;
    tracing::info!("stopping: what was taken is finished; a second signal stops at once");
    let at_once = tokio::spawn(async move {
        signals.next().await;
        // Nothing acknowledged is lost by this.
        std::process::exit(130);
    });
    health
        .set_not_serving::<CommandServiceServer<Services>>()
        .await;
    let _ = stop.send(true);
    for task in serving {
        let abort = task.abort_handle();
        if tokio::time::timeout(GRACE, task).await.is_err() {
            abort.abort();
        }
    }
    drop((api_gate, operations_gate));
    node.stop().await;
    at_once.abort();
    tracing::info!("stopped");
    Ok(())
}

fn metrics() -> Result<PrometheusHandle, Failure> {
    let broken =
        |error: metrics_exporter_prometheus::BuildError| Failure::broken(error.to_string());
    let seconds = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0,
    ];
    let sizes = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
    let matcher = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(matcher("_seconds"), &seconds)
        .and_then(|builder| builder.set_buckets_for_metric(matcher("_bytes"), &sizes))
        .and_then(|builder| builder.set_buckets_for_metric(matcher("_records"), &sizes))
        .map_err(broken)?
        .install_recorder()
        .map_err(broken)?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        loop {
            every.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
    Failure,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(schemas::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Failure::broken(error.to_string()))
}

fn routes(
    node: &Node,
    health: tonic_health::pb::health_server::HealthServer<
        impl tonic_health::pb::health_server::Health,
    >,
) -> Result<Routes, Failure> {
    let services = Services {
        route: Arc::new(node.route()),
    };
    let mut routes = Routes::builder();
    routes
        .add_service(health)
        .add_service(reflection()?)
        .add_service(ServerServiceServer::new(info::Info::of(node)));
    macro_rules! add {
        ($($server:ident),*) => {
            $(routes.add_service(
                $server::new(services.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX),
            );)*
        };
    }
    add!(
        LedgerServiceServer,
        AccountServiceServer,
        TransactionServiceServer,
        CommandServiceServer,
        QueryServiceServer,
        AuditServiceServer
    );
    Ok(statuses::told(routes.routes()).into())
}

fn operations_routes(node: &Node) -> Result<axum::Router, Failure> {
    let mut routes = Routes::builder();
    routes
        .add_service(reflection()?)
        .add_service(AdminServiceServer::new(admin::Admin::of(node)));
    Ok(statuses::told(routes.routes()))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Gone or told: both mean that it stops.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn serve_api(listener: TcpListener, routes: Routes, stopping: watch::Receiver<bool>) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(16 * 1024 * 1024)
        .initial_connection_window_size(64 * 1024 * 1024)
        .max_frame_size(1024 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stopped(stopping))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the API is not served any more");
    }
}

async fn serve_operations(
    listener: TcpListener,
    router: axum::Router,
    stopping: watch::Receiver<bool>,
) {
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stopped(stopping))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the operations port is not served any more");
    }
}

fn welcome(node: &Node, (api, operations): (SocketAddr, SocketAddr)) {
    let parts = &node.parts;
    let log = &parts.stores.log;
    tracing::info!(
        address = %api, operations = %operations, log_id = %log.log_id(),
        shards = log.shard_count(), books = %parts.place, roles = ?parts.roles.names(), "serving"
    );
    let server = match api.port() {
        7420 => String::new(),
        _ => format!(" --server http://{api}"),
    };
    output::line(format!(
        "{BOLD}Daybook {}{BOLD:#} keeps its books in {CYAN}{}{CYAN:#} {DIM}(log {}, {} shard{}){DIM:#}",
        env!("CARGO_PKG_VERSION"),
        parts.place,
        log.log_id(),
        log.shard_count(),
        if log.shard_count() == 1 { "" } else { "s" },
    ));
    output::line(format!("  gRPC        {CYAN}http://{api}{CYAN:#}"));
    output::line(format!(
        "  operations  {CYAN}http://{operations}{CYAN:#} {DIM}/metrics /healthz /readyz{DIM:#}"
    ));
    output::line("Try, in another terminal:");
    for command in [
        "ledger create",
        "account open bank:cash --asset USD --type asset",
        "account open customers:ada --asset USD --type liability --minimum 0",
        "transaction create --from bank:cash --to customers:ada 12.50 USD",
        "log -f",
    ] {
        output::line(format!("  daybook {command}{server}"));
    }
    output::line(format!("{DIM}Ctrl-C stops it cleanly.{DIM:#}"));
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
