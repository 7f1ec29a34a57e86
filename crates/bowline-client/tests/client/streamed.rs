//! Items of an answer while it arrives, over HTTP.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_compression::{
    Level,
    codecs::{
        BrotliEncoder, Encode, GzipEncoder, ZstdEncoder, brotli::params::EncoderParams,
        flate::params::FlateEncoderParams,
    },
    core::util::PartialBuffer,
};
use axum::body::Body;
use bowline_client::{Api, stream::CsvRecords};
use bowline_model::{Attempt, Effect, RetryPolicy, Secret, Verdict};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::remote::{Hand, LONG, Remote, answer, api_at, done, raw, read_request, write};

fn encoded(mut encoder: impl Encode, text: &[u8]) -> Vec<u8> {
    let mut all = vec![];
    let mut input = PartialBuffer::new(text);
    let mut finished = false;
    while !finished {
        let mut output = PartialBuffer::new(vec![0; 64 * 1024]);
        if input.unwritten().is_empty() {
            finished = encoder.finish(&mut output).unwrap();
        } else {
            encoder.encode(&mut input, &mut output).unwrap();
        }
        all.extend_from_slice(output.written());
    }
    all
}

/// The text as each encoding has it.
fn encodings(text: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [
        ("gzip", encoded(GzipEncoder::new(FlateEncoderParams::from(Level::Best)), text)),
        ("br", encoded(BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(5))), text)),
        ("zstd", encoded(ZstdEncoder::new(3), text)),
    ]
}

/// Sent again at once, and no more than three times.
fn patient(api: Api) -> Api {
    api.clock(Hand::new())
        .attempt_timeout(LONG)
        .stream_idle_timeout(LONG)
        .retry(RetryPolicy::default().attempts_max(3))
}

#[tokio::test]
async fn items_are_there_before_the_answer_is_complete() {
    let go_on = Arc::new(Notify::new());
    let signal = go_on.clone();
    let address = raw(move |_, mut stream| {
        let signal = signal.clone();
        async move {
            read_request(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"data\":{\"ids\":[1,").await;
            signal.notified().await;
            write(&mut stream, "2,3]},\"x\"").await;
            write(&mut stream, ":0}").await;
        }
    })
    .await;
    let mut ids = api_at(address).get("/ids").stream_json::<u32>("data.ids").await.unwrap();
    assert_eq!(ids.next().await.unwrap().unwrap(), 1);
    go_on.notify_one();
    assert_eq!(ids.by_ref().try_collect::<Vec<_>>().await.unwrap(), [2, 3]);
    assert!(ids.is_over());
}

#[tokio::test]
async fn every_format_has_its_stream() {
    let remote = Remote::new(|_, seen| match seen.uri.path() {
        "/lines" => answer(200, "1\n2\r\n\n3"),
        "/csv" => answer(200, "\u{feff}id,name\n1,\"Zoë, Ä\"\n2,"),
        "/semicolons" => answer(200, "1;a\n2;b\n"),
        "/empty" => answer(200, "[]"),
        _ => answer(200, "<feed><entry id=\"7\"><title>T</title></entry></feed>"),
    })
    .await;
    let api = remote.api();
    let ids: Vec<u32> = api.get("/lines").stream_ndjson::<u32>().await.unwrap().try_collect().await.unwrap();
    assert_eq!(ids, [1, 2, 3]);
    let rows: Vec<Value> = api.get("/csv").stream_csv::<Value>().await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows, [json!({"id": "1", "name": "Zoë, Ä"}), json!({"id": "2", "name": ""})]);
    let csv = CsvRecords::new().delimiter(b';').no_header();
    let rows = api.get("/semicolons").stream_with::<(u32, String), _>(csv).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap(), [(1, "a".into()), (2, "b".into())]);
    assert!(api.get("/empty").stream_json::<Value>("").await.unwrap().next().await.is_none());
    #[cfg(feature = "xml")]
    {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Entry {
            #[serde(rename = "@id")]
            id: u32,
            title: String,
        }
        let entries = api.get("/feed").stream_xml::<Entry>("feed.entry").await.unwrap();
        let entries: Vec<Entry> = entries.try_collect().await.unwrap();
        assert_eq!(entries, [Entry { id: 7, title: "T".into() }]);
    }
}

