//! The load: every connection sends its next event as soon as the last was answered.

use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    task::LocalSet,
};

use crate::{Error, Result, wire};

/// How long one answer may take: longer means that the contender hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Read at once; answers are shorter.
const READ_BYTES: usize = 4096;

/// What the load saw.
pub(crate) struct Acknowledged {
    /// When the last event was acknowledged, on the monotonic clock.
    pub(crate) last_at: Duration,
    /// How long each answer took, in ascending order.
    pub(crate) latencies: Vec<Duration>,
}

/// Sends each request once over so many connections, all on this thread.
///
/// # Errors
/// If any of them is answered other than 200, or not at all.
pub(crate) fn send(port: u16, requests: &Rc<Vec<Vec<u8>>>, connections: usize) -> Result<Acknowledged> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let next = Rc::new(Cell::new(0));
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let senders: Vec<_> = (0..connections)
        .map(|_| local.spawn_local(keep_sending(address, requests.clone(), next.clone())))
        .collect();
    let latencies = local.block_on(&runtime, async {
        let mut all = Vec::with_capacity(requests.len());
        for sender in senders {
            all.extend(sender.await??);
        }
        Ok::<_, Error>(all)
    });
    let last_at = SystemClock.monotonic();
    let mut latencies = latencies?;
    latencies.sort_unstable();
    Ok(Acknowledged { last_at, latencies })
}

async fn keep_sending(
    address: SocketAddr,
    requests: Rc<Vec<Vec<u8>>>,
    next: Rc<Cell<usize>>,
) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut latencies = Vec::new();
    while let Some(request) = requests.get(next.replace(next.get() + 1)) {
        let sent_at = SystemClock.monotonic();
        stream.write_all(request).await?;
        tokio::time::timeout(ANSWER_WITHIN, read_answer(&mut stream, &mut buffer))
            .await
            .map_err(|_| format!("an event was not answered within {ANSWER_WITHIN:?}"))??;
        latencies.push(SystemClock.monotonic() - sent_at);
    }
    Ok(latencies)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result {
    buffer.clear();
    let answer = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed a connection instead of answering".into());
        }
        if let Some(answer) = wire::extent(buffer) {
            break answer;
        }
    };
    match wire::status(&buffer[..answer.head]) {
        Some(200) => Ok(()),
        Some(_) | None => {
            let said = String::from_utf8_lossy(&buffer[..answer.whole]);
            Err(format!("an event was not accepted: {said}").into())
        }
    }
}
