//! HTTP by hand: what exactly is sent, and what exactly comes back.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No answer takes that long; a test that waits for one in vain ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The run ids of an `accepted` or `duplicate`.
    pub(crate) fn runs(&self) -> Vec<i64> {
        serde_json::from_value(self.json()["runs"].clone()).expect("run ids are numbers")
    }

    pub(crate) fn status_word(&self) -> String {
        self.json()["status"].as_str().unwrap_or("no status").to_owned()
    }
}

/// A connection to the site.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(crate) async fn to(at: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(at).await.expect("the site listens"), unread: vec![] }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the site reads");
    }

    /// Sends what the site may have stopped reading.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next answer, of which the length is announced.
    pub(crate) async fn reply(&mut self) -> Reply {
        timeout(PATIENCE, self.read_reply()).await.expect("an answer in time")
    }

    /// The next answer, to a HEAD: what it announces is not sent.
    pub(crate) async fn reply_without_body(&mut self) -> Reply {
        timeout(PATIENCE, self.read_head()).await.expect("an answer in time")
    }

    async fn read_reply(&mut self) -> Reply {
        let mut reply = self.read_head().await;
        let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.unread.len() < length {
            assert!(self.read_more().await, "closed in the middle of the answer");
        }
        reply.body = String::from_utf8(self.unread.drain(..length).collect()).expect("text");
        reply
    }

    async fn read_head(&mut self) -> Reply {
        let head_end = loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read_more().await, "closed before the answer: {:?}", self.unread);
        };
        let head = String::from_utf8(self.unread[..head_end].to_vec()).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        self.unread.drain(..head_end + 4);
        Reply { status: status.parse().expect("a number"), headers, body: String::new() }
    }

    async fn read_more(&mut self) -> bool {
        let mut more = [0; 4096];
        let bytes = self.stream.read(&mut more).await.unwrap_or(0);
        self.unread.extend_from_slice(&more[..bytes]);
        bytes > 0
    }

    /// All that comes until the site closes; an error if it is cut off by a reset. Goes on sending `upload` meanwhile,
    /// and begins to read only when the site reads no more of it.
    pub(crate) async fn all_to_the_end(mut self, upload: &[u8]) -> io::Result<String> {
        let (mut from, mut to) = self.stream.split();
        let all = async {
            to.write_all(upload).await?;
            let mut all = std::mem::take(&mut self.unread);
            from.read_to_end(&mut all).await?;
            Ok(String::from_utf8(all).expect("text"))
        };
        timeout(PATIENCE, all).await.expect("an end in time")
    }

    /// Waits until the site closes, without another byte.
    pub(crate) async fn closed(mut self) {
        let more = timeout(PATIENCE, self.read_more()).await.expect("closed in time");
        assert!(!more, "an answer instead of an end: {:?}", String::from_utf8_lossy(&self.unread));
    }

    /// Whether the site closes (or answers) within this time.
    pub(crate) async fn stirs_within(&mut self, wait: Duration) -> bool {
        timeout(wait, self.read_more()).await.is_ok()
    }
}

/// One request without a body, on a connection of its own.
pub(crate) async fn ask(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut wire = Wire::to(at).await;
    wire.send(head(method, path, headers, 0)).await;
    if method == "HEAD" { wire.reply_without_body().await } else { wire.reply().await }
}

/// One POST on a connection of its own.
pub(crate) async fn post(at: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut wire = Wire::to(at).await;
    wire.send(head("POST", path, headers, body.len())).await;
    // Who answers before it has read all may stop reading.
    wire.try_send(body).await;
    wire.reply().await
}

pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n")
}
