//! What is no HTTP never reaches a route: hyper answers it with a bare status. Here that answer gets a reason.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::HttpBody,
    http::{Response, StatusCode},
};
use tokio::io::AsyncWrite;

use super::connection::BUFFER_BYTES_MAX;
use crate::problem;

/// How hyper says that nothing follows a head.
const NO_BODY: &str = "content-length: 0\r\n";
/// What hyper says in answers of its own: it does not read on.
const CLOSES: &str = "connection: close\r\n";

/// Longer than hyper's own answers: no other is looked at.
const HEAD_BYTES_MAX: usize = 256;
/// How many headers hyper reads.
const HEADERS_MAX: usize = 100;

/// Puts reasons into hyper's own answers on one connection.
pub(super) struct Explainer {
    /// A handler answered in a way that looks as if hyper had: then nothing is touched.
    in_doubt: Doubt,
    /// What is written in place of what hyper gave, and how much of it is.
    instead: Option<(Vec<u8>, usize)>,
}

/// See [`Explainer::in_doubt`].
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    /// Looks at what a handler answers.
    pub(super) fn look_at<B: HttpBody>(&self, response: &Response<B>) {
        if reason(response.status()).is_some() && response.body().size_hint().exact() == Some(0) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Explainer {
    pub(super) fn new(in_doubt: Doubt) -> Self {
        Self { in_doubt, instead: None }
    }

    /// Writes `bytes`, or in their place the same answer with a reason.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none() && !self.in_doubt.0.load(Ordering::Relaxed) {
            self.instead = explained(bytes).map(|instead| (instead, 0));
        }
        let Some((instead, written)) = &mut self.instead else {
            return Pin::new(to).poll_write(cx, bytes);
        };
        while *written < instead.len() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &instead[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        self.instead = None;
        Poll::Ready(Ok(bytes.len()))
    }
}

/// The same answer with a reason, if it is one of hyper's own.
fn explained(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > HEAD_BYTES_MAX {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 "))?.get(..3)?;
    let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
    let (detail, hint) = reason(status)?;
    if !head.ends_with("\r\n\r\n") || !head.contains(CLOSES) {
        return None;
    }
    let (before, after) = head.split_once(NO_BODY)?;
    let body = problem::body(status, &detail, hint, vec![]);
    let announced = format!("content-type: application/problem+json\r\ncontent-length: {}\r\n", body.len());
    Some([before.as_bytes(), announced.as_bytes(), after.as_bytes(), &body].concat())
}

fn reason(status: StatusCode) -> Option<(String, &'static str)> {
    match status {
        StatusCode::BAD_REQUEST => Some((
            "this is no request of HTTP/1.1".into(),
            "check its first line, its headers and its length",
        )),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Some((
            format!(
                "the head is longer than {BUFFER_BYTES_MAX} bytes, or has more than {HEADERS_MAX} headers"
            ),
            "send fewer and shorter headers, and a shorter URL",
        )),
        _hyper_says_nothing_else => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";

    #[test]
    fn only_hypers_own_answers_get_a_reason() {
        let explained =
            |text: &str| explained(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        let with_reason = explained(BARE).unwrap();
        let (head, body) = with_reason.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: "),
            "{head}"
        );
        assert!(head.ends_with(&format!("content-length: {}\r\ndate: x", body.len())), "{head}");
        assert!(body.contains("no request of HTTP/1.1"));
        for other in [
            BARE.replace("400", "200"),
            BARE.replace("400", "404"),
            BARE.replace("content-length: 0", "content-length: 10"),
            BARE.replace("close", "keep-alive"),
            format!("{BARE}more"),
            BARE[..BARE.len() - 1].to_owned(),
            BARE.replace("HTTP/1.1", "HTTP/2"),
            "\0\0\u{4}".to_owned(),
            String::new(),
        ] {
            assert_eq!(explained(&other), None, "{other:?}");
        }
    }
}
