//! Slow clients are let go, and nobody who waits for an answer is cut off.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, middleware::Next};
use bowline_ingress::ServeLimits;
use bowline_model::{Clock, SystemClock};
use tokio::net::TcpStream;

use crate::{
    gate::Gated,
    log,
    site::{PATH, Plan, Site, memory, pairs, payment, plan, signed},
    wire::{PATIENCE, Wire, head},
};

/// So short that only who does nothing is met by it.
const SHORT: Duration = Duration::from_millis(150);

/// More than is read of a refused body before it is answered, and less than what is read after that besides.
const UPLOAD_BYTES: usize = 6 * 1024 * 1024;

async fn site(limits: ServeLimits) -> Site {
    Plan { limits, ..plan() }.open().await
}

async fn send(wire: &mut Wire, body: &str) {
    let headers = signed(body.as_bytes(), SystemClock.now());
    wire.send(head("POST", PATH, &pairs(&headers), body.len()) + body).await;
}

#[tokio::test]
async fn a_socket_that_never_sends_a_byte_is_closed() {
    let site = site(ServeLimits { first_byte_max: SHORT, ..ServeLimits::default() }).await;
    Wire::to(site.at).await.closed().await;
}

#[tokio::test]
async fn a_half_sent_head_is_408() {
    let site = site(ServeLimits { head_read_max: SHORT, ..ServeLimits::default() }).await;
    for half in ["G", "POST /webhooks/stripe HTTP/1.1\r\nhost: a\r\n"] {
        let mut wire = Wire::to(site.at).await;
        wire.send(half).await;
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
        wire.closed().await;
    }
    // The beginning of HTTP/2's preface, which is not yet a version.
    for half in ["P", "PRI * HTTP/2.0\r\n"] {
        let mut wire = Wire::to(site.at).await;
        wire.send(half).await;
        wire.closed().await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_closed_all_the_same() {
    let site = site(ServeLimits { head_read_max: SHORT * 2, ..ServeLimits::default() }).await;
    let mut wire = Wire::to(site.at).await;
    wire.send("POST /webhooks/stripe HTTP/1.1\r\nx: ").await;
    let started = SystemClock.monotonic();
    while wire.try_send("x").await && !wire.stirs_within(SHORT / 3).await {
        assert!(SystemClock.monotonic() - started < PATIENCE, "each byte bought more time");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let gate = Arc::new(Gated::shut(memory(Arc::new(SystemClock))));
    let short = ServeLimits { idle_max: SHORT, ..ServeLimits::default() };
    let site = Plan { store: Arc::clone(&gate) as _, limits: short, ..plan() }.open().await;
    let mut wire = Wire::to(site.at).await;
    send(&mut wire, &payment("evt_1")).await;
    gate.arrival().await;
    assert!(!wire.stirs_within(SHORT * 4).await, "its request is under way");
    gate.let_one_through();
    assert_eq!(wire.reply().await.status, 200);
    wire.closed().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let site = site(ServeLimits { body_read_max: SHORT, ..ServeLimits::default() }).await;
    let body = payment("evt_1");
    let headers = signed(body.as_bytes(), SystemClock.now());
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &pairs(&headers), body.len())).await;
    wire.send(&body[..10]).await;
    let reply = wire.reply().await;
    assert_eq!(reply.status, 408, "{reply:?}");
    wire.closed().await;
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn a_body_that_trickles_in_is_408_all_the_same() {
    let site = site(ServeLimits { body_read_max: SHORT * 2, ..ServeLimits::default() }).await;
    let body = payment("evt_1");
    let headers = signed(body.as_bytes(), SystemClock.now());
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &pairs(&headers), 1024 * 1024)).await;
    let started = SystemClock.monotonic();
    while wire.try_send("x").await && !wire.stirs_within(SHORT / 3).await {
        assert!(SystemClock.monotonic() - started < PATIENCE, "each byte bought more time");
    }
    assert_eq!(wire.reply().await.status, 408);
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_body_leaves_nothing() {
    let site = site(ServeLimits::default()).await;
    let body = payment("evt_1");
    let mut headers = signed(body.as_bytes(), SystemClock.now());
    headers.push(("x-request-id".into(), "req-hangs-up".into()));
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &pairs(&headers), body.len())).await;
    wire.send(&body[..10]).await;
    drop(wire);
    // The next event shows that the site still serves.
    assert_eq!(site.deliver(payment("evt_2")).await.runs(), [1]);
    assert!(site.event(2).await.is_none());
}

#[tokio::test]
async fn connections_over_the_cap_are_503_and_those_over_that_wait() {
    let limits = ServeLimits { connections_max: 2, turned_away_max: 1, ..ServeLimits::default() };
    let site = site(limits).await;
    let (mut first, mut second) = (Wire::to(site.at).await, Wire::to(site.at).await);
    for (wire, id) in [(&mut first, "evt_1"), (&mut second, "evt_2")] {
        send(wire, &payment(id)).await;
        assert_eq!(wire.reply().await.status, 200);
    }
    for id in ["evt_3", "evt_4"] {
        let mut third = Wire::to(site.at).await;
        send(&mut third, &payment(id)).await;
        let reply = third.reply().await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("5"), Some("close")));
        third.closed().await;
    }
    let _silent = Wire::to(site.at).await;
    let mut fourth = Wire::to(site.at).await;
    send(&mut fourth, &payment("evt_5")).await;
    assert!(!fourth.stirs_within(SHORT).await, "who is turned away has not gone yet");
    drop(first);
    assert_eq!(fourth.reply().await.status_word(), "accepted");
}

