//! Sockets: TLS, deadlines for everything a client can be slow at, a cap on connections, an orderly end.
//!
//! A connection is closed when it is fresh, reading a head, or idle for too long: that covers sockets that
//! never send a byte, half-sent headers, and keep-alive alike, over HTTP/1.1 and HTTP/2.

mod body;
mod connection;
mod crowds;
mod farewell;
mod phase;
mod tls;
mod turned_away;
mod unreadable;
mod watched;

use std::{fmt, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};

pub use body::BodyTooSlow;
pub use tls::{Tls, TlsError};

use crate::{TrustedProxies, seldom::Seldom};
use connection::Service;
use crowds::{Crowds, Member};
use turned_away::TurnedAway;

/// What clients may take. Deadlines are the machine's time, not the [`Clock`](bowline_model::Clock)'s: a test that
/// skips days must not hang up on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// From the connection to its first byte; with TLS, to the end of its handshake.
    pub first_byte_max: Duration,
    /// From a request's first byte to the end of its headers.
    pub head_read_max: Duration,
    /// For a request's body, from when it has to be waited for.
    pub body_read_max: Duration,
    /// From one request's end to the next one's first byte. Longer than the idle time of the load balancer in front
    /// (often 60 s): else it sends a request into a connection that is just being closed.
    pub idle_max: Duration,
    /// For a client to take the next 64 KiB of an answer.
    pub answer_write_max: Duration,
    /// Connections at once. More are answered 503.
    pub connections_max: usize,
    /// Connections at once that are being answered 503 since there are too many. More wait in the kernel's backlog.
    pub turned_away_max: usize,
    /// For requests under way to be answered after the shutdown began. Then they are cut off.
    pub drain_max: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            first_byte_max: Duration::from_secs(10),
            head_read_max: Duration::from_secs(10),
            body_read_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(75),
            answer_write_max: Duration::from_secs(30),
            connections_max: 1024,
            turned_away_max: 256,
            drain_max: Duration::from_secs(30),
        }
    }
}

impl ServeLimits {
    /// Of connections on which nothing but a refusal is said.
    fn of_turned_away(self) -> Self {
        Self {
            first_byte_max: self.first_byte_max.min(TURNED_AWAY_MAX),
            head_read_max: self.head_read_max.min(TURNED_AWAY_MAX),
            body_read_max: self.body_read_max.min(TURNED_AWAY_MAX),
            answer_write_max: self.answer_write_max.min(TURNED_AWAY_MAX),
            idle_max: Duration::ZERO,
            ..self
        }
    }
}

/// What a client that is turned away may take for each of its steps: others wait for its place.
const TURNED_AWAY_MAX: Duration = Duration::from_secs(2);
/// How long to wait when the process has no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted. Where there is no room it forgets some of which the client
/// believes that they are open; Linux allows 4,096 unless it is told otherwise (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Listens at that address, with room for many connections to wait: more than [`TcpListener::bind`] asks for.
///
/// # Errors
/// As [`TcpListener::bind`]: the address is in use, or not this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the last connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1 and HTTP/2 (without TLS) until `shutdown` is done; then stops accepting connections, answers the
/// requests under way, and returns. As a [`Server`] without more.
///
/// # Durability
/// Nothing is lost when requests are cut off at the end of [`drain_max`](ServeLimits::drain_max), or by a kill: no
/// sender of those has been answered, so they send again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) {
    Server::new(router).limits(limits).serve(listener, shutdown).await;
}

