//! What senders send: to the app's router, within this process.

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Reply, TestApp, life::Life};

pub(super) type Answered = (StatusCode, HeaderMap, Bytes);

impl<S: Send + Sync + 'static> TestApp<S> {
    /// Sends any request, as it is. If the app's process dies before its answer, the request is sent again to the next
    /// one, as providers do.
    ///
    /// Returns when it is answered and nothing more happens without time passing; where the route waits for the run's
    /// result, time skips until then.
    pub fn request(&self, request: Request<impl Into<Bytes>>) -> Reply<'_, S> {
        self.world.disk.take_accepted();
        let answer = self.answer_of(request, |life| life.process.router());
        let runs = self.world.disk.take_accepted();
        self.settle();
        Reply::new(self, answer, runs)
    }

    /// What one of the app's routers answers.
    pub(super) fn answer_of(
        &self,
        request: Request<impl Into<Bytes>>,
        router: impl Fn(&Life<S>) -> Router,
    ) -> Answered {
        let (head, body) = request.into_parts();
        let body: Bytes = body.into();
        self.ask("a request was not answered", |life| {
            let request = Request::from_parts(head.clone(), Body::from(body.clone()));
            let router = router(life);
            life.process.handle().spawn(async move {
                let Ok(answer) = router.oneshot(request).await;
                let (head, body) = answer.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes());
                (head.status, head.headers, body.unwrap_or_default())
            })
        })
    }

    pub(super) fn post_to(
        &self,
        path: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Reply<'_, S> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().expect("the path of a route");
        request.headers_mut().extend(headers);
        self.request(request)
    }
}
