//! Whole connections that are turned away: each request on them is read, told why, and told to close.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, Version, header},
    middleware,
    response::{IntoResponse, Response},
};

use bowline_model::{Clock, SystemClock};

use crate::{body, problem, request_id};

/// Why nothing on a connection comes to the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// All places for connections are taken.
    Full,
    /// Its client has its share of them.
    Crowding,
    /// It speaks without TLS to a port that speaks nothing else.
    Unencrypted,
}

impl TurnedAway {
    /// Answers every request so.
    pub(super) fn router(self) -> Router {
        let router = Router::new().fallback(async move |request: Request| {
            let (parts, mut body) = request.into_parts();
            // Who waits for "100 Continue" has not begun to send, and reading the body would ask for it.
            if !parts.headers.contains_key(header::EXPECT) {
                body::discard(&mut body).await;
            }
            let mut response = self.response();
            // HTTP/2 has no such header: its connection says goodbye in its own way.
            if parts.version <= Version::HTTP_11 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        router.layer(middleware::from_fn_with_state(clock, request_id::assign))
    }

    fn response(self) -> Response {
        let (status, detail, hint) = match self {
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "there are as many connections as this server takes",
                "nothing was stored; send it again later",
            ),
            // Not 429: nothing is known of the route here, and some senders take any 4xx for "never send that again".
            Self::Crowding => (
                StatusCode::SERVICE_UNAVAILABLE,
                "there are as many connections from this address as it may have",
                "nothing was stored; use fewer connections, or send it again later",
            ),
            Self::Unencrypted => {
                (StatusCode::BAD_REQUEST, "this port speaks TLS only", "send it to https://, not http://")
            }
        };
        let body = problem::body(status, detail, hint, vec![]);
        let mut response = (status, [(header::CONTENT_TYPE, problem::MEDIA_TYPE)], body).into_response();
        match self {
            Self::Full | Self::Crowding => {
                let wait = HeaderValue::from(problem::OVERLOADED_RETRY_AFTER.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, wait);
            }
            Self::Unencrypted => {}
        }
        response
    }
}