#[tokio::test]
async fn bodies_are_asked_for_compressed_and_decoded() {
    let numbers: Vec<u32> = (0..20_000).collect();
    let text = serde_json::to_vec(&numbers).unwrap();
    for (encoding, body) in encodings(&text) {
        let remote = Remote::always(200, &[("content-encoding", encoding)], body).await;
        let read: Vec<u32> =
            remote.api().get("/").stream_json::<u32>("").await.unwrap().try_collect().await.unwrap();
        assert_eq!(read, numbers, "{encoding}");
        let whole: Vec<u32> = remote.api().get("/").decode().send().await.unwrap();
        assert_eq!(whole, numbers, "{encoding}");
        assert!(remote.seen().iter().all(|seen| seen.header("accept-encoding") == "gzip, br, zstd"));
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_says_so() {
    let [(_, gzip), ..] = encodings(b"[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]");
    let cases = [
        ("gzip", gzip[..gzip.len() - 3].to_vec(), "its body ends early: its gzip is not complete", true),
        ("gzip", [&gzip[..], b"tail"].concat(), "is damaged: not gzip", false),
        ("br", b"<html>".to_vec(), "is damaged: not brotli", false),
        ("deflate", b"x".to_vec(), "is encoded as deflate, which was not asked for", false),
    ];
    for (encoding, body, part, retryable) in cases {
        let remote = Remote::always(200, &[("content-encoding", encoding)], body).await;
        let api = remote.api().retry(RetryPolicy::never());
        let streamed = match api.get("/").stream_json::<Value>("").await {
            Ok(mut items) => loop {
                match items.next().await.unwrap() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        let whole = api.get("/").decode::<Value>().send().await.unwrap_err();
        for error in [streamed, whole] {
            assert!(error.to_string().contains(part), "{part}: {error}");
            assert_eq!(error.is_retryable(), retryable, "{error}");
        }
    }
}

#[tokio::test]
async fn bombs_are_refused_in_streams_and_in_whole_answers() {
    let mut text = vec![b' '; 32 * 1024 * 1024];
    text.push(b'1');
    for (encoding, body) in encodings(&text) {
        let remote = Remote::always(200, &[("content-encoding", encoding)], body).await;
        let api = remote.api().retry(RetryPolicy::never()).stream_bytes_max(20_000_000);
        let error = api.get("/").stream_json::<Value>("").await.unwrap_err();
        assert!(error.to_string().contains("grows more than 1000 times"), "{error}");
        assert!(!error.is_retryable());
        let error = api.get("/").decode::<Value>().send().await.unwrap_err();
        assert!(error.to_string().contains("grows more than 1000 times"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_is_tried_again_until_its_first_item_and_not_after() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = raw(move |nth, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            read_request(&mut stream).await;
            let answer = match nth {
                1 => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                2 => "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[ ",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[1, 2, ",
            };
            write(&mut stream, answer).await;
        }
    })
    .await;
    let mut items = patient(api_at(address)).get("/").stream_json::<u32>("").await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!(items.next().await.unwrap().unwrap(), 1);
    assert_eq!(items.next().await.unwrap().unwrap(), 2);
    let error = items.next().await.unwrap().unwrap_err();
    assert!(error.is_retryable() && items.is_over(), "{error}");
    assert!(error.to_string().contains("connection broke after 7 bytes of its body"), "{error}");
    assert!(items.next().await.is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_status_is_judged_as_on_any_call() {
    let remote = Remote::always(403, &[], "{\"error\":\"no key-123456\"}").await;
    let api = remote.api().bearer(Secret::new("key-123456"));
    let error = api.get("/").stream_json::<Value>("").await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(!error.is_retryable());
    assert_eq!(error.call().unwrap().body.as_deref(), Some("{\"error\":\"no [secret]\"}"));
    assert_eq!(remote.seen().len(), 1);
}

#[tokio::test]
async fn a_page_for_people_is_named() {
    let page = "<!doctype html><title>Log in key-123456</title>";
    let remote = Remote::always(200, &[("content-type", "text/html")], page).await;
    let api = remote.api().bearer(Secret::new("key-123456"));
    let json = api.get("/").stream_json::<Value>("data").await.unwrap_err();
    let lines = api.get("/").stream_ndjson::<Value>().await.unwrap().next().await.unwrap().unwrap_err();
    let csv = api.get("/").stream_csv::<Value>().await.unwrap_err();
    assert!(json.to_string().contains("its body is HTML where JSON was expected"), "{json}");
    assert!(csv.to_string().contains("its body is HTML where CSV was expected"), "{csv}");
    for error in [json, lines, csv] {
        assert!(!error.is_retryable());
        assert!(!format!("{error:?} {:?}", error.failure()).contains("key-123456"), "{error}");
    }
    #[cfg(feature = "xml")]
    {
        let xml = api.get("/").stream_xml::<Value>("feed.entry").await.unwrap_err();
        assert!(xml.to_string().contains("its body is HTML where XML was expected"), "{xml}");
    }
    let empty = Remote::always(204, &[], "").await;
    let error = empty.api().get("/").stream_json::<Value>("").await.unwrap_err();
    assert!(error.to_string().contains("its body is empty where JSON was expected"), "{error}");
}

#[tokio::test]
async fn an_item_that_does_not_fit_is_told_and_the_next_one_follows() {
    let remote = Remote::always(200, &[], "[\"key-123456\", 2, 3").await;
    let api = remote.api().bearer(Secret::new("key-123456"));
    let mut items = api.get("/").stream_json::<u32>("").await.unwrap();
    let error = items.next().await.unwrap().unwrap_err();
    assert!(!items.is_over() && !error.is_retryable());
    assert!(
        error.to_string().starts_with("GET crm / answered 200, but item 0, at byte 1, does not fit: "),
        "{error}"
    );
    assert!(!error.to_string().contains("key-123456"), "{error}");
    assert_eq!(items.next().await.unwrap().unwrap(), 2);
    let error = items.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("but the document ends early, after 19 bytes"), "{error}");
    assert!(items.is_over() && error.is_retryable());
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_given_up() {
    let asked = Arc::new(Notify::new());
    let signal = asked.clone();
    let address = raw(move |_, mut stream| {
        let signal = signal.clone();
        async move {
            read_request(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[1,").await;
            signal.notify_one();
            read_request(&mut stream).await;
        }
    })
    .await;
    let clock = Hand::new();
    let api = api_at(address).clock(clock.clone()).attempt_timeout(LONG).stream_idle_timeout(LONG);
    let mut items = api.get("/").stream_json::<u32>("").await.unwrap();
    assert_eq!(items.next().await.unwrap().unwrap(), 1);
    let (error, ()) = tokio::join!(items.next(), async {
        asked.notified().await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        clock.time_up.notify_waiters();
    });
    let error = error.unwrap().unwrap_err();
    assert!(error.to_string().contains("nothing more of its body came for 3600 s, after 3 bytes"), "{error}");
    assert!(error.is_retryable() && items.is_over());
}

#[tokio::test]
async fn no_more_is_read_than_is_taken() {
    const CHUNK_BYTES: usize = 64 * 1024;
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let remote = Remote::new(move |_, _| {
        let count = count.clone();
        let endless = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(
                Bytes::from(vec![b'\n'; CHUNK_BYTES - 2]).into_iter().chain(*b"1\n").collect::<Bytes>(),
            )
        });
        answer(200, Body::from_stream(endless))
    })
    .await;
    let mut items = remote.api().get("/").stream_ndjson::<u32>().await.unwrap();
    for _ in 0..10 {
        items.next().await.unwrap().unwrap();
        // The server's turns: it writes for as long as somebody reads, or buffers.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    let unread = made.load(Ordering::SeqCst).saturating_sub(10) * CHUNK_BYTES;
    assert!(unread < 12 * 1024 * 1024, "{unread} bytes are on their way: more than sockets hold");
}

#[tokio::test]
async fn a_stream_counts_bytes_after_decoding() {
    let remote = Remote::always(200, &[], "[1, 22, 333]").await;
    let api = remote.api().stream_bytes_max(8);
    let items = api.get("/").stream_json::<u32>("").await.unwrap();
    let all: Vec<_> = items.collect().await;
    assert_eq!(all.len(), 3);
    assert!(all[2].as_ref().unwrap_err().to_string().contains("larger than 8 bytes: if it is meant to be"));
}

#[tokio::test]
async fn a_stream_counts_as_under_way_until_it_is_over() {
    let remote = Remote::new(|_, seen| match seen.uri.path() {
        "/endless" => {
            let begun = stream::iter([Ok::<_, Infallible>(Bytes::from("1\n"))]);
            answer(200, Body::from_stream(begun.chain(stream::pending())))
        }
        _ => answer(200, "1\n2\n"),
    })
    .await;
    let api = remote.api().concurrency(1);
    let call = api.get("/other");
    let other = |timeout| call.attempt(Attempt::new("key-2", 1, timeout));
    let waits = Duration::from_millis(1);
    let mut endless = api.get("/endless").stream_ndjson::<u32>().await.unwrap();
    assert_eq!(endless.next().await.unwrap().unwrap(), 1);
    assert!(matches!(other(waits).await, Verdict::Wait { .. }));
    drop(endless);
    done(other(LONG).await);
    // Over, though it is still there.
    let mut read = api.get("/read").stream_ndjson::<u32>().await.unwrap();
    assert!(matches!(other(waits).await, Verdict::Wait { .. }));
    while read.next().await.is_some() {}
    done(other(LONG).await);
    assert!(read.is_over());
}
