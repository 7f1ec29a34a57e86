//! A remote system that answers as a test says, and remembers what it was sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_model::{Attempt, Effect, Failure, Fingerprint, Repeat, Shape, Verdict};
use tokio::sync::{Semaphore, mpsc};

/// What the remote does with an attempt.
#[derive(Clone)]
pub(crate) enum Reply {
    Done(u64),
    RetryAfter(Duration),
    Refused,
    Unknown,
    /// Answers `Done(0)` once the test opens the gate.
    Gate,
}

pub(crate) struct Remote {
    replies: Mutex<HashMap<String, VecDeque<Reply>>>,
    sent: Mutex<Vec<(String, String)>>,
    arrivals: mpsc::UnboundedSender<String>,
    arrived: Mutex<mpsc::UnboundedReceiver<String>>,
    pub(crate) gate: Semaphore,
}

impl Remote {
    pub(crate) fn new() -> Arc<Self> {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        Arc::new(Self {
            replies: Mutex::default(),
            sent: Mutex::default(),
            arrivals,
            arrived: Mutex::new(arrived),
            gate: Semaphore::new(0),
        })
    }

    /// The next replies to that path; afterwards it answers `Done(1)`.
    pub(crate) fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().insert(path.to_owned(), replies.into_iter().collect());
    }

    pub(crate) fn post(self: &Arc<Self>, path: &str) -> Post {
        Post { remote: self.clone(), path: path.to_owned(), body: String::new() }
    }

    /// The idempotency keys under which that path was called, in order.
    pub(crate) fn keys(&self, path: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(to, _)| to == path).map(|(_, key)| key.clone()).collect()
    }

    /// All that was sent, in order: paths with their idempotency keys.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        self.sent.lock().unwrap().clone()
    }

    /// Ends when the next attempt has arrived.
    pub(crate) async fn next_arrival(&self) -> String {
        std::future::poll_fn(|cx| self.arrived.lock().unwrap().poll_recv(cx)).await.expect("the remote lives")
    }

    /// Ends when the next attempt at that path has arrived; those at others are passed over.
    pub(crate) async fn arrival_at(&self, path: &str) {
        while self.next_arrival().await != path {}
    }
}

/// A call to the remote.
pub(crate) struct Post {
    remote: Arc<Remote>,
    path: String,
    body: String,
}

impl Post {
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }
}

impl Effect for Post {
    type Output = u64;

    fn shape(&self) -> Shape {
        let fingerprint = Fingerprint {
            api: "crm".into(),
            method: "POST".into(),
            path: self.path.clone(),
            query: String::new(),
            body: self.body.clone(),
        };
        Shape {
            fingerprint: Some(fingerprint),
            repeat: Repeat::Keyed { lifetime: Duration::from_secs(86_400) },
        }
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<u64> {
        self.remote.sent.lock().unwrap().push((self.path.clone(), attempt.key().to_owned()));
        let reply = self.remote.replies.lock().unwrap().get_mut(&self.path).and_then(VecDeque::pop_front);
        self.remote.arrivals.send(self.path.clone()).expect("the remote lives");
        match reply.unwrap_or(Reply::Done(1)) {
            Reply::Done(value) => Verdict::Done(value),
            Reply::RetryAfter(wait) => Verdict::RetryAfter(Failure::refused("busy").retry_after(Some(wait))),
            Reply::Refused => Verdict::Refused(Failure::refused("no such customer").permanent()),
            Reply::Unknown => Verdict::Unknown(Failure::unknown("the answer was lost")),
            Reply::Gate => {
                self.remote.gate.acquire().await.expect("never closed").forget();
                Verdict::Done(0)
            }
        }
    }
}
