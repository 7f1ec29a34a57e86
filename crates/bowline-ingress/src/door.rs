//! From a request to an answer: route, limits, signature, subscriptions, disk; and only then the 200.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use bowline_model::{BuildId, Clock, EventId, WorkflowName};
use bowline_store::{Accepted, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    Receipt, Repeat, Route, RouteErrors, VerifiedEvent, accept, body, cors,
    problem::Refusal,
    reply::{self, Status},
    request_id, route,
    waiting::WaitingRoom,
};

/// The webhook routes of an app, over one store.
///
/// | Answer | When |
/// |---|---|
/// | 200 `accepted`, `duplicate` | the event and its runs are on disk |
/// | 200 `duplicate` alone | the event is on disk, and came to an open route with another body before |
/// | 200 with a result | the route [waits](Route::wait), and the run has completed |
/// | 200 `ignored` | genuine, and no workflow subscribes to its type; nothing is stored |
/// | 202 with `Location` | the route waits, and the run goes on; ask there again |
/// | 400 | genuine, and has no id or type; or the body ended too early |
/// | 401 | not genuine, or too old |
/// | 403 | a page asks whether it may send, and may not |
/// | 404, 405, 408, 413, 415 | no such route or run, another method, too slow, too large, another content type |
/// | 410 | the route waits, and the result is no longer kept |
/// | 422 | genuine, and the body is not valid; or an idempotency key comes again with another body |
/// | 503 with `Retry-After` | the store is full, busy or away; or too many bodies at once |
/// | 500 with `Location` | the route waits, and the run failed: the event is on disk; ask there again |
/// | 500 | a fault of this program, which the log shows |
///
/// From 400 on, the body is problem+json (RFC 9457): `detail` says what, `hint` what to do, `errors` where.
///
/// # Durability
/// `accepted` and `duplicate` are sent after the store's commit: a crash at any time later loses nothing. At a crash
/// before the answer, the provider sends the event again, and it is recognised if it was on disk.
#[derive(Clone)]
pub struct Door {
    routes: Vec<Arc<Route>>,
    desk: Arc<Desk>,
}

/// What all routes share.
struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    build: BuildId,
    waiting: WaitingRoom,
    on_accepted: Arc<dyn Fn() + Send + Sync>,
    /// One permit per byte of a body in memory.
    bodies: Arc<Semaphore>,
    accepting: TaskTracker,
}

impl Door {
    /// Opens these routes. New runs are written as `build`; after each commit that made some, `on_accepted` is called
    /// (it wakes the engine, and must not block).
    ///
    /// # Errors
    /// [`RouteErrors`] with all that is wrong with the routes.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        build: BuildId,
        routes: Vec<Route>,
        on_accepted: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, RouteErrors> {
        route::check(&routes)?;
        // Two of the largest bodies always fit, whatever the route allows.
        let largest = routes.iter().map(Route::body_limit).max().unwrap_or(0);
        let bodies_bytes_max =
            body::BODIES_BYTES_MAX.max(largest.saturating_mul(2)).min(Semaphore::MAX_PERMITS);
        let bodies = Arc::new(Semaphore::new(bodies_bytes_max));
        let waiting = WaitingRoom::new(Arc::clone(&store), Arc::clone(&clock));
        let accepting = TaskTracker::new();
        let desk = Desk { store, clock, build, waiting, on_accepted, bodies, accepting };
        Ok(Self { routes: routes.into_iter().map(Arc::new).collect(), desk: Arc::new(desk) })
    }

    /// The routes, and 404 for every other path.
    pub fn router(&self) -> Router {
        self.with_request_ids(self.bare().fallback(no_such_route))
    }

    /// The routes alone, to be merged into the router of a larger program.
    ///
    /// That program's server owns the deadlines: bodies here are limited in bytes, and in time only by
    /// [`serve`](crate::serve()).
    pub fn routes(&self) -> Router {
        self.with_request_ids(self.bare())
    }

    /// Answers the requests that wait for a result with 202, and lets no more wait. Call it when the shutdown begins:
    /// else the server's end waits for them.
    pub fn stop_waiting(&self) {
        self.desk.waiting.close();
    }

    /// Waits for what is being accepted for senders who have hung up. Call it after the server has ended and before the
    /// store is closed.
    pub async fn finish(&self) {
        self.desk.accepting.close();
        self.desk.accepting.wait().await;
    }

    fn bare(&self) -> Router {
        self.routes.iter().fold(Router::new(), |router, route| {
            let (desk, at) = (Arc::clone(&self.desk), Arc::clone(route));
            let sent = move |request: Request| answer(Arc::clone(&desk), Arc::clone(&at), request);
            let router = router.route(route.path(), any(sent));
            let Some(addresses) = route.addresses() else { return router };
            let (desk, at) = (Arc::clone(&self.desk), Arc::clone(route));
            let asked = move |request: Request| answer_at(Arc::clone(&desk), Arc::clone(&at), request);
            router.route(&addresses, any(asked))
        })
    }

