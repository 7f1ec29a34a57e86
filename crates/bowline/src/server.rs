//! Serves an app: store, engine, door and admin API, started in the order in which an event needs them and stopped in
//! the other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bowline_dashboard::Admin;
use bowline_engine::{Engine, EngineOptions};
use bowline_ingress::{Door, ServeLimits, serve};
use bowline_model::{Clock, Progress};
use bowline_store::{SqliteStore, Store, StoreError};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{app::BuiltApp, config::StoreConfig};

/// How an app is served.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServeOptions {
    pub(crate) engine: EngineOptions,
    pub(crate) limits: ServeLimits,
    pub(crate) retention: Duration,
}

/// How often what retention no longer keeps is looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// The pause between two pieces of tidying, so that accepting comes first.
const TIDY_PAUSE: Duration = Duration::from_millis(50);

/// Why an app cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("cannot listen on {address} ({variable}): {source}; is another program using it?")]
    Listen { variable: &'static str, address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Routes(#[from] bowline_ingress::RouteErrors),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Opens the store at its path, as the only process that has it.
pub(crate) fn open_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&config.path, config.options.clone(), clock)
}

/// Serves until the process is asked to stop (SIGTERM, SIGINT).
pub(crate) async fn run(app: BuiltApp) -> Result<(), ServeError> {
    let stop = stop_signal().map_err(ServeError::Signals)?;
    let sqlite = open_store(&app.config.store, app.clock.clone())?;
    let events = listen("BOWLINE_LISTEN", app.config.listen).await?;
    let admin = listen("BOWLINE_ADMIN", app.config.admin).await?;
    let (events_at, admin_at) = (address(&events, app.config.listen), address(&admin, app.config.admin));
    sqlite.set_admin_address(admin_at)?;
    let store: Arc<dyn Store> = Arc::new(sqlite);
    let parts = Parts::start(&app, store.clone()).await?;
    tracing::info!(
        app = %app.name, build = %app.build, store = %app.config.store.path.display(),
        "listening on http://{events_at}, admin on http://{admin_at}"
    );
    let (stopping, stopped) = watch::channel(false);
    let ended = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let limits = app.serve.limits;
    let events = tokio::spawn(serve(events, parts.door.router(), limits, ended(stopped.clone())));
    let (admin_stopping, admin_stopped) = watch::channel(false);
    let admin = tokio::spawn(serve(admin, parts.admin(&app, store.clone()), limits, ended(admin_stopped)));
    let tidy = tokio::spawn(tidy(store.clone(), app.clock.clone(), app.serve.retention, stopped));

    stop.await;
    tracing::info!("stopping: no new events; calls under way may end");
    stopping.send_replace(true);
    join(events).await;
    parts.door.finish().await;
    parts.engine.shutdown().await;
    join(tidy).await;
    admin_stopping.send_replace(true);
    join(admin).await;
    store.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// What runs between the listeners and the store.
struct Parts {
    engine: Arc<Engine>,
    door: Door,
}

impl Parts {
    async fn start(app: &BuiltApp, store: Arc<dyn Store>) -> Result<Self, ServeError> {
        let engine = Engine::start(
            store.clone(),
            app.clock.clone(),
            app.build.clone(),
            app.workflows.clone(),
            app.serve.engine.clone(),
        );
        let engine = Arc::new(engine.await?);
        let poked = engine.clone();
        let door = Door::new(
            store,
            app.clock.clone(),
            app.build.clone(),
            app.routes.clone(),
            Arc::new(move || poked.poke()),
        )?;
        Ok(Self { engine, door })
    }

    fn admin(&self, app: &BuiltApp, store: Arc<dyn Store>) -> axum::Router {
        let (asked, poked) = (self.engine.clone(), self.engine.clone());
        let progress = move || -> bowline_model::BoxFuture<'static, Progress> {
            Box::pin(std::future::ready(asked.progress()))
        };
        let admin = Admin::new(
            store,
            app.clock.clone(),
            app.build.clone(),
            Arc::new(progress),
            Arc::new(move || poked.poke()),
        );
        // Whoever bound it to an address of this machine reaches it by that address.
        admin.allow_host(app.config.admin.ip().to_string()).router()
    }
}

async fn listen(variable: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { variable, address, source })
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

/// Removes what retention no longer keeps, until the server stops.
async fn tidy(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let now = clock.now();
        let before = now.checked_sub(retention).unwrap_or(jiff::Timestamp::MIN);
        let pause = match store.tidy(before, now).await {
            Ok(true) => TIDY_PAUSE,
            Ok(false) => TIDY_EVERY,
            Err(error) => {
                tracing::warn!(%error, "old runs could not be removed; tried again in a minute");
                TIDY_EVERY
            }
        };
        tokio::select! {
            () = clock.sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
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
