//! What becomes of one request: question or event, limits, signature, subscriptions, disk; and only then the 200.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, Method, header, request::Parts},
    response::Response,
};
use bowline_model::{BuildId, Clock, EventId, FlowRules, WorkflowName};
use bowline_store::{Accepted, Store};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    Handshake, RawRequest, Receipt, ReceiptForm, Rejection, Repeat, Route, Verified, VerifiedEvent,
    accept_all, body, cors,
    fetch::Fetcher,
    gate::Gate,
    problem::Refusal,
    reply::{self, Item, Status},
    waiting::WaitingRoom,
};

/// What all routes share.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    build: BuildId,
    pub(crate) rules: FlowRules,
    pub(crate) waiting: WaitingRoom,
    on_accepted: Arc<dyn Fn() + Send + Sync>,
    /// One permit per byte of a body in memory.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) gate: Gate,
    accepting: TaskTracker,
    pub(crate) fetcher: Fetcher,
    /// Without a slash at its end.
    pub(crate) public_url: Option<String>,
}

impl Desk {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        build: BuildId,
        on_accepted: Arc<dyn Fn() + Send + Sync>,
        bodies: Arc<Semaphore>,
    ) -> Self {
        let waiting = WaitingRoom::new(Arc::clone(&store), Arc::clone(&clock));
        let fetcher = Fetcher::new(None, Arc::clone(&clock));
        Self {
            store,
            clock,
            build,
            rules: FlowRules::default(),
            waiting,
            on_accepted,
            bodies,
            gate: Gate::new(),
            accepting: TaskTracker::new(),
            fetcher,
            public_url: None,
        }
    }

    /// One request on one screen.
    pub(crate) async fn receive(
        &self,
        route: &Route,
        parts: &Parts,
        body: &mut Body,
    ) -> Result<Response, Refusal> {
        let _guest = self.gate.admit(route, parts, self.clock.monotonic())?;
        let (provider, nothing) = (&**route.provider(), Bytes::new());
        let url = self.public_url.as_ref().map(|base| url_of(base, route, parts));
        let head = RawRequest {
            method: &parts.method,
            url: url.as_deref(),
            query: parts.uri.query(),
            headers: &parts.headers,
            body: &nothing,
        };
        if let Some(greeting) = provider.greet(&head) {
            let answer = greeting.map_err(Refusal::Rejected)?;
            tracing::info!(route = route.path(), "answered who asked whether anybody is here");
            return Ok(reply::prescribed(answer));
        }
        if parts.method == Method::OPTIONS {
            return cors::preflight(route, parts, "POST", Refusal::Method(methods_of(route)));
        }
        check_head(route, parts)?;
        let body::Held { bytes, share } = body::read(body, route.body_limit(), &self.bodies).await?;
        match self.verify(route, &RawRequest { body: &bytes, ..head }).await? {
            Verified::Events(events) => {
                let form = provider.receipt(&RawRequest { body: &bytes, ..head });
                drop(bytes);
                self.take(route, parts, form, events, share).await
            }
            Verified::Handshake(Handshake::Answer(answer)) => {
                tracing::info!(route = route.path(), "shook hands");
                Ok(reply::prescribed(answer))
            }
            Verified::Handshake(Handshake::Fetch { url }) => {
                self.fetcher.get_unless(&url, || false).await.map_err(Refusal::Fetch)?;
                tracing::info!(route = route.path(), "confirmed what was asked for");
                Ok(reply::receipt(provider.receipt(&head), Status::Ignored, &[]))
            }
        }
    }

    /// Asks the provider; and once more, with what it asked to be fetched.
    async fn verify(&self, route: &Route, request: &RawRequest<'_>) -> Result<Verified, Refusal> {
        let provider = &**route.provider();
        let now = self.clock.now();
        let ask = || VerifiedEvent::verify(provider, route.path(), request, now);
        let url = match ask() {
            Err(Rejection::Fetch { url }) => url,
            judged => return judged.map_err(Refusal::Rejected),
        };
        let is_known = || !matches!(provider.authenticate(request, now), Err(Rejection::Fetch { .. }));
        let fetched = self.fetcher.get_unless(&url, is_known).await.map_err(Refusal::Fetch)?;
        if let Some(bytes) = fetched {
            provider.fetched(&url, &bytes, now).map_err(Refusal::Rejected)?;
        }
        ask().map_err(Refusal::Rejected)
    }

    /// Accepts those events that some workflow subscribes to, all together.
    async fn take(
        &self,
        route: &Route,
        parts: &Parts,
        form: ReceiptForm,
        events: Vec<VerifiedEvent>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Response, Refusal> {
        let sorted = events.into_iter().map(|event| (route.workflows_for(event.kind()), event));
        let (wanted, ignored): (Vec<_>, Vec<_>) = sorted.partition(|(workflows, _)| !workflows.is_empty());
        for (_, event) in &ignored {
            let logged = event.id().filter(|_| route.provider().logs_ids());
            tracing::debug!(route = route.path(), event = logged, kind = event.kind(), "ignored");
        }
        let repeats: Vec<(Repeat, Bytes)> =
            wanted.iter().map(|(_, event)| (event.envelope.repeat, event.body.clone())).collect();
        if wanted.is_empty() {
            let ids = ignored.iter().map(|(_, event)| Item::new(Status::Ignored, event.id(), &[]));
            return Ok(reply::receipt(form, Status::Ignored, &ids.collect::<Vec<_>>()));
        }
        let wanted = wanted.into_iter().map(|(workflows, event)| (event, workflows)).collect();
        let receipts = self.accept(wanted, share).await?;
        log_receipts(route, &receipts);
        match (&receipts[..], &repeats[..]) {
            ([one], [(repeat, body)]) => {
                let told = match &one.accepted {
                    Accepted::New { .. } => Told::All,
                    Accepted::Duplicate { event, .. } => self.judge_repetition(*event, *repeat, body).await?,
                };
                // Who waits holds no body.
                drop(repeats);
                match (told, route.wait_limit(), one.runs()) {
                    (Told::Known, _, _) => Ok(reply::known()),
                    (Told::All, Some(limit), [run]) => self.waiting.answer(route, parts, *run, limit).await,
                    (Told::All, Some(_) | None, _) => Ok(receipt(form, &receipts)),
                }
            }
            _several => Ok(receipt(form, &receipts)),
        }
    }

    /// What the sender of an event that is known already is told of it.
    async fn judge_repetition(&self, known: EventId, repeat: Repeat, body: &[u8]) -> Result<Told, Refusal> {
        if repeat == Repeat::Redelivery {
            return Ok(Told::All);
        }
        let first = self.store.event(known).await.map_err(Refusal::Store)?;
        let is_same = first.map(|first| is_same_json(&first.body, body));
        match (repeat, is_same) {
            (Repeat::Redelivery, _) | (_, Some(true)) => Ok(Told::All),
            (Repeat::SameBody, Some(false)) => Err(Refusal::KeyReused),
            // What is no longer kept cannot be compared.
            (Repeat::SameBody, None) => Ok(Told::All),
            (Repeat::ByAnyone, Some(false) | None) => Ok(Told::Known),
        }
    }

    /// In a task of its own: a sender who hangs up drops the request, and the engine must be woken all the same once
    /// the events are on disk.
    async fn accept(
        &self,
        events: Vec<(VerifiedEvent, Vec<WorkflowName>)>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Receipt>, Refusal> {
        let turn = self.gate.turn().await?;
        let (store, clock, build) = (Arc::clone(&self.store), Arc::clone(&self.clock), self.build.clone());
        let (rules, on_accepted) = (self.rules.clone(), Arc::clone(&self.on_accepted));
        let accepting = async move {
            let answer = accept_all(&*store, &*clock, &build, &rules, events, None).await;
            if answer.as_ref().is_ok_and(|receipts| receipts.iter().any(Receipt::is_new)) {
                on_accepted();
            }
            drop((share, turn));
            answer
        };
        match self.accepting.spawn(accepting.in_current_span()).await {
            Ok(answer) => answer.map_err(Refusal::Store),
            Err(_ended) => Err(Refusal::Lost),
        }
    }

    /// Waits for what is being accepted for senders who have hung up.
    pub(crate) async fn finish(&self) {
        self.accepting.close();
        self.accepting.wait().await;
    }
}

/// The URL as its sender knows it. What stands before the path is nobody's to say but the owner's: a header that says it
/// is the sender's own word.
fn url_of(base: &str, route: &Route, parts: &Parts) -> String {
    match parts.uri.query() {
        Some(query) => format!("{base}{}?{query}", route.path()),
        None => format!("{base}{}", route.path()),
    }
}

fn log_receipts(route: &Route, receipts: &[Receipt]) {
    for receipt in receipts {
        let runs: Vec<String> = receipt.runs().iter().map(ToString::to_string).collect();
        let event = route.provider().logs_ids().then_some(&receipt.id);
        let status = Status::of(receipt);
        tracing::info!(route = route.path(), event, runs = runs.join(","), "{}", status.as_str());
    }
}

/// New if any of them is.
fn receipt(form: ReceiptForm, receipts: &[Receipt]) -> Response {
    let is_new = receipts.iter().any(Receipt::is_new);
    let status = if is_new { Status::Accepted } else { Status::Duplicate };
    let item = |receipt| Item::new(Status::of(receipt), Some(&receipt.id), receipt.runs());
    reply::receipt(form, status, &receipts.iter().map(item).collect::<Vec<_>>())
}

/// What a sender is told of an event.
enum Told {
    /// Its runs, and their result if the route waits.
    All,
    /// That it is known.
    Known,
}

/// What can be refused before the body is read.
fn check_head(route: &Route, parts: &Parts) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::Method(methods_of(route)));
    }
    let expected = route.provider().media_types();
    if expected == ["*/*"] {
        return check_encoding(parts);
    }
    let mut content_types = parts.headers.get_all(header::CONTENT_TYPE).iter();
    let is_expected = match (content_types.next(), content_types.next()) {
        (Some(content_type), None) => expected.iter().any(|expected| is_of_type(content_type, expected)),
        (_, Some(_)) | (None, None) => false,
    };
    if !is_expected {
        return Err(Refusal::MediaType { expected });
    }
    check_encoding(parts)
}

pub(crate) fn check_encoding(parts: &Parts) -> Result<(), Refusal> {
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::Encoded);
    }
    Ok(())
}

/// Whatever its parameters are.
pub(crate) fn is_of_type(content_type: &HeaderValue, expected: &str) -> bool {
    let media_type = content_type.to_str().ok().and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(expected))
}

fn methods_of(route: &Route) -> &'static str {
    if route.origins().is_empty() { "POST" } else { "POST, OPTIONS" }
}

/// Whether both say the same: a client that writes its JSON anew may order the names in another way.
fn is_same_json(first: &[u8], second: &[u8]) -> bool {
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
    first == second || matches!((read(first), read(second)), (Some(first), Some(second)) if first == second)
}
