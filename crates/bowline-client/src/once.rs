//! One attempt, judged and told to the log: from what is kept, or over HTTP.

use std::time::Duration;

use bowline_model::{Attempt, BoxFuture, Verdict};

use crate::{
    Api,
    attempt::{self, Ready},
    cache::{Cache, Found, Key},
    call::Request,
    prepare::{prepare, scrub_for},
    report::Asked,
    scrub::Scrub,
    verdict::{Answer, Observed, judge},
};

/// How a call wants its answer read.
pub(crate) type Read<T> = fn(&Answer, &Scrub) -> Result<T, String>;

impl Api {
    /// Makes one attempt.
    pub(crate) async fn attempt<T>(&self, request: &Request, attempt: &Attempt, read: Read<T>) -> Verdict<T> {
        let settings = self.settings();
        let scrub = scrub_for(settings, request);
        let path = settings.shown_path(&request.path);
        let mut asked = Asked {
            api: &settings.name,
            method: &request.method,
            path: &path,
            host: settings.host(),
            keyed: settings.key_is_sent_for(&request.method),
            attempt: attempt.number(),
            timeout: attempt.timeout(),
            credentials: settings.credentials_for_people(),
            scrub: &scrub,
            now: settings.clock.now(),
        };
        let ready = match prepare(settings, request, attempt.key()) {
            Ok(ready) => ready,
            Err(what) => return Verdict::Refused(asked.not_sent(&what)),
        };
        let deadline = settings.clock.sleep(attempt.timeout());
        match self.kept().and_then(|cache| Some((cache, Key::of(request)?))) {
            Some((cache, key)) => self.find_or_exchange(cache, key, &mut asked, ready, deadline, read).await,
            None => self.exchange(&mut asked, ready, deadline, |answer| read(answer, &scrub)).await,
        }
    }

    /// Takes what is kept, or what another attempt is about to get; else sends, and keeps the answer.
    async fn find_or_exchange<T>(
        &self,
        cache: &Cache,
        key: Key,
        asked: &mut Asked<'_>,
        ready: Ready,
        mut deadline: BoxFuture<'static, ()>,
        read: Read<T>,
    ) -> Verdict<T> {
        let scrub = asked.scrub;
        let flight = match cache.find(key, asked.now, &mut deadline).await {
            Found::Answer(answer) => {
                if let Ok(value) = read(&answer, scrub) {
                    tell_found(asked);
                    return Verdict::Done(value);
                }
                // What another call could read does not fit this one's type: it asks for itself.
                None
            }
            Found::Flight(flight) => Some(flight),
            Found::Nothing => None,
            Found::TimedOut => return Verdict::Unknown(asked.timed_out()),
        };
        let mut kept = None;
        let verdict = self
            .exchange(asked, ready, deadline, |answer| {
                let value = read(answer, scrub)?;
                kept = cache.keep(key, answer, self.settings().clock.now());
                Ok(value)
            })
            .await;
        if let Some(flight) = flight {
            flight.land(kept);
        }
        verdict
    }

    /// Sends.
    async fn exchange<T>(
        &self,
        asked: &mut Asked<'_>,
        ready: Ready,
        deadline: BoxFuture<'static, ()>,
        read: impl FnOnce(&Answer) -> Result<T, String>,
    ) -> Verdict<T> {
        let settings = self.settings();
        let client = match self.client() {
            Ok(client) => client,
            Err(what) => return Verdict::Refused(asked.not_sent(&what)),
        };
        let started = settings.clock.monotonic();
        let mut observed = attempt::exchange(client, ready, settings.response_bytes_max, deadline).await;
        asked.now = settings.clock.now();
        tell(asked, &observed, settings.clock.monotonic().saturating_sub(started));
        // Before anything looks at it: an answer may echo what was sent, and answers are recorded.
        if let Observed::Answered(answer) = &mut observed
            && let Some(clean) = asked.scrub.answer(&answer.body)
        {
            answer.body = clean.into();
        }
        judge(asked, observed, read)
    }
}

/// One line per attempt: never a query, a header or a body.
fn tell(asked: &Asked<'_>, observed: &Observed, took: Duration) {
    let (api, method, attempt) = (asked.api, asked.method.as_str(), asked.attempt);
    let place = asked.place();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match observed {
        Observed::Answered(answer) => {
            let status = answer.status;
            tracing::debug!(api, method, path = place, attempt, status, took_ms, "called");
        }
        Observed::NotReached { .. } => {
            tracing::debug!(api, method, path = place, attempt, took_ms, "not reached")
        }
        Observed::Lost { .. } => tracing::debug!(api, method, path = place, attempt, took_ms, "answer lost"),
        Observed::TimedOut => tracing::debug!(api, method, path = place, attempt, took_ms, "timed out"),
    }
}

/// One line for an attempt that sent nothing, as it was answered before.
fn tell_found(asked: &Asked<'_>) {
    let (api, method, attempt) = (asked.api, asked.method.as_str(), asked.attempt);
    tracing::debug!(api, method, path = asked.place(), attempt, "answered from the cache");
}
