//! Remotes to call: an HTTP server that answers by script, and one that does to a connection what a closure says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, Response, Uri, Version},
};
use bowline_client::{Api, Call};
use bowline_model::{Attempt, BoxFuture, Clock, Effect, Failure, SystemClock, Variables, Verdict};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// Longer than any test runs: an attempt with it never times out.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An HTTP server whose answers a closure gives, and that remembers what it saw.
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Remote {
    /// Answers the nth request (from 1) with `answer(nth, request)`.
    pub(crate) async fn new(
        answer: impl Fn(usize, &Seen) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (app, seen) = Self::app(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    /// The server without a socket, and what it will see.
    pub(crate) fn app(
        answer: impl Fn(usize, &Seen) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> (Router, Arc<Mutex<Vec<Seen>>>) {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let app = Router::new().fallback(move |request: Request| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let (method, uri, version, headers) = (head.method, head.uri, head.version, head.headers);
                let seen = Seen { method, uri, version, headers, body };
                let nth = {
                    let mut log = log.lock().unwrap();
                    log.push(seen.clone());
                    log.len()
                };
                answer(nth, &seen)
            }
        });
        (app, seen)
    }

    /// Answers every request with that status, headers and body.
    pub(crate) async fn always(
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = body.into();
        Self::new(move |_, _| {
            let with = |response: axum::http::response::Builder, (name, value): &(&'static str, String)| {
                response.header(*name, value)
            };
            let response = headers.iter().fold(Response::builder().status(status), with);
            response.body(Body::from(body.clone())).unwrap()
        })
        .await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// An Api at this remote, called `crm`.
    pub(crate) fn api(&self) -> Api {
        api_at(self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An Api called `crm` at that address.
pub(crate) fn api_at(address: SocketAddr) -> Api {
    Api::with_variables("crm", Variables::new(|_| None)).base_url(&format!("http://{address}"))
}

pub(crate) fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(body.into()).unwrap()
}

/// One attempt, the first, under the key `key-1`.
pub(crate) async fn once<T>(call: Call<T>) -> Verdict<T>
where
    T: Serialize + DeserializeOwned + Send,
{
    call.attempt(Attempt::new("key-1", 1, LONG)).await
}

/// The value of a verdict that must be `Done`.
pub(crate) fn done<T: std::fmt::Debug>(verdict: Verdict<T>) -> T {
    match verdict {
        Verdict::Done(value) => value,
        other => panic!("not done: {other:?}"),
    }
}

pub(crate) fn later<T: std::fmt::Debug>(verdict: Verdict<T>) -> Failure {
    match verdict {
        Verdict::RetryAfter(failure) => failure,
        other => panic!("not to be retried: {other:?}"),
    }
}

pub(crate) fn refused<T: std::fmt::Debug>(verdict: Verdict<T>) -> Failure {
    match verdict {
        Verdict::Refused(failure) => failure,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn unknown<T: std::fmt::Debug>(verdict: Verdict<T>) -> Failure {
    match verdict {
        Verdict::Unknown(failure) => failure,
        other => panic!("not unknown: {other:?}"),
    }
}

/// A TCP server that does to each connection (from 1) what the closure says.
pub(crate) async fn raw<F, Fut>(act: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for nth in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(act(nth, stream));
        }
    });
    address
}

/// Reads the head of one request, and a short body that comes with it. `false` at the connection's end.
pub(crate) async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = vec![];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return false,
            Ok(read) => request.extend_from_slice(&part[..read]),
        }
    }
    true
}

/// Writes those bytes, and leaves the connection open.
pub(crate) async fn write(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// A clock in the test's hand: attempts time out when the test says so, retry waits end at once and move the time.
pub(crate) struct Hand {
    pub(crate) time_up: Arc<Notify>,
    /// Where it is there, waits other than `LONG` end by it, and not at once.
    wait_over: Option<Arc<Notify>>,
    state: Mutex<(Timestamp, Vec<Duration>)>,
}

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::begin(None))
    }

    /// As [`new`](Self::new), but nothing that is waited for is over before the test says so.
    pub(crate) fn still(wait_over: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self::begin(Some(wait_over)))
    }

    fn begin(wait_over: Option<Arc<Notify>>) -> Self {
        let state = Mutex::new((Timestamp::UNIX_EPOCH, vec![]));
        Self { time_up: Arc::default(), wait_over, state }
    }

    /// The retry waits so far.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.state.lock().unwrap().1.clone()
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        Duration::try_from(self.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        if wait == LONG {
            let time_up = self.time_up.clone();
            return Box::pin(async move { time_up.notified().await });
        }
        if let Some(over) = self.wait_over.clone() {
            return Box::pin(async move { over.notified().await });
        }
        let mut state = self.state.lock().unwrap();
        state.0 += wait;
        state.1.push(wait);
        Box::pin(std::future::ready(()))
    }

    fn random(&self) -> u64 {
        SystemClock.random()
    }
}
