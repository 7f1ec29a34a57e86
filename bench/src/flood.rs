//! A load that does not wait: requests are due at random times of a fixed rate, whatever became of those before.
//!
//! What comes in: signed requests and a rate. What goes out: how each was answered. What must never happen here: a slow
//! server that is asked less for it (each latency counts from when its request was due).

use std::{
    cell::{Cell, RefCell},
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

use crate::{Result, wire};

/// Who is not answered by then is not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How finely requests are spread.
const TICK: Duration = Duration::from_millis(1);
const READ_BYTES: usize = 4096;

/// How to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) port: u16,
    pub(crate) requests_per_s: f64,
    /// A request for which there would have to be more is not sent.
    pub(crate) connections_max: usize,
    /// Of the times between requests.
    pub(crate) seed: u64,
}

/// How requests were answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Which were answered 200, and when, from when they were due.
    pub(crate) accepted: Vec<(usize, Duration)>,
    /// 503 with `Retry-After`.
    pub(crate) refused: usize,
    pub(crate) refused_after: Vec<Duration>,
    /// Connections that ended instead of an answer.
    pub(crate) resets: usize,
    /// Requests without an answer.
    pub(crate) silent: usize,
    /// Requests that had no connection left.
    pub(crate) held_back: usize,
    /// Whatever else was said, the first of each.
    pub(crate) odd: Vec<String>,
    /// From the first to the last request.
    pub(crate) sent_within: Duration,
    pub(crate) connections_peak: usize,
}

struct State {
    address: SocketAddr,
    plan: Plan,
    idle: RefCell<Vec<TcpStream>>,
    open: Cell<usize>,
    answers: RefCell<Answers>,
}

enum Answer {
    Accepted,
    Refused,
    Odd(String),
}

/// Sends each request once, at its time, and waits for all answers.
///
/// # Errors
/// If the load itself fails.
pub(crate) fn send(plan: Plan, requests: Vec<Vec<u8>>) -> Result<Answers> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let state = Rc::new(State {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, plan.port)),
        plan,
        idle: RefCell::default(),
        open: Cell::new(0),
        answers: RefCell::default(),
    });
    local.block_on(&runtime, flood(state.clone(), requests));
    let state = Rc::into_inner(state).ok_or("a request is still under way")?;
    Ok(state.answers.into_inner())
}

async fn flood(state: Rc<State>, requests: Vec<Vec<u8>>) {
    let mut gaps = Gaps { state: state.plan.seed, per_s: state.plan.requests_per_s };
    let (began_at, mut due) = (SystemClock.monotonic(), Duration::ZERO);
    let mut under_way = tokio::task::JoinSet::new();
    for (number, request) in requests.into_iter().enumerate() {
        due += gaps.next();
        while SystemClock.monotonic() - began_at < due {
            SystemClock.sleep(TICK).await;
        }
        let state = state.clone();
        under_way.spawn_local(async move { state.exchange(number, &request, began_at + due).await });
        // Otherwise a load that is behind its times would read no answers.
        if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    state.answers.borrow_mut().sent_within = SystemClock.monotonic() - began_at;
    while under_way.join_next().await.is_some() {}
}

impl State {
    async fn exchange(&self, number: usize, request: &[u8], due_at: Duration) {
        let pooled = self.idle.borrow_mut().pop();
        if pooled.is_none() {
            if self.open.get() >= self.plan.connections_max {
                self.answers.borrow_mut().held_back += 1;
                return;
            }
            self.open.set(self.open.get() + 1);
            let mut answers = self.answers.borrow_mut();
            answers.connections_peak = answers.connections_peak.max(self.open.get());
        }
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.ask(pooled, request)).await;
        let took = SystemClock.monotonic().saturating_sub(due_at);
        let (answer, kept) = match answered {
            Ok(Ok((answer, kept))) => (Some(answer), kept),
            Ok(Err(error)) => {
                let mut answers = self.answers.borrow_mut();
                answers.resets += 1;
                answers.note(error.to_string());
                (None, None)
            }
            Err(_elapsed) => {
                self.answers.borrow_mut().silent += 1;
                (None, None)
            }
        };
        match kept {
            Some(stream) => self.idle.borrow_mut().push(stream),
            None => self.open.set(self.open.get() - 1),
        }
        let mut answers = self.answers.borrow_mut();
        match answer {
            Some(Answer::Accepted) => answers.accepted.push((number, took)),
            Some(Answer::Refused) => {
                answers.refused += 1;
                answers.refused_after.push(took);
            }
            Some(Answer::Odd(said)) => answers.note(said),
            None => {}
        }
    }

    /// The answer, and the connection if it stays open.
    async fn ask(
        &self,
        pooled: Option<TcpStream>,
        request: &[u8],
    ) -> std::io::Result<(Answer, Option<TcpStream>)> {
        let mut stream = match pooled {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let extent = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(extent) = wire::extent(&buffer) {
                break extent;
            }
        };
        let head = &buffer[..extent.head];
        let closes = wire::header(head, "connection").is_some_and(|value| value == b"close");
        let answer = match wire::status(head) {
            Some(200) => Answer::Accepted,
            Some(503) if wire::header(head, "retry-after").is_some() => Answer::Refused,
            Some(_) | None => Answer::Odd(String::from_utf8_lossy(&buffer[..extent.whole]).into_owned()),
        };
        Ok((answer, (!closes).then_some(stream)))
    }
}

impl Answers {
    fn note(&mut self, said: String) {
        const KEPT_MAX: usize = 5;
        if self.odd.len() < KEPT_MAX && !self.odd.contains(&said) {
            self.odd.push(said);
        }
    }
}

/// The times between requests that know nothing of one another (a Poisson process), the same for the same seed.
struct Gaps {
    state: u64,
    per_s: f64,
}

impl Gaps {
    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let evenly = ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-evenly.ln() / self.per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_rate_and_repeat_with_their_seed() {
        let gaps = |seed| {
            let mut gaps = Gaps { state: seed, per_s: 1000.0 };
            (0..10_000).map(|_| gaps.next()).collect::<Vec<_>>()
        };
        let total: Duration = gaps(1).iter().sum();
        assert!((9.5..10.5).contains(&total.as_secs_f64()), "{total:?}");
        assert_eq!(gaps(1), gaps(1));
        assert_ne!(gaps(1), gaps(2));
    }
}
