//! Sockets: deadlines for everything a client can be slow at, a cap on connections, an orderly end.
//!
//! A connection is closed when it is fresh, reading a head, or idle for too long: that covers sockets that
//! never send a byte, half-sent headers, and keep-alive alike, over HTTP/1.1 and HTTP/2.

mod body;
mod connection;
mod phase;
mod unreadable;

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};

pub use body::BodyTooSlow;

/// What clients may take. Deadlines are the machine's time, not the [`Clock`](bowline_model::Clock)'s: a test that
/// skips days must not hang up on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// From the connection to its first byte.
    pub first_byte_max: Duration,
    /// From a request's first byte to the end of its headers.
    pub head_read_max: Duration,
    /// For a request's body, from when it has to be waited for.
    pub body_read_max: Duration,
    /// From one request's end to the next one's first byte. Longer than the idle time of the load balancer in front
    /// (often 60 s): else it sends a request into a connection that is just being closed.
    pub idle_max: Duration,
    /// Connections at once. More wait in the kernel's backlog.
    pub connections_max: usize,
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
            connections_max: 1024,
            drain_max: Duration::from_secs(30),
        }
    }
}

/// How long to wait when the process has no file descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP/1.1 and HTTP/2 (without TLS) until `shutdown` is done; then stops accepting connections, answers the
/// requests under way, and returns.
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
    let slots = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
    let (closing, _) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = next_connection(&listener, &slots) => accepted,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
        };
        let driven = connection::drive(stream, router.clone(), limits, closing.subscribe());
        connections.spawn(async move {
            driven.await;
            drop(slot);
        });
    }
    // First, so that a load balancer goes elsewhere at once.
    drop(listener);
    closing.send_replace(true);
    drain(connections, limits.drain_max).await;
}

/// The next connection, as soon as there is a slot for it.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the slots are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and sent at once. If it cannot be set, they come a little later.
                let _ = stream.set_nodelay(true);
                return (stream, slot);
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
