//! What operators do: through the admin API, as the command line does it.

use bowline_model::RunId;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_TYPE, HOST},
};
use serde_json::Value;

use super::{TestApp, TestRun, life::Life, sending::answer};

impl<S: Send + Sync + 'static> TestApp<S> {
    /// An operator retries a dead letter: it goes on with its recorded outcomes.
    ///
    /// # Panics
    /// If it cannot be retried; says why.
    #[track_caller]
    pub fn retry(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.run(run).row().journal_len;
        self.operate(&format!("/api/runs/{run}/retry"), || self.run(run).row().journal_len > before);
        self.run(run)
    }

    /// An operator starts a new run from the stored event of that one.
    ///
    /// # Panics
    /// If it cannot be replayed; says why.
    #[track_caller]
    pub fn replay(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.runs().len();
        self.operate(&format!("/api/runs/{run}/replay"), || self.runs().len() > before);
        *self.runs().last().expect("the replay is a run")
    }

    /// An operator closes a dead letter.
    ///
    /// # Panics
    /// If it cannot be discarded; says why.
    #[track_caller]
    pub fn discard(&self, run: RunId) -> TestRun<'_, S> {
        let before = self.run(run).row().journal_len;
        self.operate(&format!("/api/runs/{run}/discard"), || self.run(run).row().journal_len > before);
        self.run(run)
    }

    /// An operator whose command is not answered looks whether it was done before giving it again.
    #[track_caller]
    fn operate(&self, path: &str, is_done: impl Fn() -> bool) {
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().expect("a path of the admin API");
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-bowline", HeaderValue::from_static("1"));
        let ask = |life: &Life<S>| answer(life, life.process.app().admin().router(), &request);
        self.world.clock.begin_draws();
        loop {
            match self.ask_once("a command was not answered", ask) {
                Some((status, ..)) if status.is_success() => break,
                Some((status, _, body)) => {
                    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                    panic!("POST {path} was answered {status}: {answer}");
                }
                None => {
                    self.pause();
                    if is_done() {
                        break;
                    }
                }
            }
        }
        self.pause();
    }
}
