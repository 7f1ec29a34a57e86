//! Bodies on both ways: a request's with a deadline, an answer's as part of the request under way.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::phase::UnderWay;

/// A request's body did not arrive in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's body did not arrive within {} s", .limit.as_secs())]
pub struct BodyTooSlow {
    /// The time it had.
    pub limit: Duration,
}

/// A request's body that fails with [`BodyTooSlow`] once it has been waited for too long.
pub(super) struct Timely<B> {
    body: B,
    limit: Duration,
    /// Set when the body has to be waited for; most are there with the head.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, deadline: None }
    }
}

impl<B> HttpBody for Timely<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| sleep(limit));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyTooSlow { limit }.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[allow(clippy::disallowed_methods, reason = "sockets live in the machine's time")]
fn sleep(wait: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(wait))
}

/// An answer's body: its request is under way until it has been handed to the socket.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