/// A router on a socket.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use bowline_ingress::serve::{Server, Tls};
/// use bowline_model::SystemClock;
///
/// # async fn run(router: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::from_files("fullchain.pem", "privkey.pem", Arc::new(SystemClock))?;
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:443").await?;
/// Server::new(router).tls(Some(tls)).serve(listener, std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
///
/// Each request carries its peer's address as an extension, `ConnectInfo<SocketAddr>`, as under `axum::serve`.
pub struct Server {
    router: Router,
    limits: ServeLimits,
    tls: Option<Tls>,
    proxies: Option<TrustedProxies>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Server {
    /// Without TLS, within the default limits.
    pub fn new(router: Router) -> Self {
        Self { router, limits: ServeLimits::default(), tls: None, proxies: None }
    }

    /// What clients may take.
    pub fn limits(mut self, limits: ServeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Speaks TLS, and nothing else, if there is a certificate.
    pub fn tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// With this said, each peer that is none of these proxies is a client, which may have a quarter of all connections;
    /// more are answered 503. Unsaid, all may come through one proxy, and there is no such limit.
    pub fn trusted_proxies(mut self, proxies: Option<TrustedProxies>) -> Self {
        self.proxies = proxies;
        self
    }

    /// Serves until `shutdown` is done; then stops accepting connections, answers the requests under way, and returns.
    ///
    /// # Durability
    /// As [`serve`].
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let doorway = Doorway::new(&self);
        let (closing, _) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut fresh = pin!(keep_fresh(self.tls.as_ref()));
        loop {
            let Arrival { stream, peer, place, member, service } = tokio::select! {
                () = &mut shutdown => break,
                () = &mut fresh => continue,
                arrived = doorway.next(&listener) => arrived,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
            };
            let driven = connection::drive(stream, peer, service, closing.subscribe());
            connections.spawn(async move {
                driven.await;
                drop((place, member));
            });
        }
        // First, so that a load balancer goes elsewhere at once.
        drop(listener);
        closing.send_replace(true);
        drain(connections, self.limits.drain_max).await;
    }
}

async fn keep_fresh(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.keep_fresh().await,
        None => std::future::pending().await,
    }
}

/// The places for connections: those that are served, and a few more that are told that there is none.
struct Doorway {
    places: Arc<Semaphore>,
    service: Arc<Service>,
    outside: Arc<Semaphore>,
    turned_away: Arc<Service>,
    crowds: Option<Arc<Crowds>>,
    crowding: Arc<Service>,
    /// Who was turned away since all places are taken.
    full: Seldom,
}

/// A connection, its place, and how it is served there.
struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    member: Option<Member>,
    service: Arc<Service>,
}

impl Doorway {
    fn new(server: &Server) -> Self {
        let tls = server.tls.as_ref().map(Tls::acceptor);
        let places = |number: usize| Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS)));
        let limits = server.limits;
        let service = |router, limits| Arc::new(Service { router, limits, tls: tls.clone() });
        let crowds = |proxies| Arc::new(Crowds::new(proxies, limits.connections_max));
        Self {
            places: places(limits.connections_max),
            service: service(server.router.clone(), limits),
            outside: places(limits.turned_away_max),
            turned_away: service(TurnedAway::Full.router(), limits.of_turned_away()),
            crowds: server.proxies.clone().map(crowds),
            crowding: service(TurnedAway::Crowding.router(), limits.of_turned_away()),
            full: Seldom::default(),
        }
    }

    /// The next connection, as soon as there is a place for it of whichever kind.
    async fn next(&self, listener: &TcpListener) -> Arrival {
        let (place, service) = tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => (place, &self.service),
            place = Arc::clone(&self.outside).acquire_owned() => (place, &self.turned_away),
        };
        let place = place.expect("the places are never closed");
        let (stream, peer) = accept(listener).await;
        // While nobody came, one may have become free.
        let (place, service) = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(better) if Arc::ptr_eq(service, &self.turned_away) => (better, &self.service),
            Ok(_) | Err(_) => (place, service),
        };
        if Arc::ptr_eq(service, &self.turned_away) {
            self.tell_full();
            return Arrival { stream, peer, place, member: None, service: Arc::clone(service) };
        }
        match self.crowds.as_ref().map(|crowds| crowds.enter(peer.ip())) {
            None => Arrival { stream, peer, place, member: None, service: Arc::clone(service) },
            Some(Ok(member)) => Arrival { stream, peer, place, member, service: Arc::clone(service) },
            Some(Err(crowds::TooMany)) => {
                // It goes outside, if there is room.
                let place = Arc::clone(&self.outside).try_acquire_owned().unwrap_or(place);
                Arrival { stream, peer, place, member: None, service: Arc::clone(&self.crowding) }
            }
        }
    }

    fn tell_full(&self) {
        if let Some(refused) = self.full.note() {
            tracing::warn!(refused, "there are as many connections as may be: more are answered 503");
        }
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and sent at once. If it cannot be set, they come a little later.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; is the limit of open files too low?");
                pause().await;
            }
        }
    }
}

/// Whether the next connection may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[allow(clippy::disallowed_methods, reason = "sockets live in the machine's time")]
async fn pause() {
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn drain(mut connections: JoinSet<()>, drain_max: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(drain_max, all).await.is_err() {
        let (cut_off, seconds) = (connections.len(), drain_max.as_secs());
        tracing::warn!(cut_off, "connections were still open {seconds} s after the shutdown began");
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a request's handler panicked; its connection was closed");
    }
}
