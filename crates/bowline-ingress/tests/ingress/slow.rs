//! Five hundred clients that are slow in every way there is, and those who are not do not notice.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, routing::get};
use bowline_ingress::ServeLimits;
use bowline_model::{Clock, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    site::{PATH, Plan, Site, pairs, payment, plan, signed},
    wire::head,
};

const SLOW_CLIENTS: usize = 500;
/// No slow client is held that long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a client may take here for each of its steps: a fifth of what it may in production, so the slow send their byte
/// ten times a second, not once; and enough for one that is not slow, on a machine that is.
const LIMIT: Duration = Duration::from_secs(2);
const BYTE_EVERY: Duration = Duration::from_millis(100);
/// More than the kernel holds for a client that does not read.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Events of good clients, at least.
const GOOD_MIN: usize = 25;

/// How a client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Silent,
    HalfHead,
    TricklingHead,
    HalfBody,
    TricklingBody,
    HalfPreface,
    NeverReads,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Silent,
        Self::HalfHead,
        Self::TricklingHead,
        Self::HalfBody,
        Self::TricklingBody,
        Self::HalfPreface,
        Self::NeverReads,
    ];

    /// What it is told in the end.
    fn told(self) -> &'static str {
        match self {
            // Whoever has said nothing, or nothing of HTTP/1.1, is told nothing.
            Self::Silent | Self::HalfPreface => "",
            Self::HalfHead | Self::TricklingHead | Self::HalfBody | Self::TricklingBody => "HTTP/1.1 408 ",
            Self::NeverReads => "HTTP/1.1 200 ",
        }
    }

    fn first(self) -> Vec<u8> {
        let body = payment("evt_slow");
        let headers = signed(body.as_bytes(), SystemClock.now());
        let whole_head = head("POST", PATH, &pairs(&headers), body.len());
        match self {
            Self::Silent => vec![],
            Self::HalfHead => whole_head[..whole_head.len() / 2].into(),
            Self::TricklingHead => "POST / HTTP/1.1\r\nx: ".into(),
            Self::HalfBody => (whole_head + &body[..10]).into(),
            Self::TricklingBody => head("POST", PATH, &pairs(&headers), 1_000_000).into(),
            Self::HalfPreface => "PRI * HTTP/2.0\r\n".into(),
            Self::NeverReads => head("GET", "/large", &[], 0).into(),
        }
    }

    fn trickles(self) -> bool {
        matches!(self, Self::TricklingHead | Self::TricklingBody)
    }
}

/// Is slow until it is let go; what it was told then.
async fn be_slow(at: SocketAddr, kind: Kind) -> String {
    // Made before the connection, whose first bytes are waited for.
    let first = kind.first();
    let socket = TcpSocket::new_v4().unwrap();
    // So that little of a large answer fits on the way.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(at).await.unwrap();
    stream.write_all(&first).await.unwrap();
    if kind == Kind::NeverReads {
        return stop_reading(stream).await;
    }
    let mut told = vec![];
    timeout(PATIENCE, async {
        loop {
            let mut more = [0; 4096];
            match timeout(BYTE_EVERY, stream.read(&mut more)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(bytes)) => told.extend_from_slice(&more[..bytes]),
                // Nobody listens to whom it was told already.
                Err(_elapsed) if kind.trickles() && told.is_empty() => {
                    let _ = stream.write_all(b"x").await;
                }
                Err(_elapsed) => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{kind:?} was not let go"));
    String::from_utf8(told).unwrap()
}

/// Reads how the answer begins and no more. That the server has given up shows in what is sent to it: nobody takes it.
async fn stop_reading(mut stream: TcpStream) -> String {
    let mut told = [0; 13];
    stream.read_exact(&mut told).await.unwrap();
    timeout(PATIENCE, async {
        while stream.write_all(b"x").await.is_ok() {
            SystemClock.sleep(BYTE_EVERY).await;
        }
    })
    .await
    .expect("a client that does not read is let go");
    String::from_utf8_lossy(&told).into_owned()
}

static LARGE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'a'; ANSWER_BYTES]));

fn with_large_answers(router: Router) -> Router {
    router.route("/large", get(async || LARGE.clone()))
}

/// Sends one event after another until it is stopped.
async fn be_good(site: Arc<Site>, stop: Arc<AtomicBool>) -> usize {
    let mut sent = 0;
    while sent < GOOD_MIN || !stop.load(Ordering::SeqCst) {
        let reply = site.deliver(payment(&format!("evt_{sent}"))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        sent += 1;
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
    sent
}

#[tokio::test]
async fn an_answer_over_http_2_that_is_not_read_ends_its_connection() {
    // Over HTTP/2 an answer waits for its client's window, and its connection counts as idle.
    let limits = ServeLimits { idle_max: LIMIT, ..ServeLimits::default() };
    let large = |router: Router| router.route("/some", get(async || Bytes::from(vec![b'a'; 128 * 1024])));
    let site = Plan { limits, around: large, ..plan() }.open().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(16 * 1024)
        .build()
        .unwrap();
    let url = format!("http://{}/some", site.at);
    let read = client.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(read.len(), 128 * 1024);
    let unread = client.get(&url).send().await.unwrap();
    SystemClock.sleep(LIMIT * 4).await;
    assert!(unread.bytes().await.is_err(), "the server went on waiting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_slow_clients_stop_nobody_and_are_let_go() {
    let limits = ServeLimits {
        first_byte_max: LIMIT,
        head_read_max: LIMIT,
        body_read_max: LIMIT,
        answer_write_max: LIMIT,
        ..ServeLimits::default()
    };
    let site = Plan { limits, around: with_large_answers, ..plan() }.open().await;
    let (site, stop) = (Arc::new(site), Arc::new(AtomicBool::new(false)));
    let slow: Vec<_> = (0..SLOW_CLIENTS)
        .map(|number| {
            let kind = Kind::ALL[number % Kind::ALL.len()];
            (kind, tokio::spawn(be_slow(site.at, kind)))
        })
        .collect();
    let good = tokio::spawn(be_good(Arc::clone(&site), Arc::clone(&stop)));
    for (kind, client) in slow {
        let told = client.await.unwrap();
        assert!(told.starts_with(kind.told()), "{kind:?} was told {told:.60}");
        assert!(!kind.told().is_empty() || told.is_empty(), "{kind:?} was told {told:.60}");
    }
    stop.store(true, Ordering::SeqCst);
    let sent = good.await.unwrap();
    assert_eq!(site.runs().await.len().min(GOOD_MIN), GOOD_MIN);
    println!("{sent} events of good clients, {SLOW_CLIENTS} slow clients let go");
}
