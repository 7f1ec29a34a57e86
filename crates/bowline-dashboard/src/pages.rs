//! Pages: runs, and one run in time, for a person with a browser.
//!
//! What comes in: a GET at the admin address. What goes out: one document of HTML that needs no script, beside it one
//! stylesheet and one icon, all compiled in. What must never happen here: a write past the commands, a payload that nobody asked for,
//! text of others that is not escaped, a query without a bound.
//!
//! A page does not reload itself unless asked: that would close what is open, and move the reader's place. `Refresh`
//! loads it again, and `Follow` (`?follow=true`) does so every few seconds, on a run's page until the run has ended.
//!
//! | Module | Story |
//! |---|---|
//! | `list` | `GET /`: runs, newest first, by state and workflow, in pages |
//! | `approvals` | `GET /approvals`: questions to people, and their answers |
//! | `fork` | `GET /fork`: a run that takes what another recorded before a step |
//! | `workflows` | `GET /workflows`: which of them are paused |
//! | `pause` | `GET /pause`: a workflow is paused, or resumed |
//! | `connections` | `GET /connections`: Apis that get tokens; to a provider's page, and back from it |
//! | `triggers` | `GET /triggers`: schedules, polls and inboxes |
//! | `run` | `GET /runs/{id}`: one run, and what can be done about it |
//! | `standing` | its loops, its waits, its undo |
//! | `timeline` | its items, as lines of the page |
//! | `bar` | where in a run's time a step was |
//! | `frame` | what stands around every page |
//! | `links` | where everything is, wherever the router is mounted |
//! | `refused` | errors as pages, for browsers |

mod approvals;
mod bar;
mod connections;
mod fork;
mod frame;
mod links;
mod list;
mod pause;
mod refused;
mod run;
mod standing;
mod timeline;
mod triggers;
mod workflows;

use askama::Template;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{Html, Response},
    routing::{get, post},
};

use bowline_store::mail::MESSAGE_BYTES_MAX;

use self::links::Links;
use crate::{
    admin::{
        Desk, Refusal,
        guard::{APPROVALS_FORM, CONNECT_FORM, FORK_FORM, PAUSE_FORM},
    },
    connections::CALLBACK,
};

/// Compiled in: a page is one program's, and never waits for another's.
const STYLE: &str = include_str!("../templates/bowline.css");
const ICON: &str = include_str!("../templates/icon.svg");

/// Nothing but our own stylesheet and icon is ever loaded, and no script runs.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// So that a form of a page says where it comes from (`Origin`), and nobody else learns of it.
const REFERRER: (HeaderName, HeaderValue) =
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));

/// What a page's handler returns.
type Page = Result<Html<String>, Refusal>;

/// The pages' routes. Errors come out as JSON; [`dress`] makes pages of them.
pub(crate) fn routes() -> Router<Desk> {
    Router::new()
        .route("/", get(list::page))
        .route("/runs/{id}", get(run::page))
        .route("/triggers", get(triggers::page))
        .route("/connections", get(connections::page))
        .route(
            APPROVALS_FORM,
            get(approvals::page)
                .merge(post(approvals::decide).layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))),
        )
        .route(CONNECT_FORM, post(connections::connect))
        .route(FORK_FORM, get(fork::page).merge(post(fork::fork)))
        .route("/workflows", get(workflows::page))
        .route(PAUSE_FORM, get(pause::page).merge(post(pause::say)))
        .route(CALLBACK, get(connections::came_back))
        .route(links::STYLE, get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route(links::ICON, get(async || ([(header::CONTENT_TYPE, "image/svg+xml")], ICON)))
}

/// Makes a page of an error where a browser asks for one, and adds to every answer what keeps foreign pages out.
pub(crate) async fn dress(mut request: Request, next: Next) -> Response {
    let links = Links::of(&request);
    let for_a_person = refused::is_for_a_person(&request);
    request.extensions_mut().insert(links.clone());
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>()
        && for_a_person
    {
        response = refused::page(&refusal, links, response);
    }
    let headers = response.headers_mut();
    // A page with a form says that it sends one, to this address only.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn render(template: &impl Template) -> Page {
    template.render().map(Html).map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Refusal::broken_page()
    })
}
