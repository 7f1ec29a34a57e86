//! Errors as pages: for whoever asks for HTML, and not for the API.

use askama::Template;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use super::{frame::Frame, links::Links, render};
use crate::{admin::Refusal, wording::clean};

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    frame: Frame,
    status: u16,
    error: String,
    hint: Vec<Piece>,
}

/// A piece of a text in which `` ` `` encloses what can be typed.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) is_code: bool,
}

/// Whether to answer an error with a page: a browser navigates there, and it is no path of the API.
pub(super) fn is_for_a_person(request: &Request) -> bool {
    let path = request.uri().path();
    !path.starts_with("/api/") && !path.starts_with("/health/") && accepts_html(request.headers())
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/html")
    })
}

/// The answer as a page: same status, same headers, another body.
pub(super) fn page(refusal: &Refusal, links: Links, response: Response) -> Response {
    let body = refusal.body();
    let title = response.status().canonical_reason().unwrap_or("Error").to_owned();
    let page = RefusedPage {
        frame: Frame { links, title, again: None },
        status: response.status().as_u16(),
        error: clean(&body.error),
        hint: body.hint.as_deref().map(pieces).unwrap_or_default(),
    };
    let Ok(html) = render(&page) else { return response };
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Response::from_parts(head, Body::from(html.0))
}

/// What stands between a pair of `` ` `` is code.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let pieces = text.split('`').zip([false, true].into_iter().cycle());
    pieces
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, is_code)| Piece { text: clean(text), is_code })
        .collect()
}
