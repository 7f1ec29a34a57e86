//! The body of an answer as it flows: for what is too large to hold.
//!
//! What comes in: a call. What goes out: an answer whose head is good, and then its body, chunk by chunk. What must
//! never happen here: a chunk that is read before it is asked for; a pause without an end; a body that stops early and
//! passes for complete.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bowline_model::{Attempt, BoxFuture, Failure, Verdict, error::BODY_EXCERPT_BYTES_MAX};
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use url::Url;

use crate::{
    Api,
    attempt::{Broken, Head, Incoming},
    call::Request,
    decode::Undecodable,
    once::Opened,
    policy::Permit,
    read::{Read, Unread},
    report::{self, Asked},
    scrub::Scrub,
    verdict::{Answer, BodyEnd, judge},
};

/// An answer whose body is on its way.
pub(crate) struct Flow {
    api: Api,
    request: Box<Request>,
    attempt: u32,
    timeout: Duration,
    scrub: Arc<Scrub>,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    url: Url,
    /// The connection, and the right to use it. Both are given back when the body is over.
    body: Option<(Incoming, Option<Permit>)>,
    /// What people are shown of the body.
    start: BytesMut,
    /// How many bytes came.
    pub(crate) read: u64,
}

/// A stream has no other answers than good ones.
struct Never;

impl Read<Infallible> for Never {
    fn good(&self, answer: &Answer, _: &Scrub) -> Result<Infallible, Unread> {
        Err(Unread::Unfit(format!("is not what was asked for: {} bytes", answer.body.len())))
    }
}

impl Flow {
    /// Makes one attempt, and reads the answer's head.
    ///
    /// # Errors
    /// The verdict on every answer whose status is not accepted, as on any call.
    pub(crate) async fn open(
        api: &Api,
        request: &Request,
        attempt: &Attempt,
        accepts: fn(u16) -> bool,
    ) -> Result<Self, Verdict<Infallible>> {
        let mut outgoing = api.outgoing(request, attempt)?;
        let opened = api.open(&mut outgoing).await?;
        if !accepts(opened.head.status) {
            let answer = api.read_whole(opened, &mut outgoing, |_| None).await;
            let verdict =
                judge(&outgoing.asked, &answer, &Never, |answer| Never.good(answer, &outgoing.asked.scrub));
            api.raise(&outgoing.asked, &answer, &verdict);
            return Err(verdict);
        }
        let scrub = outgoing.asked.scrub.clone();
        let Opened { head: Head { status, headers, url, mut body }, permit } = opened;
        body.limit(api.settings().stream_bytes_max);
        let flow = Self {
            api: api.clone(),
            request: Box::new(request.clone()),
            attempt: attempt.number(),
            timeout: attempt.timeout(),
            scrub,
            status,
            headers,
            url,
            start: BytesMut::new(),
            read: 0,
            body: Some((body, Some(permit))),
        };
        match flow.body.as_ref().and_then(|(body, _)| body.unasked()) {
            Some(what) => Err(Verdict::Unknown(flow.failure(&format!(", but its body {what}")).permanent())),
            None => Ok(flow),
        }
    }

    /// Counts no longer among the calls under way: whoever reads it makes further calls meanwhile, and they must not wait
    /// for its end.
    pub(crate) fn is_read_among_calls(&mut self) {
        if let Some((_, permit)) = &mut self.body {
            *permit = None;
        }
    }

    /// Whether the bytes are those that the remote stores.
    pub(crate) fn is_plain(&self) -> bool {
        self.body.as_ref().is_none_or(|(body, _)| body.is_plain())
    }

    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// The connection broke, the body cannot be decoded or is too large, or nothing came for too long. Nothing more
    /// follows.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some((body, _)) = &mut self.body else { return Ok(None) };
        let settings = self.api.settings();
        let mut pause: BoxFuture<'static, ()> = settings.clock.sleep(settings.stream_idle_timeout);
        let chunk = tokio::select! {
            biased;
            chunk = body.chunk() => chunk.map_err(Some),
            () = &mut pause => Err(None),
        };
        match chunk {
            Ok(Some(chunk)) => {
                let shown_max = BODY_EXCERPT_BYTES_MAX + self.scrub.longest_bytes();
                let room = shown_max.saturating_sub(self.start.len());
                self.start.extend_from_slice(&chunk[..chunk.len().min(room)]);
                self.read += chunk.len() as u64;
                Ok(Some(chunk))
            }
            Ok(None) => {
                self.body = None;
                Ok(None)
            }
            Err(broken) => {
                self.body = None;
                Err(self.broken(broken))
            }
        }
    }

    fn broken(&self, broken: Option<Broken>) -> Failure {
        let (read, settings) = (self.read, self.api.settings());
        match broken {
            None => {
                let pause = settings.stream_idle_timeout.as_secs_f64();
                self.failure(&format!(
                    ", but nothing more of its body came for {pause} s, after {read} bytes"
                ))
            }
            Some(Broken::Connection(causes)) => {
                let failure =
                    self.failure(&format!(", but the connection broke after {read} bytes of its body"));
                self.asked().with_causes(failure, &causes)
            }
            Some(Broken::Undecodable(what)) => {
                let hint = match what {
                    Undecodable::TooLarge { .. } => ": if it is meant to be, raise .stream_bytes_max",
                    Undecodable::Corrupt { .. }
                    | Undecodable::Truncated { .. }
                    | Undecodable::GoesOn { .. }
                    | Undecodable::Bomb { .. } => "",
                };
                let failure = self.failure(&format!(", but its body {what}{hint}"));
                if what.is_truncated() { failure } else { failure.permanent() }
            }
        }
    }

    /// What is told of the answer; the text goes on after its status.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        self.asked().about(&self.answer(), Failure::unknown, what)
    }

    /// What is wrong with a body that is no data at all; goes on after "its body".
    pub(crate) fn not_in_format(&self, format: &str) -> Option<String> {
        report::not_in_format(&self.answer(), format)
    }

    fn asked(&self) -> Asked<'_> {
        self.api.asked(&self.request, self.attempt, self.timeout, self.scrub.clone())
    }

    /// As far as it is known.
    fn answer(&self) -> Answer {
        let body = self.start.clone().freeze();
        let (headers, url) = (self.headers.clone(), self.url.clone());
        Answer { status: self.status, headers, body, end: BodyEnd::Complete, url }
    }
}
