//! A connection's socket while hyper has it: what is read and written shows where the connection stands.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    phase::Phases,
    unreadable::{Doubt, Explainer},
};

/// How HTTP/2 begins without TLS's help (RFC 9113 §3.4). No request of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much of an answer a client must take within each
/// [`answer_write_max`](super::ServeLimits::answer_write_max).
const WRITE_BYTES_MIN: usize = 64 * 1024;

/// A socket that hyper has. It tells when something was read, gives a reason to whom hyper turns away by itself, and
/// fails when the client stops reading.
pub(super) struct Watched<S> {
    /// Until it goes back.
    stream: Option<S>,
    back: Arc<Mutex<Slot<S>>>,
    phases: Phases,
    explainer: Explainer,
    begins: Begins,
    write_max: Duration,
    /// While the socket takes no more: until when it must have taken [`WRITE_BYTES_MIN`], and how many it took.
    stalled: Option<(Pin<Box<Sleep>>, usize)>,
}

/// What is known of the socket, and the socket itself once hyper is done with it.
pub(super) struct Lent<S>(Arc<Mutex<Slot<S>>>);

struct Slot<S> {
    left: Option<S>,
    has_ended: bool,
    is_being_written: bool,
    speaks_http1: bool,
}

/// A socket that hyper is done with.
pub(super) struct Left<S> {
    pub(super) stream: S,
    /// Nothing more comes from the client.
    pub(super) has_ended: bool,
    /// An answer is half written.
    pub(super) is_being_written: bool,
}

/// How much of HTTP/2's preface has come so far.
enum Begins {
    AsHttp2(usize),
    Known,
}

impl<S> Watched<S> {
    pub(super) fn lend(stream: S, phases: Phases, doubt: Doubt, write_max: Duration) -> (Self, Lent<S>) {
        let slot = Slot { left: None, has_ended: false, is_being_written: false, speaks_http1: false };
        let back = Arc::new(Mutex::new(slot));
        let lent = Lent(Arc::clone(&back));
        let explainer = Explainer::new(doubt);
        let begins = Begins::AsHttp2(0);
        (Self { stream: Some(stream), back, phases, explainer, begins, write_max, stalled: None }, lent)
    }

    fn slot(&self) -> MutexGuard<'_, Slot<S>> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_at_beginning(&mut self, read: &[u8]) {
        let Begins::AsHttp2(seen) = self.begins else { return };
        let expected = &PREFACE[seen..];
        let common = expected.len().min(read.len());
        if read[..common] != expected[..common] {
            self.begins = Begins::Known;
            self.slot().speaks_http1 = true;
        } else if common == expected.len() {
            self.begins = Begins::Known;
        } else {
            self.begins = Begins::AsHttp2(seen + common);
        }
    }

    /// Looks at how a write of `offered` bytes went.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some((_, taken)) = &mut self.stalled {
                    *taken += bytes;
                    if bytes == offered || *taken >= WRITE_BYTES_MIN {
                        self.stalled = None;
                    }
                }
                let is_being_written = bytes < offered;
                if is_being_written != self.slot().is_being_written {
                    self.slot().is_being_written = is_being_written;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.slot().is_being_written = true;
                let write_max = self.write_max;
                let (deadline, _) = self.stalled.get_or_insert_with(|| (sleep(write_max), 0));
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answer",
                )))
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "sockets live in the machine's time")]
fn sleep(wait: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(wait))
}

impl<S> Lent<S> {
    pub(super) fn speaks_http1(&self) -> bool {
        self.slot().speaks_http1
    }

    pub(super) fn is_being_written(&self) -> bool {
        self.slot().is_being_written
    }

    /// The socket, once hyper's connection is dropped.
    pub(super) fn take_back(&self) -> Option<Left<S>> {
        let mut slot = self.slot();
        let stream = slot.left.take()?;
        Some(Left { stream, has_ended: slot.has_ended, is_being_written: slot.is_being_written })
    }

    fn slot(&self) -> MutexGuard<'_, Slot<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        let stream = self.stream.take();
        self.slot().left = stream;
    }
}

const HERE: &str = "the socket goes back when this is dropped";

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(self.stream.as_mut().expect(HERE)).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() {
            if room > 0 {
                self.slot().has_ended = true;
            }
        } else {
            self.look_at_beginning(read);
            self.phases.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.explainer.poll_write(this.stream.as_mut().expect(HERE), cx, buf);
        this.wrote(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [only] => self.poll_write(cx, only),
            several => {
                let offered = several.iter().map(|buf| buf.len()).sum();
                let written = Pin::new(self.stream.as_mut().expect(HERE)).poll_write_vectored(cx, several);
                self.wrote(cx, offered, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().expect(HERE).is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.as_mut().expect(HERE)).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.as_mut().expect(HERE)).poll_shutdown(cx)
    }
}
