//! The webhook routes of an app as one router: which request goes where, and how a refusal is told.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware,
    response::Response,
    routing::any,
};
use bowline_model::{BuildId, Clock, FlowRules};
use bowline_store::Store;
use tokio::sync::Semaphore;

use crate::{
    Fetch, Route, RouteErrors, TrustedProxies, body, callbacks, cors, desk::Desk, fetch::Fetcher,
    problem::Refusal, reply, request_id, route,
};

/// The webhook routes of an app, over one store; and what calls its runs back, see [`crate::callbacks`].
///
/// | Answer | When |
/// |---|---|
/// | 200 `accepted`, `duplicate` | the event and its runs are on disk; of a batch, all of them. Providers that show the answer to people, or complain of it, get the one they want |
/// | what a provider prescribes | it asks whether anybody is here |
/// | 200 `duplicate` alone | the event is on disk, and came to an open route with another body before |
/// | 200 with a result | the route [waits](Route::wait), and the run has completed |
/// | 200 `ignored` | genuine, and no workflow subscribes to its type; nothing is stored |
/// | 202 with `Location` | the route waits, and the run goes on; ask there again |
/// | 400 | genuine, and has no id or type; or the body ended too early |
/// | 401 | not genuine, or too old |
/// | 403 | a page asks whether it may send, and may not; or the route does not take requests of this address |
/// | 404, 405, 408, 413, 415 | no such route or run, another method, too slow, too large, another content type |
/// | 410 | the route waits, and the result is no longer kept |
/// | 422 | genuine, and the body is not valid; or an idempotency key comes again with another body |
/// | 429 with `Retry-After` | the client sends more than it may |
/// | 503 with `Retry-After` | the store is full, busy or away; or more comes than it takes; or too many bodies at once; or a certificate cannot be had |
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
        let desk = Desk::new(store, clock, build, on_accepted, bodies);
        Ok(Self { routes: routes.into_iter().map(Arc::new).collect(), desk: Arc::new(desk) })
    }

    /// The URL under which senders reach this server, without a slash at its end: `https://hooks.example.com`, or with the
    /// prefix that a proxy takes off. What some providers sign begins with it, letter by letter. Without it their events
    /// are refused.
    ///
    /// # Panics
    /// If the routes were taken already.
    pub fn public_url(mut self, base: Option<String>) -> Self {
        self.set_up().public_url = base.map(|base| base.trim_end_matches('/').to_owned());
        self
    }

    /// The rules by which the workflows' runs begin; none unless said.
    ///
    /// # Panics
    /// If the routes were taken already.
    pub fn flow_rules(mut self, rules: FlowRules) -> Self {
        self.set_up().rules = rules;
        self
    }

    /// Fetches certificates and confirmations for the providers that need some. Without it their events are refused.
    ///
    /// # Panics
    /// If the routes were taken already.
    pub fn fetch(mut self, port: Arc<dyn Fetch>) -> Self {
        let desk = self.set_up();
        desk.fetcher = Fetcher::new(Some(port), Arc::clone(&desk.clock));
        self
    }

    /// The proxies in front, or that there are [none](TrustedProxies::none): then clients are known, and each may send only
    /// so much (see [`ClientLimit`](crate::ClientLimit)). Unsaid, a peer counts as the client for lists of addresses, and
    /// nobody is limited: all may come through one proxy.
    ///
    /// # Panics
    /// If the routes were taken already.
    pub fn trusted_proxies(mut self, proxies: Option<TrustedProxies>) -> Self {
        self.set_up().gate.trust(proxies);
        self
    }

    fn set_up(&mut self) -> &mut Desk {
        Arc::get_mut(&mut self.desk).expect("a door is set up before its routes are taken")
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
        self.desk.finish().await;
    }

    fn bare(&self) -> Router {
        let desk = Arc::clone(&self.desk);
        let called = move |request: Request| answer_call(Arc::clone(&desk), request);
        let callbacks = Router::new().route(callbacks::PATH, any(called));
        self.routes.iter().fold(callbacks, |router, route| {
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
    let refusal = Refusal::NoSuchRoute;
    let status = refusal.status();
    refuse(refusal, status, "none", &parts.headers, &mut body).await
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
    let looked = match desk.gate.admit(&route, &parts, desk.clock.monotonic()) {
        Ok(_guest) => desk.waiting.look_up(&route, &parts).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = finish(&route, &parts, &mut body, looked).await;
    response.headers_mut().insert(header::CACHE_CONTROL, reply::NO_STORE);
    response
}

/// Who sends the one message of a callback.
async fn answer_call(desk: Arc<Desk>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut response = match desk.call_back(&parts, &mut body).await {
        Ok(response) => response,
        Err(refusal) => {
            let status = refusal.status();
            // Not the path itself: it is a secret.
            refuse(refusal, status, callbacks::PATH, &parts.headers, &mut body).await
        }
    };
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
            let provider = route.provider();
            let challenge = refusal.is_unauthentic().then(|| provider.challenge()).flatten();
            let status = provider.refuses_with(refusal.status());
            let mut response = refuse(refusal, status, route.path(), &parts.headers, body).await;
            if provider.refuses_without_words() {
                *response.body_mut() = Body::empty();
                response.headers_mut().remove(header::CONTENT_TYPE);
            }
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
async fn refuse(
    refusal: Refusal,
    status: StatusCode,
    route: &str,
    headers: &HeaderMap,
    body: &mut Body,
) -> Response {
    refusal.log(route);
    // Who waits for "100 Continue" has not begun to send, and reading the body would ask for it.
    if refusal.leaves_body() && !headers.contains_key(header::EXPECT) {
        body::discard(body).await;
    }
    refusal.into_response_with(status)
}
