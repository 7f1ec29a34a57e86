//! One request on a connection of its own, and what comes back.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::request::Request;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came back before the connection ended, or the answer was complete.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An answer of HTTP/1.
    Http { status: u16, head: String, body: String },
    /// Something else, such as frames of HTTP/2.
    Other(String),
    /// Not a byte.
    Closed,
    /// Nothing within a time in which all is answered or closed.
    Hangs,
}

pub(crate) async fn exchange(at: SocketAddr, request: &Request) -> Answer {
    let mut stream = TcpStream::connect(at).await.expect("the site listens");
    let (mut reading, mut writing) = stream.split();
    let (bytes, is_head) = (&request.bytes, request.is_head());
    let sending = async {
        // Who answers before it has read all may stop reading.
        let _ = writing.write_all(bytes).await;
        if has_no_head(bytes) {
            let _ = writing.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let mut received = vec![];
    let reading = async {
        let mut more = vec![0; 8192];
        loop {
            match reading.read(&mut more).await {
                Ok(0) | Err(_) => return,
                Ok(count) => received.extend_from_slice(&more[..count]),
            }
            skip_interim(&mut received);
            if is_complete(&received, is_head) {
                return;
            }
        }
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! {
            () = reading => {}
            () = sending => {}
        }
    });
    if ended.await.is_err() {
        return Answer::Hangs;
    }
    answer(received)
}

/// Whether the site waits for more before there is a request.
pub(crate) fn has_no_head(bytes: &[u8]) -> bool {
    // Empty lines before a request are skipped (RFC 9112 § 2.2).
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
    let bytes = &bytes[begin..];
    let ends = |end: &[u8]| bytes.windows(end.len()).any(|part| part == end);
    !ends(b"\r\n\r\n") && !ends(b"\n\n") && !ends(b"\n\r\n")
}

/// `100 Continue` is no answer.
fn skip_interim(received: &mut Vec<u8>) {
    while received.starts_with(b"HTTP/1.1 100") {
        let Some(end) = end_of_head(received) else { return };
        received.drain(..end);
    }
}

fn end_of_head(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
}

fn is_complete(received: &[u8], is_head: bool) -> bool {
    end_of_head(received).is_some_and(|end| is_head || received.len() >= end + length(&received[..end]))
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    length.map_or(0, |length| length.parse().expect("a length"))
}

fn answer(mut received: Vec<u8>) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if received.is_empty() {
        return Answer::Closed;
    }
    let (Some(end), true) = (end_of_head(&received), received.starts_with(b"HTTP/1.")) else {
        return Answer::Other(text(&received));
    };
    let head = text(&received[..end]);
    // Behind it may come the answer to what follows a request that is too short.
    received.truncate(end + length(head.as_bytes()));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer::Http { status, body: text(&received[end..]), head }
}
