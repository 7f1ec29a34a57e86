//! From a request to an answer: route, limits, signature, subscriptions, disk; and only then the 200.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, header, request::Parts},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use bowline_model::{BuildId, Clock, WorkflowName};
use bowline_store::{Accepted, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    Route, RouteErrors, VerifiedEvent, accept, body,
    reply::{self, Refusal, Status},
    request_id, route,
};

/// The webhook routes of an app, over one store.
///
/// | Answer | When |
/// |---|---|
/// | 200 `accepted`, `duplicate` | the event and its runs are on disk |
/// | 200 `ignored` | genuine, and no workflow subscribes to its type; nothing is stored |
/// | 400 | genuine, and has no id or type; or the body ended too early |
/// | 401 | not genuine, or too old |
/// | 404, 405, 408, 413, 415 | no such route, not POST, too slow, too large, not the provider's content type |
/// | 503 with `Retry-After` | the store is full, busy or away; or too many bodies at once |
/// | 500 | a fault of this program, which the log shows |
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
        let desk = Desk { store, clock, build, on_accepted, bodies, accepting: TaskTracker::new() };
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

    /// Waits for what is being accepted for senders who have hung up. Call it after the server has ended and before the
    /// store is closed.
    pub async fn finish(&self) {
        self.desk.accepting.close();
        self.desk.accepting.wait().await;
    }

    fn bare(&self) -> Router {
        self.routes.iter().fold(Router::new(), |router, route| {
            let (desk, at) = (Arc::clone(&self.desk), Arc::clone(route));
            let handler = move |request: Request| answer(Arc::clone(&desk), Arc::clone(&at), request);
            router.route(route.path(), any(handler))
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

async fn answer(desk: Arc<Desk>, route: Arc<Route>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    match desk.receive(&route, &parts, &mut body).await {
        Ok(response) => response,
        Err(refusal) => refuse(refusal, route.path(), &parts.headers, &mut body).await,
    }
}

/// Logs the refusal, and lets the sender finish, so that it reads the answer.
async fn refuse(refusal: Refusal, route: &str, headers: &HeaderMap, body: &mut Body) -> Response {
    let (status, reason) = (refusal.status().as_u16(), refusal.reason());
    match &refusal {
        Refusal::NoSuchRoute | Refusal::Method => tracing::debug!(route, status, reason, "refused"),
        Refusal::Store(_) | Refusal::Lost => tracing::error!(route, status, reason, "refused"),
        Refusal::MediaType { .. }
        | Refusal::Encoded
        | Refusal::BodyTooLarge { .. }
        | Refusal::BodyTooSlow { .. }
        | Refusal::BodyBroken
        | Refusal::Rejected(_)
        | Refusal::Crowded => tracing::warn!(route, status, reason, "refused"),
    }
    // Who waits for "100 Continue" has not begun to send, and reading the body would ask for it.
    if refusal.leaves_body() && !headers.contains_key(header::EXPECT) {
        body::discard(body).await;
    }
    refusal.into_response()
}

impl Desk {
    async fn receive(&self, route: &Route, parts: &Parts, body: &mut Body) -> Result<Response, Refusal> {
        check_head(route, parts)?;
        let body::Held { bytes, share } = body::read(body, route.body_limit(), &self.bodies).await?;
        let now = self.clock.now();
        let event = VerifiedEvent::verify(&**route.provider(), route.path(), &parts.headers, bytes, now)
            .map_err(Refusal::Rejected)?;

        let id = event.id().to_owned();
        let workflows = route.workflows_for(event.kind());
        if workflows.is_empty() {
            tracing::debug!(route = route.path(), event = id, kind = event.kind(), "ignored");
            return Ok(reply::answer(Status::Ignored, &id, &[]));
        }
        let (status, runs) = match self.accept(event, workflows, share).await? {
            Accepted::New { runs, .. } => (Status::Accepted, runs),
            Accepted::Duplicate { runs, .. } => (Status::Duplicate, runs),
        };
        let run_ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
        tracing::info!(route = route.path(), event = id, runs = run_ids.join(","), "{}", status.as_str());
        Ok(reply::answer(status, &id, &runs))
    }

    /// In a task of its own: a sender who hangs up drops the request, and the engine must be woken all the same once
    /// the event is on disk.
    async fn accept(
        &self,
        event: VerifiedEvent,
        workflows: Vec<WorkflowName>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Accepted, Refusal> {
        let (store, clock, build) = (Arc::clone(&self.store), Arc::clone(&self.clock), self.build.clone());
        let on_accepted = Arc::clone(&self.on_accepted);
        let accepting = async move {
            let answer = accept(&*store, &*clock, &build, event, workflows).await;
            if matches!(answer, Ok(Accepted::New { .. })) {
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

/// What can be refused before the body is read.
fn check_head(route: &Route, parts: &Parts) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::Method);
    }
    let expected = route.provider().media_type();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case(expected) {
        return Err(Refusal::MediaType { expected });
    }
    let encoding = parts.headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::Encoded);
    }
    Ok(())
}
