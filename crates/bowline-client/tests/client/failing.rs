//! Remotes that misbehave on the wire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bowline_model::{Attempt, Effect};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};

use crate::remote::{Hand, LONG, Remote, api_at, done, later, once, raw, read_request, unknown, write};

/// What comes of a POST to a remote that reads the request, writes those bytes and closes.
async fn after(bytes: &'static str) -> bowline_model::Verdict<bowline_client::Response> {
    let address = raw(move |_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, bytes).await;
    })
    .await;
    once(api_at(address).post("/x").json(&1)).await
}

#[tokio::test]
async fn nothing_happened_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = later(once(api_at(address).post("/x")).await);
    let told = failure.to_string();
    assert!(told.starts_with(&format!("POST crm /x: no connection to {address}: ")), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn nothing_happened_where_there_is_no_such_host() {
    // RFC 6761: no resolver knows a name under `.invalid`.
    let api = bowline_client::Api::new("crm").base_url("https://crm.invalid");
    let failure = later(once(api.post("/x")).await);
    assert!(failure.to_string().contains("no connection to crm.invalid"), "{failure}");
}

#[tokio::test]
async fn nobody_knows_what_happened_when_the_connection_ends_after_sending() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nContent-Le", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        let failure = unknown(after(bytes).await);
        assert!(
            failure.retryable && failure.message.contains("before an answer came"),
            "{bytes:?}: {failure}"
        );
        assert_eq!(failure.call.unwrap().status, None);
    }
}

#[tokio::test]
async fn a_reset_after_sending_is_unknown() {
    let address = raw(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let failure = unknown(once(api_at(address).post("/x")).await);
    assert!(failure.retryable && failure.to_string().contains("reset"), "{failure}");
}

#[tokio::test]
async fn half_a_good_answer_is_unknown_and_half_a_refusal_is_a_refusal() {
    for head in ["200 OK", "201 Created"] {
        for bytes in [
            format!("HTTP/1.1 {head}\r\nContent-Length: 100\r\n\r\n{{\"id\":"),
            format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{\"id\""),
            format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ] {
            let failure = unknown(after(bytes.leak()).await);
            assert!(failure.retryable && failure.message.contains("before its body ended"), "{failure}");
        }
    }
    let failure = crate::remote::refused(
        after("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nbad e-mail").await,
    );
    assert_eq!(failure.call.unwrap().body.as_deref(), Some("bad e-mail"));
}

#[tokio::test]
async fn silence_is_unknown_when_time_is_up() {
    let asked = Arc::new(Notify::new());
    for (head, status, part) in [
        ("", None, "no answer within 3600 s"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Some(200), "its body did not end within 3600 s"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n{", Some(500), "answered 500"),
    ] {
        let signal = asked.clone();
        let address = raw(move |_, mut stream| {
            let signal = signal.clone();
            async move {
                read_request(&mut stream).await;
                write(&mut stream, head).await;
                signal.notify_one();
                read_request(&mut stream).await;
            }
        })
        .await;
        let clock = Hand::new();
        let call = api_at(address).clock(clock.clone()).post("/x");
        let attempt = call.attempt(Attempt::new("key-1", 1, LONG));
        let (verdict, ()) = tokio::join!(attempt, async {
            asked.notified().await;
            // What was written has arrived; the client, on this same thread, gets its turns to read it.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            clock.time_up.notify_one();
        });
        let failure = unknown(verdict);
        assert!(failure.retryable && failure.message.contains(part), "{failure}");
        assert_eq!(failure.call.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_reached_nobody() {
    let address = raw(|_, mut stream| async move { while read_request(&mut stream).await {} }).await;
    let api = bowline_client::Api::new("crm")
        .base_url(&format!("https://{address}"))
        .connect_timeout(std::time::Duration::from_millis(50));
    let failure = later(once(api.post("/x")).await);
    assert!(failure.to_string().contains("no connection"), "{failure}");
}

#[tokio::test]
async fn a_pooled_connection_closed_under_a_request_is_unknown_and_not_silently_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let address = raw(move |_, mut stream| {
        let count = count.clone();
        async move {
            for nth in 0.. {
                if !read_request(&mut stream).await {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                // The second request of a connection gets no answer.
                if nth == 1 {
                    return;
                }
                write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let api = api_at(address);
    done(once(api.post("/x")).await);
    let failure = unknown(once(api.post("/x")).await);
    assert!(failure.retryable, "{failure}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    done(once(api.post("/x")).await);
}

#[tokio::test]
async fn connections_are_reused_by_clones() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let address = raw(move |_, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while read_request(&mut stream).await {
                write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let api = api_at(address);
    for _ in 0..3 {
        done(once(api.clone().get("/")).await);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_login_page_is_not_json() {
    let crm = Remote::always(200, &[("content-type", "text/html")], "<!doctype html><h1>Log in</h1>").await;
    let failure = unknown(once(crm.api().get("/").decode::<Value>()).await);
    assert!(!failure.retryable);
    assert!(
        failure.message.contains("is HTML where JSON was expected (\"<!doctype html><h1>Log in"),
        "{failure}"
    );
    // Without `decode` nobody claimed that it is JSON.
    assert!(done(once(crm.api().get("/")).await).text().contains("Log in"));
}

#[tokio::test]
async fn a_json_of_another_shape_says_where() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Contact {
        owner: Owner,
    }
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Owner {
        id: u64,
    }
    let crm = Remote::always(201, &[], r#"{"owner":{"id":"seven"}}"#).await;
    let failure = unknown(once(crm.api().post("/").decode::<Contact>()).await);
    assert!(!failure.retryable);
    assert!(
        failure.message.contains("answered 201, but its body does not fit its type at `owner.id`"),
        "{failure}"
    );
    assert_eq!(failure.call.unwrap().body.as_deref(), Some(r#"{"owner":{"id":"seven"}}"#));
}
