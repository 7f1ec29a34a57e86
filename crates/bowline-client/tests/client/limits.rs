//! Answers that are too large.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use crate::remote::{Remote, api_at, done, once, raw, read_request, refused, unknown, write};

#[tokio::test]
async fn an_answer_is_read_up_to_the_limit_and_no_further() {
    let crm = Remote::always(200, &[], Bytes::from(vec![b'x'; 1000])).await;
    assert_eq!(done(once(crm.api().response_bytes_max(1000).get("/")).await).bytes().len(), 1000);
    let failure = unknown(once(crm.api().response_bytes_max(999).get("/")).await);
    assert!(!failure.retryable);
    assert!(failure.message.contains("larger than 999 bytes: ask for less, or raise"), "{failure}");
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_limit() {
    let address = raw(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let failure = unknown(once(api_at(address).response_bytes_max(100_000).get("/")).await);
    assert!(failure.message.contains("larger than 100000 bytes"), "{failure}");
}

#[tokio::test]
async fn a_refusal_may_be_of_any_length() {
    let crm = Remote::always(400, &[], Bytes::from(vec![b'x'; 100_000])).await;
    let failure = refused(once(crm.api().response_bytes_max(5000).get("/")).await);
    assert_eq!(failure.call.unwrap().body.unwrap().len(), 2048);
}

#[tokio::test]
async fn an_endless_head_ends_too() {
    let address = raw(|_, mut stream| async move {
        read_request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\nX-A: ").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert!(unknown(once(api_at(address).get("/")).await).retryable);
}
