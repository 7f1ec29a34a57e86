//! One attempt: from what is kept, or over HTTP; permitted, proven, sent, learned from, judged.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bowline_model::{Alert, Attempt, BoxFuture, Verdict};

use reqwest::header::CONTENT_LENGTH;

use crate::{
    Api,
    attempt::{self, Head, Ready},
    auth::NoToken,
    body::Body,
    call::Request,
    policy::{Ask, Pause, Permit, Seen},
    prepare::{prepare, scrub_for, scrub_sent},
    proof::Proof,
    read::{Read, Unread},
    report::{Asked, credential_alert},
    scrub::Scrub,
    verdict::{Answer, Observed, judge, judge_unanswered},
};

/// A request on its way to its first byte.
pub(crate) struct Outgoing<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) ready: Ready,
    /// The idempotency key.
    key: &'a str,
    /// Ends when the attempt's time is up.
    pub(crate) deadline: BoxFuture<'static, ()>,
}

/// An answer whose body is still to come, and the right to read it.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) permit: Permit,
}

impl Api {
    /// Makes one attempt.
    pub(crate) async fn attempt<T>(
        &self,
        request: &Request,
        attempt: &Attempt,
        read: &dyn Read<T>,
    ) -> Verdict<T> {
        let mut outgoing = match self.outgoing(request, attempt) {
            Ok(outgoing) => outgoing,
            Err(verdict) => return verdict.map(|never| match never {}),
        };
        match self.kept() {
            Some(cache) => self.find_or_exchange(cache, request, &mut outgoing, read).await,
            None => self.exchange(&mut outgoing, read, |_| {}).await,
        }
    }

