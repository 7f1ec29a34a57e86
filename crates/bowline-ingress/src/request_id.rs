//! Every request has an id: in every log line about it, and in the answer.
//!
//! An id that came with the request (a proxy in front gives one) is kept, if it is short and of letters, digits, `-`, `_`
//! and `.`; it names a request and proves nothing. Else one is drawn.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use bowline_model::Clock;
use tracing::Instrument;

/// Where a proxy in front may have put one already, and where the answer carries it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a request.
const BYTES_MAX: usize = 64;

/// Gives the request its id, and runs it within a span that carries it.
pub(crate) async fn assign(State(clock): State<Arc<dyn Clock>>, request: Request, next: Next) -> Response {
    let id = sane(request.headers()).unwrap_or_else(|| draw(&*clock));
    let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(HEADER, id);
    response
}

/// The request's own id, if nothing but an id can be in it.
fn sane(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(HEADER)?;
    let bytes = id.as_bytes();
    let is_sane = (1..=BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    is_sane.then(|| id.clone())
}

fn draw(clock: &dyn Clock) -> HeaderValue {
    HeaderValue::try_from(format!("{:016x}", clock.random())).expect("hex digits are a header's value")
}
