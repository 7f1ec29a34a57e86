//! One connection, from its first byte to its end.

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};
use tower::ServiceExt;

use super::{
    ServeLimits,
    body::{Answer, Timely},
    phase::Phases,
    unreadable::{Doubt, Explainer},
};

/// Longest head of a request, and largest piece of a body read at once.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// How long a connection that is being closed may still be without a request.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Serves one connection until it ends, is overdue, or the server closes.
pub(super) async fn drive(
    stream: TcpStream,
    router: Router,
    limits: ServeLimits,
    mut closing: watch::Receiver<bool>,
) {
    let phases = Phases::new();
    let doubt = Doubt::default();
    let explainer = Explainer::new(doubt.clone());
    let io = TokioIo::new(Watched { stream, phases: phases.clone(), explainer });
    let service =
        service_fn(|request| respond(request, router.clone(), limits, phases.clone(), doubt.clone()));
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Without hyper's own deadline for heads: it also runs while a connection is idle.
    http.http1().max_buf_size(BUFFER_BYTES_MAX).header_read_timeout(None);
    http.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let mut connection = pin!(http.serve_connection(io, service));

    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = phases.overdue(&limits) => None,
        () = closed(&mut closing) => None,
    };
    let ended = match ended {
        Some(ended) => Some(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => Some(ended),
                () = phases.quiet(CLOSE_GRACE) => None,
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the server is gone altogether.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn respond(
    request: Request<Incoming>,
    router: Router,
    limits: ServeLimits,
    phases: Phases,
    doubt: Doubt,
) -> Result<Response<Answer>, Infallible> {
    let under_way = phases.request();
    let request = request.map(|body| Body::new(Timely::new(body, limits.body_read_max)));
    let response = router.oneshot(request).await?;
    doubt.look_at(&response);
    Ok(response.map(|body| Answer { body, _under_way: under_way }))
}

/// A socket that tells when something was read, and gives a reason to whom hyper turns away by itself.
struct Watched {
    stream: TcpStream,
    phases: Phases,
    explainer: Explainer,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.phases.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, explainer, .. } = self.get_mut();
        explainer.poll_write(stream, cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [only] => self.poll_write(cx, only),
            several => Pin::new(&mut self.stream).poll_write_vectored(cx, several),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