    /// Puts the request together; sends nothing.
    ///
    /// # Errors
    /// The verdict on a call that cannot be sent as it is.
    pub(crate) fn outgoing<'a>(
        &'a self,
        request: &'a Request,
        attempt: &'a Attempt,
    ) -> Result<Outgoing<'a>, Verdict<Infallible>> {
        let settings = self.settings();
        // Before the scrub: a URL from a file is read anew here, and what was read is what must not be shown.
        let ready = prepare(settings, request, attempt.key());
        let scrub = scrub_for(settings, request);
        let asked = self.asked(request, attempt.number(), attempt.timeout(), scrub);
        match ready {
            Ok(ready) => {
                let deadline = settings.clock.sleep(attempt.timeout());
                Ok(Outgoing { asked, ready, key: attempt.key(), deadline })
            }
            Err(what) => Err(Verdict::Refused(asked.not_sent(&what))),
        }
    }

    /// What is told of a call if it fails.
    pub(crate) fn asked<'a>(
        &'a self,
        request: &'a Request,
        attempt: u32,
        timeout: Duration,
        scrub: Arc<Scrub>,
    ) -> Asked<'a> {
        let settings = self.settings();
        Asked {
            api: &settings.name,
            method: &request.method,
            path: settings.shown_path(&request.path),
            host: settings.host(&request.path),
            keyed: settings.key_is_sent_for(request),
            attempt,
            timeout,
            credentials: settings.credentials_for_people(),
            scrub,
            now: settings.clock.now(),
        }
    }

    /// Sends, reads the answer whole, and judges it. `use_good` sees an answer that could be read.
    pub(crate) async fn exchange<T>(
        &self,
        outgoing: &mut Outgoing<'_>,
        read: &dyn Read<T>,
        use_good: impl FnOnce(&Answer),
    ) -> Verdict<T> {
        let opened = match self.open(outgoing).await {
            Ok(opened) => opened,
            Err(verdict) => return verdict.map(|never| match never {}),
        };
        let answer = self.read_whole(opened, outgoing, |answer| read.cost(answer)).await;
        self.judged(outgoing, &answer, read, use_good)
    }

    /// Judges an answer, and tells people of what they should know. `use_good` sees it if it could be read.
    pub(crate) fn judged<T>(
        &self,
        outgoing: &Outgoing<'_>,
        answer: &Answer,
        read: &dyn Read<T>,
        use_good: impl FnOnce(&Answer),
    ) -> Verdict<T> {
        let verdict = judge(&outgoing.asked, answer, read, |answer| {
            let value = read.good(answer, &outgoing.asked.scrub)?;
            use_good(answer);
            Ok::<_, Unread>(value)
        });
        self.raise(&outgoing.asked, answer, &verdict);
        verdict
    }

    /// Reads the body that was opened, clean of secrets.
    pub(crate) async fn read_whole(
        &self,
        Opened { head, mut permit }: Opened,
        outgoing: &mut Outgoing<'_>,
        cost: impl FnOnce(&Answer) -> Option<crate::read::Cost>,
    ) -> Answer {
        let settings = self.settings();
        let Head { status, headers, url, body } = head;
        let (body, end) = body.read(settings.response_bytes_max, outgoing.deadline.as_mut()).await;
        // Before anything looks at it: an answer may echo what was sent, and answers are recorded.
        let clean = if settings.answers_are_secret { None } else { outgoing.asked.scrub.answer(&body) };
        let body = clean.map_or(body, Into::into);
        let answer = Answer { status, headers, body, end, url };
        outgoing.asked.now = settings.clock.now();
        if let Some(cost) = cost(&answer) {
            permit.cost(cost, outgoing.asked.now);
        }
        answer
    }

    /// Asks for permission, proves who calls, sends, and waits for the head of the answer. A token that the remote does
    /// not take is renewed once, and the request sent once more.
    ///
    /// # Errors
    /// The verdict, if there is no answer to read.
    pub(crate) async fn open(&self, outgoing: &mut Outgoing<'_>) -> Result<Opened, Verdict<Infallible>> {
        let mut proof = self.prove(outgoing, None).await?;
        let mut renewed = false;
        loop {
            let opened = self.send(outgoing, &proof).await?;
            let is_once = outgoing.ready.body.as_ref().is_some_and(Body::is_once);
            // Where a redirect led to another host, the token was not shown.
            let is_home = opened.head.url.origin() == outgoing.ready.url.origin();
            if opened.head.status != 401 || !is_home || renewed || is_once || !proof.is_renewable() {
                return Ok(opened);
            }
            drop(opened);
            proof = self.prove(outgoing, Some(proof)).await?;
            renewed = true;
        }
    }

    async fn prove(
        &self,
        outgoing: &mut Outgoing<'_>,
        refused: Option<Proof>,
    ) -> Result<Proof, Verdict<Infallible>> {
        let settings = self.settings();
        let get = async {
            match refused {
                Some(refused) => refused.renewed(settings, self.account_name()).await,
                None => Proof::get(settings, self.account_name()).await,
            }
        };
        let proof = tokio::select! {
            biased;
            proof = get => proof,
            () = &mut outgoing.deadline => {
                let why = format!("the token of {}", settings.name);
                Err(NoToken::Wait { wait: TOKEN_WAIT, why })
            }
        };
        let proof = proof.map_err(|none| match none {
            NoToken::Wait { wait, why } => Verdict::Wait { wait, why },
            NoToken::Later(failure) => Verdict::RetryAfter(failure),
            NoToken::Never(failure) => Verdict::Refused(failure.permanent()),
        })?;
        proof.scrub(&mut outgoing.asked.scrub);
        Ok(proof)
    }

    /// One request, if it may go.
    async fn send(&self, outgoing: &mut Outgoing<'_>, proof: &Proof) -> Result<Opened, Verdict<Infallible>> {
        let settings = self.settings();
        let asked = &mut outgoing.asked;
        let refuse = |asked: &Asked<'_>, what: &str| Verdict::Refused(asked.not_sent(what));
        let length = match &outgoing.ready.body {
            Some(body) => body.look().await.map_err(|what| refuse(asked, &what))?,
            None => None,
        };
        let ask = Ask { ticket: outgoing.key, attempt: asked.attempt, patience: asked.timeout };
        let admitted = tokio::select! {
            biased;
            admitted = self.policy().admit(ask, &settings.clock) => admitted,
            // Getting a token took the attempt's time: nothing was sent yet.
            () = &mut outgoing.deadline => {
                Err(Pause { wait: TOKEN_WAIT, why: format!("its turn at {}", settings.name) })
            }
        };
        let mut permit = admitted.map_err(|pause| Verdict::Wait { wait: pause.wait, why: pause.why })?;
        let client = self.client().map_err(|what| refuse(asked, &what))?;
        let (key, scrub) = (outgoing.key, &mut asked.scrub);
        let prove = |request: &mut Ready| {
            if let Some(length) = length {
                request.headers.insert(CONTENT_LENGTH, length.into());
            }
            proof.apply(settings, request, key, settings.clock.now())?;
            scrub_sent(settings, &request.headers, scrub);
            Ok(())
        };
        let started = settings.clock.monotonic();
        let sent = attempt::send(client, settings, &outgoing.ready, prove, &mut outgoing.deadline).await;
        asked.now = settings.clock.now();
        if let Some(seen) = seen(&sent) {
            permit.saw(seen, asked.now);
        }
        tell(asked, &sent, settings.clock.monotonic().saturating_sub(started));
        match sent {
            Ok(head) => Ok(Opened { head, permit }),
            Err(observed) => Err(judge_unanswered(asked, &observed)),
        }
    }

    /// Tells people of a credential that is not taken; whatever the workflow makes of the error.
    pub(crate) fn raise<T>(&self, asked: &Asked<'_>, answer: &Answer, verdict: &Verdict<T>) {
        let Verdict::Refused(failure) = verdict else { return };
        if !asked.is_home(answer) {
            return;
        }
        let code = failure.call.as_ref().and_then(|call| call.code.as_deref());
        if let Some(kind) = credential_alert(answer.status, code) {
            let message = asked.alert(answer.status, code);
            self.settings().alerts.raise(Alert { api: self.shown_name(), kind, message, at: asked.now });
        }
    }
}

/// How long to wait for a token that did not come in the time of one attempt.
const TOKEN_WAIT: Duration = Duration::from_secs(1);

fn seen(sent: &Result<Head, Observed>) -> Option<Seen<'_>> {
    Some(match sent {
        Ok(Head { status, headers, .. }) => Seen::Answer { status: *status, headers },
        Err(Observed::NotReached { .. }) => Seen::NotReached,
        Err(Observed::Lost { .. }) => Seen::Lost,
        Err(Observed::TimedOut) => Seen::TimedOut,
        // It says nothing of the remote.
        Err(Observed::NotSent { .. }) => return None,
    })
}

/// One line per request: never a query, a header or a body.
fn tell(asked: &Asked<'_>, sent: &Result<Head, Observed>, took: Duration) {
    let (api, method, attempt) = (asked.api, asked.method.as_str(), asked.attempt);
    let place = asked.place();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match sent {
        Ok(Head { status, .. }) => {
            tracing::debug!(api, method, path = place, attempt, status, took_ms, "called");
        }
        Err(Observed::NotReached { .. }) => {
            tracing::debug!(api, method, path = place, attempt, took_ms, "not reached")
        }
        Err(Observed::Lost { .. }) => {
            tracing::debug!(api, method, path = place, attempt, took_ms, "answer lost")
        }
        Err(Observed::NotSent { .. }) => tracing::debug!(api, method, path = place, attempt, "not sent"),
        Err(Observed::TimedOut) => {
            tracing::debug!(api, method, path = place, attempt, took_ms, "timed out")
        }
    }
}
