//! The CRM behind all contenders: on a thread of its own, never deduplicating, cheap.
//!
//! It knows each event by the number in the payer's address, and so sees what is missing and what came twice.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::watch,
};

use crate::{
    Result,
    events::{NUMBER_DIGITS, PAYER},
    wire::{self, Extent},
};

/// The key that contenders must send.
pub(crate) const API_KEY: &str = "bench-crm-key";

const READ_BYTES: usize = 8 * 1024;

/// A running CRM; it runs as long as the bench does.
pub(crate) struct Crm {
    port: u16,
    books: Arc<Books>,
}

struct Books {
    latency: Duration,
    state: Mutex<State>,
    /// Told when the expected number of events has arrived, and when that was.
    arrived: watch::Sender<Option<Duration>>,
}

#[derive(Default)]
struct State {
    /// By the event's number: whether a contact was made of it.
    seen: Vec<bool>,
    distinct: usize,
    expected: usize,
    requests: usize,
}

/// What came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    /// When the last one that was missing came, on the monotonic clock.
    pub(crate) last_at: Duration,
    /// Requests beyond one per event.
    pub(crate) repeats: usize,
}

impl Crm {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is no port or no thread.
    pub(crate) fn start(latency: Duration) -> io::Result<Self> {
        let books = Arc::new(Books { latency, state: Mutex::default(), arrived: watch::Sender::new(None) });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let served = books.clone();
        thread::Builder::new()
            .name("crm".to_owned())
            .spawn(move || runtime.block_on(accept(listener, served)))?;
        Ok(Self { port, books })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Forgets everything; events will be numbered below `numbers`.
    pub(crate) fn reset(&self, numbers: usize) {
        *self.books.lock() = State { seen: vec![false; numbers], ..State::default() };
    }

    /// Whether a contact was made of that event.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.books.lock().seen.get(number).is_some_and(|seen| *seen)
    }

    /// Will tell when so many different events have arrived. To be called before they are sent.
    pub(crate) fn expect(&self, events: usize) -> Awaited {
        self.books.arrived.send_replace(None);
        self.books.lock().expected = events;
        Awaited { books: self.books.clone(), arrived: self.books.arrived.subscribe() }
    }
}

/// Events that are to arrive.
pub(crate) struct Awaited {
    books: Arc<Books>,
    arrived: watch::Receiver<Option<Duration>>,
}

impl Awaited {
    /// Waits until they did.
    ///
    /// # Errors
    /// If they did not in time.
    pub(crate) fn wait(mut self, within: Duration) -> Result<Arrivals> {
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let arrived = runtime.block_on(async {
            tokio::time::timeout(within, self.arrived.wait_for(Option::is_some))
                .await
                .map(|found| found.map(|at| *at))
        });
        let state = self.books.lock();
        match arrived {
            Ok(Ok(Some(last_at))) => Ok(Arrivals { last_at, repeats: state.requests - state.distinct }),
            Ok(Ok(None) | Err(_)) | Err(_) => {
                let (distinct, expected) = (state.distinct, state.expected);
                Err(format!("only {distinct} of {expected} events reached the CRM within {within:?}").into())
            }
        }
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a contact; returns its id.
    fn enter(&self, number: usize) -> usize {
        let mut state = self.lock();
        state.requests += 1;
        let is_first = state.seen.get_mut(number).is_some_and(|seen| !std::mem::replace(seen, true));
        state.distinct += usize::from(is_first);
        if is_first && state.distinct == state.expected {
            self.arrived.send_replace(Some(SystemClock.monotonic()));
        }
        state.requests
    }
}

async fn accept(listener: std::net::TcpListener, books: Arc<Books>) {
    let listener = TcpListener::from_std(listener).expect("a bound, non-blocking socket");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(keep_answering(stream, books.clone()));
    }
}

/// Ends when the client closes, or is not understood.
async fn keep_answering(mut stream: TcpStream, books: Arc<Books>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(request) = wire::extent(&buffer) {
            let number = read_number(&buffer, request);
            buffer.drain(..request.whole);
            if !books.latency.is_zero() {
                SystemClock.sleep(books.latency).await;
            }
            let answer = match number {
                Some(number) => created(books.enter(number)),
                None => refused(),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}

/// The number of the event that a request is about, if it is one that this CRM takes.
fn read_number(buffer: &[u8], request: Extent) -> Option<usize> {
    let (head, body) = (&buffer[..request.head], &buffer[request.head..request.whole]);
    if !head.starts_with(b"POST /api/contacts ")
        || wire::header(head, "x-api-key") != Some(API_KEY.as_bytes())
    {
        return None;
    }
    let digits = memmem::find(body, PAYER.as_bytes())? + PAYER.len();
    std::str::from_utf8(body.get(digits..digits + NUMBER_DIGITS)?).ok()?.parse().ok()
}

fn created(id: usize) -> String {
    answer("201 Created", &format!("{{\"id\":{id}}}"))
}

fn refused() -> String {
    answer("400 Bad Request", "{\"error\":\"not a contact, or without the right X-Api-Key\"}")
}

fn answer(status: &str, body: &str) -> String {
    let bytes = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n{body}")
}
