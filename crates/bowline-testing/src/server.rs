//! The HTTP server under the stand-ins: loopback only, its own thread, switched off and on at one port.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    task::{AbortHandle, JoinSet},
};

/// The largest request body that a stand-in reads.
pub(crate) const BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as scripted")]
pub(crate) struct Closed;

pub(crate) type Answered = Result<Response<Full<Bytes>>, Closed>;

/// The thread that servers run on. Several may share one.
pub(crate) struct Host {
    // An Option only because shutting a runtime down takes it by value.
    runtime: Option<Runtime>,
}

impl Host {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bowline-mocks")
            .enable_all()
            .build()?;
        Ok(Arc::new(Self { runtime: Some(runtime) }))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("taken only by drop").handle()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would panic inside an async test.
            runtime.shutdown_background();
        }
    }
}

/// A server on loopback. Dropping it closes the port and every connection.
pub(crate) struct Server {
    host: Arc<Host>,
    address: SocketAddr,
    listen: Box<dyn Fn(StdListener) -> io::Result<Listening> + Send + Sync>,
    listening: Mutex<Option<Listening>>,
}

/// A running accept loop; it owns the port and the connections.
struct Listening {
    task: AbortHandle,
    closed: mpsc::Receiver<()>,
}

impl Server {
    /// Listens on a loopback port (0: any free one), on a thread of its own.
    pub(crate) fn start<H, F>(port: u16, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Answered> + Send + 'static,
    {
        Self::start_on(&Host::start()?, port, handler)
    }

    /// Listens on a loopback port (0: any free one), on that thread.
    pub(crate) fn start_on<H, F>(host: &Arc<Host>, port: u16, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Answered> + Send + 'static,
    {
        let listener = bind(port)?;
        let address = listener.local_addr()?;
        let (handler, handle) = (Arc::new(handler), host.handle().clone());
        let listen = Box::new(move |listener| listen(&handle, listener, handler.clone()));
        let listening = Mutex::new(Some(listen(listener)?));
        Ok(Self { host: host.clone(), address, listen, listening })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The runtime the server runs on.
    pub(crate) fn handle(&self) -> &Handle {
        self.host.handle()
    }

    /// Closes the port and every connection. Nobody is answered any more when it returns.
    pub(crate) fn close(&self) {
        let taken = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = taken {
            listening.task.abort();
            // The sender lives in the accept loop: an error means that the loop, and all it owns, is gone.
            let _ = listening.closed.recv();
        }
    }

    /// Listens again, on the same port.
    pub(crate) fn open(&self) -> io::Result<()> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.is_none() {
            *listening = Some((self.listen)(bind(self.address.port())?)?);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind(port: u16) -> io::Result<StdListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen<H, F>(runtime: &Handle, listener: StdListener, handler: Arc<H>) -> io::Result<Listening>
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let (alive, closed) = mpsc::channel();
    let task = runtime.spawn(accept(Port { listener, _alive: alive }, handler));
    Ok(Listening { task: task.abort_handle(), closed })
}

/// The port and the news of its end. Fields are dropped in order, even of a task that never ran: first the one, then
/// the other.
struct Port {
    listener: TcpListener,
    _alive: mpsc::Sender<()>,
}

async fn accept<H, F>(port: Port, handler: Arc<H>)
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    // Dropped before the port: when the news is out, no connection is served any more.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = port.listener.accept() => {
                // Out of file descriptors, or a peer that left at once: the next accept tells.
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let handler = handler.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, handler.clone()));
                    // An error is a peer that went away, or a scripted close: nobody to tell.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer<H, F>(request: Request<Incoming>, handler: Arc<H>) -> Answered
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Answered>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Closed)?.to_bytes();
    handler(Request::from_parts(head, body)).await
}