    fn with_request_ids(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(Arc::clone(&self.desk.clock), request_id::assign))
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("routes", &self.routes).finish_non_exhaustive()
    }
}

async fn no_such_route(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    refuse(Refusal::NoSuchRoute, "none", &parts.headers, &mut body).await
}

/// What is sent to a route.
async fn answer(desk: Arc<Desk>, route: Arc<Route>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let received = desk.receive(&route, &parts, &mut body).await;
    finish(&route, &parts, &mut body, received).await
}

/// Who asks for the result of one of a route's runs.
async fn answer_at(desk: Arc<Desk>, route: Arc<Route>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let looked = desk.waiting.look_up(&route, &parts).await;
    let mut response = finish(&route, &parts, &mut body, looked).await;
    response.headers_mut().insert(header::CACHE_CONTROL, reply::NO_STORE);
    response
}

async fn finish(
    route: &Route,
    parts: &Parts,
    body: &mut Body,
    answer: Result<Response, Refusal>,
) -> Response {
    let mut response = match answer {
        Ok(response) => response,
        Err(refusal) => {
            let challenge = refusal.is_unauthentic().then(|| route.provider().challenge()).flatten();
            let mut response = refuse(refusal, route.path(), &parts.headers, body).await;
            if let Some(challenge) = challenge {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    cors::open_to_pages(route, &parts.headers, &mut response);
    response
}

/// Logs the refusal, and lets the sender finish, so that it reads the answer.
async fn refuse(refusal: Refusal, route: &str, headers: &HeaderMap, body: &mut Body) -> Response {
    refusal.log(route);
    // Who waits for "100 Continue" has not begun to send, and reading the body would ask for it.
    if refusal.leaves_body() && !headers.contains_key(header::EXPECT) {
        body::discard(body).await;
    }
    refusal.into_response()
}

impl Desk {
    async fn receive(&self, route: &Route, parts: &Parts, body: &mut Body) -> Result<Response, Refusal> {
        if parts.method == Method::OPTIONS {
            return cors::preflight(route, parts, "POST", Refusal::Method(methods_of(route)));
        }
        check_head(route, parts)?;
        let body::Held { bytes, share } = body::read(body, route.body_limit(), &self.bodies).await?;
        let now = self.clock.now();
        let event = VerifiedEvent::verify(&**route.provider(), route.path(), &parts.headers, bytes, now)
            .map_err(Refusal::Rejected)?;

        let workflows = route.workflows_for(event.kind());
        if workflows.is_empty() {
            let (id, kind) = (event.id(), event.kind());
            let logged = id.filter(|_| route.provider().logs_ids());
            tracing::debug!(route = route.path(), event = logged, kind, "ignored");
            return Ok(reply::receipt(Status::Ignored, id, &[]));
        }
        let (repeat, body) = (event.envelope.repeat, event.body.clone());
        let Receipt { id, accepted } = self.accept(event, workflows, share).await?;
        let (status, runs, told) = match accepted {
            Accepted::New { runs, .. } => (Status::Accepted, runs, Told::All),
            Accepted::Duplicate { event, runs } => {
                (Status::Duplicate, runs, self.judge_repetition(event, repeat, &body).await?)
            }
        };
        // Who waits holds no body.
        drop(body);
        let run_ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
        let event = route.provider().logs_ids().then_some(&id);
        tracing::info!(route = route.path(), event, runs = run_ids.join(","), "{}", status.as_str());
        match (told, route.wait_limit(), &runs[..]) {
            (Told::Known, _, _) => Ok(reply::known()),
            (Told::All, Some(limit), [run]) => self.waiting.answer(route, parts, *run, limit).await,
            (Told::All, Some(_) | None, _) => Ok(reply::receipt(status, Some(&id), &runs)),
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
    /// the event is on disk.
    async fn accept(
        &self,
        event: VerifiedEvent,
        workflows: Vec<WorkflowName>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Receipt, Refusal> {
        let (store, clock, build) = (Arc::clone(&self.store), Arc::clone(&self.clock), self.build.clone());
        let on_accepted = Arc::clone(&self.on_accepted);
        let accepting = async move {
            let answer = accept(&*store, &*clock, &build, event, workflows).await;
            if matches!(answer, Ok(Receipt { accepted: Accepted::New { .. }, .. })) {
                on_accepted();
            }
            drop(share);
            answer
        };
        match self.accepting.spawn(accepting.in_current_span()).await {
            Ok(answer) => answer.map_err(Refusal::Store),
            Err(_ended) => Err(Refusal::Lost),
        }
    }
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
    let expected = route.provider().media_type();
    let mut content_types = parts.headers.get_all(header::CONTENT_TYPE).iter();
    let is_expected = match (content_types.next(), content_types.next()) {
        (Some(content_type), None) => is_of_type(content_type, expected),
        (_, Some(_)) | (None, None) => false,
    };
    if !is_expected {
        return Err(Refusal::MediaType { expected });
    }
    let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::Encoded);
    }
    Ok(())
}

/// Whatever its parameters are.
fn is_of_type(content_type: &HeaderValue, expected: &str) -> bool {
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
