//! What senders send: to the app's router, within this process.

use std::net::SocketAddr;

use axum::{Router, body::Body, extract::ConnectInfo};
use bowline_ingress::{Named, Route, Unsigned};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::{
    Reply, TestApp,
    life::{Life, surroundings},
};

pub(super) type Answered = (StatusCode, HeaderMap, Bytes);

impl<S: Send + Sync + 'static> TestApp<S> {
    /// Sends a whole event to the route at `path`, signed as its provider would.
    ///
    /// ```no_run
    /// # fn f<S: Send + Sync>(app: &bowline_testing::TestApp<S>) {
    /// use serde_json::json;
    ///
    /// let event = json!({"id": "evt_1", "type": "customer.created", "data": {"object": {"email": "ada@example.com"}}});
    /// app.send("/webhooks/stripe", &event).run().end();
    /// assert_eq!(app.send("/webhooks/stripe", &event).json()["status"], "duplicate");
    /// # }
    /// ```
    ///
    /// Returns when it is answered and nothing more happens without time passing; where the route waits for the run's
    /// result, time skips until then. If the app's process dies before the answer, the request is sent again to the next
    /// one, as senders do.
    ///
    /// # Panics
    /// If there is no such route, or its provider cannot sign; says why.
    #[track_caller]
    pub fn send(&self, path: &str, event: impl Serialize) -> Reply<'_, S> {
        let body: Bytes = serde_json::to_vec(&event).expect("an event is JSON").into();
        self.post_signed(path, &Unsigned::new(&body))
    }

    /// Sends an event of that type, of which the workflow receives `input`, in the form that the route's provider gives
    /// its events, and signed. Each is another event; [`Reply::again`] is a redelivery.
    ///
    /// ```no_run
    /// # fn f<S: Send + Sync>(app: &bowline_testing::TestApp<S>) {
    /// use serde_json::json;
    ///
    /// app.send_event("/webhooks/stripe", "customer.created", json!({"email": "ada@example.com"})).run().end();
    /// # }
    /// ```
    ///
    /// # Panics
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_event(&self, path: &str, kind: &str, input: impl Serialize) -> Reply<'_, S> {
        let provider = self.route(path).provider();
        let id = format!("evt_test_{}", self.next_name());
        let event = Named { id: &id, kind };
        let input: Value = serde_json::to_value(&input).expect("an input is JSON");
        let body: Bytes = provider.body(&event, &input).to_string().into();
        self.post_signed(path, &Unsigned::new(&body).named(&event))
    }

    /// Posts JSON to a first-party route, with the credentials that it wants.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn post(&self, path: &str, body: impl Serialize) -> Reply<'_, S> {
        self.send(path, body)
    }

    /// Sends any request, as it is.
    #[track_caller]
    pub fn request(&self, request: Request<impl Into<Bytes>>) -> Reply<'_, S> {
        let request = request.map(Into::into);
        self.world.disk.take_accepted();
        let answer =
            self.ask("a request was not answered", |life| answer(life, life.process.router(), &request));
        let runs = self.world.disk.take_accepted();
        self.pause();
        Reply::new(self, request, answer, runs)
    }

    #[track_caller]
    fn route(&self, path: &str) -> &Route {
        let look_up = || self.app.routes(&surroundings(&self.variables, &self.world));
        let routes = self.routes.get_or_init(look_up);
        let known = || routes.iter().map(Route::path).collect::<Vec<_>>().join(", ");
        let route = routes.iter().find(|route| route.path() == path);
        route.unwrap_or_else(|| panic!("this app has no route at {path:?}; it has {}", known()))
    }

    #[track_caller]
    fn post_signed(&self, path: &str, unsigned: &Unsigned<'_>) -> Reply<'_, S> {
        let url = self.app.public_url(&surroundings(&self.variables, &self.world)).map(|base| base + path);
        let signed = self.route(path).provider().sign(&unsigned.to(url.as_deref()), self.now());
        let signed = signed.unwrap_or_else(|error| panic!("{error}"));
        let mut request = Request::new(signed.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().expect("the path of a route");
        request.headers_mut().extend(signed.headers);
        // From an address that the route takes.
        if let Some(address) = self.route(path).some_allowed_ip() {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 443))));
        }
        self.request(request)
    }
}

/// What one of the app's routers answers.
pub(super) fn answer<S: Send + Sync + 'static>(
    life: &Life<S>,
    router: Router,
    request: &Request<Bytes>,
) -> JoinHandle<Answered> {
    let request = request.clone().map(Body::from);
    life.process.handle().spawn(async move {
        let Ok(answer) = router.oneshot(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        (head.status, head.headers, body.unwrap_or_default())
    })
}
