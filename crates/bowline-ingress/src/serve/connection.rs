//! One connection, from its first byte to its end.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

use super::{
    ServeLimits,
    body::{Answer, Timely},
    farewell,
    phase::Phases,
    turned_away::TurnedAway,
    unreadable::Doubt,
    watched::{Lent, Watched},
};

/// Longest head of a request, and largest piece of a body read at once.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// How long a connection that is being closed may still be without a request.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How a connection begins that speaks TLS (RFC 8446 §5.1: a record of a handshake).
const TLS_HANDSHAKE: u8 = 22;

/// How connections of one kind are served.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) limits: ServeLimits,
    pub(super) tls: Option<TlsAcceptor>,
}

/// Serves one connection until it ends, is overdue, or the server closes.
pub(super) async fn drive(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    mut closing: watch::Receiver<bool>,
) {
    let Some(tls) = &service.tls else {
        return speak(stream, peer, &service.router, service.limits, closing).await;
    };
    let opened = tokio::select! {
        // The handshake is what a client has to send first.
        opened = timeout(service.limits.first_byte_max, open(stream, tls)) => opened,
        () = closed(&mut closing) => return,
    };
    match opened {
        Ok(Ok(Opened::Encrypted(stream))) => {
            speak(*stream, peer, &service.router, service.limits, closing).await;
        }
        Ok(Ok(Opened::Plain(stream))) => {
            let limits = service.limits.of_turned_away();
            speak(stream, peer, &TurnedAway::Unencrypted.router(), limits, closing).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS came about"),
        Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
    }
}

enum Opened {
    Encrypted(Box<TlsStream<TcpStream>>),
    /// It begins as TLS never does.
    Plain(TcpStream),
}

async fn open(stream: TcpStream, tls: &TlsAcceptor) -> io::Result<Opened> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first == [TLS_HANDSHAKE] => Ok(Opened::Encrypted(Box::new(tls.accept(stream).await?))),
        _ => Ok(Opened::Plain(stream)),
    }
}

/// Speaks HTTP.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    peer: SocketAddr,
    router: &Router,
    limits: ServeLimits,
    mut closing: watch::Receiver<bool>,
) {
    let (phases, doubt) = (Phases::new(), Doubt::default());
    let (watched, lent) = Watched::lend(stream, phases.clone(), doubt.clone(), limits.answer_write_max);
    let service =
        service_fn(|request| respond(request, peer, router.clone(), limits, phases.clone(), doubt.clone()));
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Without hyper's own deadline for heads: it also runs while a connection is idle.
    http.http1().max_buf_size(BUFFER_BYTES_MAX).header_read_timeout(None);
    http.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let ended = {
        let mut connection = pin!(http.serve_connection(TokioIo::new(watched), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = overdue(&phases, &limits, &lent) => None,
            () = closed(&mut closing) => None,
        };
        match ended {
            Some(ended) => Some(ended),
            // Nothing of what came can be answered any more, but that it came too slowly.
            None if phases.is_in_head() && !*closing.borrow() && lent.speaks_http1() => None,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => Some(ended),
                    () = phases.quiet(CLOSE_GRACE) => None,
                }
            }
        }
    };
    if let Some(Err(error)) = &ended {
        tracing::debug!(%error, "connection ended early");
    }
    if let Some(left) = lent.take_back() {
        let is_late = ended.is_none() && phases.is_in_head();
        farewell::say(left, is_late.then_some(limits.head_read_max), phases.is_fresh()).await;
    }
}

/// Ends when the client has taken too long for what it is at. Who is still reading an answer is not idle.
async fn overdue<S>(phases: &Phases, limits: &ServeLimits, lent: &Lent<S>) {
    loop {
        phases.overdue(limits).await;
        if !lent.is_being_written() {
            return;
        }
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the server is gone altogether.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn respond(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    router: Router,
    limits: ServeLimits,
    phases: Phases,
    doubt: Doubt,
) -> Result<Response<Answer>, Infallible> {
    let under_way = phases.request();
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = request.map(|body| Body::new(Timely::new(body, limits.body_read_max)));
    let response = router.oneshot(request).await?;
    doubt.look_at(&response);
    Ok(response.map(|body| Answer { body, _under_way: under_way }))
}
