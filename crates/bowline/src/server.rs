//! Serves an app: store, engine, door and admin API, started in the order in which an event needs them and stopped in
//! the other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bowline_engine::EngineOptions;
use bowline_ingress::{ServeLimits, Server, serve};
use bowline_model::Clock;
use bowline_store::{SqliteStore, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    OpenError,
    app::BuiltApp,
    config::StoreConfig,
    node::{Node, Owner},
};

/// How an app is served.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServeOptions {
    pub(crate) engine: EngineOptions,
    pub(crate) limits: ServeLimits,
    pub(crate) retention: Duration,
}

/// Why an app cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("cannot listen on {address} ({variable}): {source}; is another program using it?")]
    Listen { variable: &'static str, address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Opens the store at its path, as the only process that has it.
pub(crate) fn open_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&config.path, config.options.clone(), clock)
}

/// Each connection is an open file, and so are those to other systems. What shells allow is often less than what they
/// let programs ask for.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Serves until the process is asked to stop (SIGTERM, SIGINT).
pub(crate) async fn run(app: BuiltApp) -> Result<(), ServeError> {
    let stop = stop_signal().map_err(ServeError::Signals)?;
    allow_open_files();
    let sqlite = open_store(&app.config.store, app.clock.clone())?;
    let events = listen("BOWLINE_LISTEN", app.config.listen)?;
    let admin = listen("BOWLINE_ADMIN", app.config.admin)?;
    let (events_at, admin_at) = (address(&events, app.config.listen), address(&admin, app.config.admin));
    sqlite.set_admin_address(admin_at)?;
    let node = Node::start(&app, Arc::new(sqlite), Owner::Us).await?;
    node.start_triggers(&app);
    node.keep_house(&app);
    tracing::info!(
        app = %app.name, build = %app.build, store = %app.config.store.path.display(),
        "listening on {}://{events_at}, admin on http://{admin_at}",
        if app.config.tls.is_some() { "https" } else { "http" },
    );
    let limits = app.serve.limits;
    let (events_stopping, events_stopped) = watch::channel(false);
    let door = Server::new(node.door.router())
        .limits(limits)
        .tls(app.config.tls.clone())
        .trusted_proxies(app.config.proxies.clone());
    let events = tokio::spawn(door.serve(events, told(events_stopped)));
    // Whoever bound it to an address of this machine reaches it by that address.
    let desk = node.admin().allow_host(app.config.admin.ip().to_string()).router();
    let (admin_stopping, admin_stopped) = watch::channel(false);
    let admin = tokio::spawn(serve(admin, desk, limits, told(admin_stopped)));

    stop.await;
    tracing::info!("stopping: no new events; calls under way may end");
    node.stop_accepting();
    events_stopping.send_replace(true);
    join(events).await;
    node.finish().await;
    admin_stopping.send_replace(true);
    join(admin).await;
    node.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn listen(variable: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    bowline_ingress::listen(address).map_err(|source| ServeError::Listen { variable, address, source })
}

/// The port that was really bound, where 0 was asked for.
fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the server failed");
    }
}

/// Ends when the process is asked to stop.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
