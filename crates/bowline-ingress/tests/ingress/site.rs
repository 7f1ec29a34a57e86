//! A site that listens: routes, a store, a server. And events for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use bowline_ingress::{
    Door, Fetch, Provider, Route, ServeLimits, Server, TrustedProxies, Unsigned, listen, providers::Stripe,
};
use bowline_model::{BuildId, Clock, Event, EventId, Run, Secret, SystemClock};
use bowline_store::{RunFilter, SqliteOptions, SqliteStore, Store};
use jiff::Timestamp;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    log,
    wire::{PATIENCE, Reply, post},
};

pub(crate) const SECRET: &str = "whsec_the_sites_own_secret";
pub(crate) const PATH: &str = "/webhooks/stripe";

pub(crate) struct Plan {
    pub(crate) routes: Vec<Route>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: ServeLimits,
    pub(crate) around: fn(Router) -> Router,
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) public_url: Option<String>,
    pub(crate) server: Box<dyn FnOnce(Server) -> Server + Send>,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
}

/// A listening site, until it is dropped.
pub(crate) struct Site {
    pub(crate) at: SocketAddr,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) door: Door,
    woken: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

pub(crate) fn stripe() -> Stripe {
    Stripe::new(&Secret::new(SECRET)).expect("not empty")
}

pub(crate) fn memory(clock: Arc<dyn Clock>) -> SqliteStore {
    SqliteStore::in_memory(SqliteOptions::default(), clock).expect("memory")
}

/// One route, on which succeeded payments start `stripe-to-crm`.
pub(crate) fn plan() -> Plan {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Plan {
        routes: vec![
            Route::new(PATH, Arc::new(stripe())).on("payment_intent.succeeded", "stripe-to-crm".into()),
        ],
        store: Arc::new(memory(Arc::clone(&clock))),
        clock,
        limits: ServeLimits::default(),
        around: |router| router,
        proxies: None,
        public_url: None,
        server: Box::new(|server| server),
        fetch: None,
    }
}

pub(crate) async fn open() -> Site {
    plan().open().await
}

impl Plan {
    pub(crate) async fn open(self) -> Site {
        log::capture();
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        let door = Door::new(
            Arc::clone(&self.store),
            self.clock,
            BuildId::from("build-1"),
            self.routes,
            Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
            }),
        );
        let door = door.expect("the routes are sound").trusted_proxies(self.proxies.clone());
        let door = match self.fetch {
            Some(port) => door.fetch(port),
            None => door,
        };
        let door = door.public_url(self.public_url);
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let at = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let router = (self.around)(door.router());
        let server = (self.server)(Server::new(router).limits(self.limits).trusted_proxies(self.proxies));
        let served = tokio::spawn(server.serve(listener, async {
            let _ = stopped.await;
        }));
        Site { at, store: self.store, door, woken, stop: Some(stop), served }
    }
}

impl Site {
    /// Sends a body as Stripe would, and as it would sign it now.
    pub(crate) async fn deliver(&self, body: impl AsRef<[u8]>) -> Reply {
        self.deliver_to(PATH, body).await
    }

    pub(crate) async fn deliver_to(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        let signed = signed(body.as_ref(), SystemClock.now());
        post(self.at, path, &pairs(&signed), body.as_ref()).await
    }

    /// How often the engine was woken.
    pub(crate) fn woken(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }

    pub(crate) async fn runs(&self) -> Vec<Run> {
        let mut runs = self.store.runs(RunFilter::default()).await.expect("the store reads");
        runs.reverse();
        runs
    }

    pub(crate) async fn event(&self, id: i64) -> Option<Event> {
        self.store.event(EventId(id)).await.expect("the store reads")
    }

    pub(crate) async fn stored_nothing(&self) -> bool {
        self.runs().await.is_empty() && self.event(1).await.is_none() && self.woken() == 0
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().expect("stopped once").send(());
    }

    /// Waits for the server's end.
    pub(crate) async fn ended(self) {
        timeout(PATIENCE, self.served).await.expect("ended in time").expect("ended well");
    }
}

/// The headers with which Stripe would send this.
pub(crate) fn signed(body: &[u8], now: Timestamp) -> Vec<(String, String)> {
    let headers = stripe().sign(&Unsigned::new(body), now).expect("Stripe's secret signs").headers;
    let text = |(name, value): (axum::http::HeaderName, axum::http::HeaderValue)| {
        (name.to_string(), value.to_str().expect("text").to_owned())
    };
    headers.into_iter().map(text).collect()
}

pub(crate) fn pairs(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A succeeded payment.
pub(crate) fn payment(id: &str) -> String {
    event(id, "payment_intent.succeeded")
}

pub(crate) fn event(id: &str, kind: &str) -> String {
    format!(
        "{{\n  \"id\": \"{id}\", \"object\": \"event\", \"type\": \"{kind}\",\n  \"data\": {{\"object\": \
         {{\"id\": \"pi_1\", \"amount_received\": 2000, \"note\": \"café\"}}}}\n}}\r\n"
    )
}