#[tokio::test]
async fn who_is_turned_away_while_sending_reads_the_whole_answer_and_no_reset() {
    let limits = ServeLimits { connections_max: 1, ..ServeLimits::default() };
    let site = site(limits).await;
    let mut first = Wire::to(site.at).await;
    send(&mut first, &payment("evt_1")).await;
    assert_eq!(first.reply().await.status, 200);
    let mut third = Wire::to(site.at).await;
    third.send(head("POST", PATH, &[], UPLOAD_BYTES)).await;
    let answer = third.all_to_the_end(&vec![b'x'; UPLOAD_BYTES]).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with('}'), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_refused_for_its_size_ends_with_the_whole_answer_and_no_reset() {
    let site = site(ServeLimits::default()).await;
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &[("content-type", "application/json")], UPLOAD_BYTES)).await;
    let answer = wire.all_to_the_end(&vec![b'x'; UPLOAD_BYTES]).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with('}'), "{answer}");
}

#[tokio::test]
async fn a_shutdown_answers_the_requests_under_way_and_takes_no_more() {
    let gate = Arc::new(Gated::shut(memory(Arc::new(SystemClock))));
    let mut site = Plan { store: Arc::clone(&gate) as _, ..plan() }.open().await;
    let (at, store) = (site.at, Arc::clone(&site.store));
    let mut under_way = Wire::to(at).await;
    send(&mut under_way, &payment("evt_1")).await;
    gate.arrival().await;
    let idle = Wire::to(at).await;

    site.stop();
    idle.closed().await;
    assert!(TcpStream::connect(at).await.is_err(), "nobody listens any more");
    gate.let_one_through();
    let reply = under_way.reply().await;
    assert_eq!((reply.status, reply.status_word().as_str()), (200, "accepted"));
    under_way.closed().await;
    site.ended().await;
    assert!(store.event(bowline_model::EventId(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_shutdown_ends_even_if_a_request_does_not() {
    let gate = Arc::new(Gated::shut(memory(Arc::new(SystemClock))));
    let limits = ServeLimits { drain_max: SHORT, ..ServeLimits::default() };
    let mut site = Plan { store: Arc::clone(&gate) as _, limits, ..plan() }.open().await;
    let mut wire = Wire::to(site.at).await;
    send(&mut wire, &payment("evt_1")).await;
    gate.arrival().await;
    site.stop();
    site.ended().await;
    wire.closed().await;
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_its_connection_and_no_other() {
    let around = |router: axum::Router| {
        router.layer(axum::middleware::from_fn(async |request: Request, next: Next| {
            assert!(request.uri().path() != "/panic", "as asked");
            next.run(request).await
        }))
    };
    let site = Plan { around, ..plan() }.open().await;
    let mut wire = Wire::to(site.at).await;
    wire.send(head("GET", "/panic", &[], 0)).await;
    wire.closed().await;
    assert_eq!(site.deliver(payment("evt_1")).await.status, 200);
    assert!(!log::lines_with("handler panicked").is_empty());
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_a_reason_too() {
    let site = site(ServeLimits::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(66_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let large = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(70_000));
    for (odd, status, reason) in [
        ("hello\r\n\r\n", 400, "no request of HTTP/1.1"),
        ("POST /webhooks/stripe HTTP/3.0\r\n\r\n", 400, "no request of HTTP/1.1"),
        ("POST /webhooks/stripe HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400, "no request of HTTP/1.1"),
        ("POST /webhooks/stripe HTTP/1.1\r\nbad header\r\n\r\n", 400, "no request of HTTP/1.1"),
        (&long, 431, "longer than 65536 bytes"),
        (&many, 431, "more than 100 headers"),
        (&large, 431, "longer than 65536 bytes"),
    ] {
        let mut wire = Wire::to(site.at).await;
        wire.try_send(odd).await;
        let reply = wire.reply().await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("application/problem+json")));
        assert!(reply.json()["detail"].as_str().unwrap().contains(reason), "{reply:?}");
        wire.closed().await;
    }
}

#[tokio::test]
async fn a_handlers_own_empty_400_stays_as_it_is() {
    let around = |router: axum::Router| {
        router.route("/empty", axum::routing::get(async || axum::http::StatusCode::BAD_REQUEST))
    };
    let site = Plan { around, ..plan() }.open().await;
    let mut wire = Wire::to(site.at).await;
    wire.send(head("GET", "/empty", &[("connection", "close")], 0)).await;
    let reply = wire.reply().await;
    assert_eq!((reply.status, reply.body.as_str()), (400, ""));
}
