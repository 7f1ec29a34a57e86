//! `GET /connections`: Apis that get tokens, and how a person connects one of their accounts.
//!
//! Its button is a form, `POST /connect`, which the guard takes from this page only. The answer is a page that leads to
//! the provider: a redirect would be one of the form's, which the pages' policy allows to this address alone. The provider
//! leads back to `GET /connect/callback`, which ends the consent and leaves its address, code and all, behind.

use askama::Template;
use axum::{
    Extension, Form,
    extract::{Query, State, rejection::FormRejection},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Page,
    frame::{Again, Badge, Follow, Frame, Stamp, Tone},
    links::Links,
    refused::{Piece, pieces},
    render,
};
use crate::{
    admin::{Asked, Desk, Refusal, guard::NamedHost},
    alerts::ApiAlert,
    connections::{CameBack, ConnectionList, ConnectionState, ConnectionView, DEFAULT_ACCOUNT},
    wording::{age, clean, cut, trouble_of},
};

/// How much of a name, and of what is wrong, a row shows, in characters.
const NAME_CHARS_MAX: usize = 120;
const PROBLEM_CHARS_MAX: usize = 600;

/// So that the form of this page says where it comes from (`Origin`), and nobody else learns of it.
const REFERRER: (HeaderName, HeaderValue) =
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));

/// The account that was just connected, if one was.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConnectionsQuery {
    #[serde(default)]
    api: String,
    #[serde(default)]
    account: String,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    Extension(NamedHost(host)): Extension<NamedHost>,
    query: Asked<ConnectionsQuery>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let list = desk.connections.list().await?;
    let redirect_uri = desk.connections.redirect_uri(&host, links.base());
    let page = ConnectionsPage::of(links, &query, &list, redirect_uri, desk.clock.now());
    let html = render(&page)?;
    let has_form = !page.more.is_empty();
    Ok(if has_form { ([REFERRER], html).into_response() } else { html.into_response() })
}

#[derive(Deserialize)]
pub(super) struct ConnectForm {
    api: String,
    account: String,
}

pub(super) async fn connect(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    Extension(NamedHost(host)): Extension<NamedHost>,
    form: Result<Form<ConnectForm>, FormRejection>,
) -> Page {
    let Form(form) = form.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let back = desk.connections.redirect_uri(&host, links.base());
    let url = desk.connections.begin(&form.api, &form.account, &back).await?;
    // A URL that the client made: its host is between the scheme and the path.
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let (api, host) = (cut(&clean(&form.api), NAME_CHARS_MAX), clean(host));
    let frame = Frame { links, title: format!("To {host}"), again: None };
    render(&LeadPage { frame, api, host, url })
}

pub(super) async fn came_back(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    method: Method,
    query: Asked<CameBack>,
) -> Result<Response, Refusal> {
    if method != Method::GET {
        // A look at the headers must not use up the one answer that the provider gives.
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    let Query(back) = query.map_err(|_| Refusal::bad_request("the provider's answer cannot be read"))?;
    let connected = desk.connections.finish(back).await?;
    Ok(Redirect::to(&links.connected(&connected.api, &connected.account)).into_response())
}

/// Leads to the provider.
#[derive(Template)]
#[template(path = "lead.html")]
struct LeadPage {
    frame: Frame,
    api: String,
    host: String,
    url: String,
}

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    frame: Frame,
    /// Who was just connected.
    connected: Option<String>,
    alerts: Vec<AlertLine>,
    rows: Vec<Row>,
    left_out: usize,
    /// Apis of which more accounts can be connected.
    more: Vec<String>,
    redirect_uri: String,
}

/// Something that an Api raised.
pub(super) struct AlertLine {
    pub(super) api: String,
    pub(super) trouble: &'static str,
    pub(super) message: Vec<Piece>,
    pub(super) last: Stamp,
    pub(super) age: String,
    pub(super) count: u64,
}

struct Row {
    api: String,
    /// Shown, if it is not the only one.
    account: Option<String>,
    badge: Badge,
    grant: String,
    since: Option<Stamp>,
    expires_at: Option<Stamp>,
    renews: bool,
    problem: Option<String>,
    /// What the form sends, and what its button says.
    connect: Option<Connect>,
}

struct Connect {
    api: String,
    account: String,
    verb: &'static str,
    /// Less urgent: it is connected.
    is_again: bool,
}

impl ConnectionsPage {
    fn of(
        links: Links,
        query: &ConnectionsQuery,
        list: &ConnectionList,
        redirect_uri: String,
        now: Timestamp,
    ) -> Self {
        let is_it = |view: &&ConnectionView| {
            view.api == query.api && view.account == query.account && view.state == ConnectionState::Connected
        };
        let mut more: Vec<String> =
            list.connections.iter().filter(|view| view.needs_consent).map(|view| view.api.clone()).collect();
        more.dedup();
        let again = Again { made: Stamp::second(now), refresh: links.connections(), follow: Follow::Ended };
        Self {
            frame: Frame { links, title: "Connections".to_owned(), again: Some(again) },
            connected: list.connections.iter().find(is_it).map(|view| shown_name(&view.api, &view.account)),
            alerts: list.alerts.iter().map(|alert| AlertLine::of(alert, now)).collect(),
            rows: list.connections.iter().map(Row::of).collect(),
            left_out: list.left_out,
            more,
            redirect_uri: clean(&redirect_uri),
        }
    }
}

fn shown_name(api: &str, account: &str) -> String {
    let name = if account == DEFAULT_ACCOUNT { api.to_owned() } else { format!("{api}/{account}") };
    cut(&clean(&name), NAME_CHARS_MAX)
}

impl AlertLine {
    pub(super) fn of(alert: &ApiAlert, now: Timestamp) -> Self {
        Self {
            api: cut(&clean(&alert.api), NAME_CHARS_MAX),
            trouble: trouble_of(&alert.kind),
            message: pieces(&cut(&alert.message, PROBLEM_CHARS_MAX)),
            last: Stamp::full(alert.last),
            age: age(alert.last, now),
            count: alert.count,
        }
    }
}

impl Row {
    fn of(view: &ConnectionView) -> Self {
        let verb = match view.state {
            ConnectionState::Missing => "Connect",
            ConnectionState::Connected | ConnectionState::Dead | ConnectionState::Unknown => "Connect again",
        };
        let connect = view.needs_consent.then(|| Connect {
            api: view.api.clone(),
            account: view.account.clone(),
            verb,
            is_again: view.state == ConnectionState::Connected,
        });
        let account = Some(&view.account).filter(|account| *account != DEFAULT_ACCOUNT);
        Self {
            api: cut(&clean(&view.api), NAME_CHARS_MAX),
            account: account.map(|account| cut(&clean(account), NAME_CHARS_MAX)),
            badge: badge(view),
            grant: clean(&view.grant),
            since: view.since.map(Stamp::second),
            expires_at: view.expires_at.map(Stamp::second),
            renews: view.renews,
            problem: view.problem.as_ref().map(|problem| cut(&clean(problem), PROBLEM_CHARS_MAX)),
            connect,
        }
    }
}

fn badge(view: &ConnectionView) -> Badge {
    let (word, mark, tone) = match view.state {
        ConnectionState::Missing if view.needs_consent => ("needs consent", "…", Tone::Wait),
        ConnectionState::Missing => ("no token yet", "·", Tone::Plain),
        ConnectionState::Connected => ("connected", "✓", Tone::Good),
        ConnectionState::Dead => ("ended", "✗", Tone::Bad),
        ConnectionState::Unknown => ("not known", "?", Tone::Bad),
    };
    Badge { word, mark, tone }
}
