//! A provider that visits: a site with one route for it, and requests as it would sign them now.

use std::{fmt::Display, sync::Arc};

use axum::http::HeaderName;
use bowline_ingress::{Named, Provider, Route, Unsigned};
use bowline_model::{Clock, Event, Secret, SystemClock};

use crate::{
    site::{Plan, Site, pairs, plan},
    wire::{Reply, ask, post},
};

pub(crate) const PATH: &str = "/webhooks/in";
/// Under which senders know the site, and sign.
pub(crate) const PUBLIC_URL: &str = "https://hooks.example.com";

/// Made with secrets, of which the first one signs.
pub(crate) fn rotated<P, E: Display, F: Display>(
    secrets: &[&str],
    new: impl Fn(&Secret) -> Result<P, E>,
    also: impl Fn(P, &Secret) -> Result<P, F>,
) -> P {
    let (first, more) = secrets.split_first().expect("at least one");
    let provider = new(&Secret::new(*first)).unwrap_or_else(|error| panic!("{error}"));
    more.iter().fold(provider, |provider, secret| {
        also(provider, &Secret::new(*secret)).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Visit {
    /// As the provider signs it now.
    pub(crate) fn of(provider: &dyn Provider, event: &Named<'_>, body: impl AsRef<[u8]>) -> Self {
        let url = format!("{PUBLIC_URL}{PATH}");
        let unsigned = Unsigned::new(body.as_ref()).named(event).to(Some(&url));
        let signed = provider.sign(&unsigned, SystemClock.now()).expect("it is known how it signs");
        let text = |(name, value): (HeaderName, axum::http::HeaderValue)| {
            (name.to_string(), value.to_str().expect("text").to_owned())
        };
        Self { headers: signed.headers.into_iter().map(text).collect(), body: signed.body.into() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|header| header.0 != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|header| header.0 != name);
        self
    }
}

/// Whose route it is, and of which events' type.
pub(crate) async fn open(provider: Arc<dyn Provider>, pattern: &str) -> Site {
    let route = Route::new(PATH, provider).on(pattern, "flow".into());
    Plan { routes: vec![route], public_url: Some(PUBLIC_URL.to_owned()), ..plan() }.open().await
}

impl Site {
    pub(crate) async fn visited(&self, visit: &Visit) -> Reply {
        post(self.at, PATH, &pairs(&visit.headers), &visit.body).await
    }

    pub(crate) async fn asked(&self, method: &str, query: &str) -> Reply {
        ask(self.at, method, &format!("{PATH}{query}"), &[]).await
    }

    /// What became of a request's events.
    pub(crate) async fn became(&self, visit: &Visit) -> String {
        let reply = self.visited(visit).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("bowline-status").expect("a status").to_owned()
    }

    pub(crate) async fn stored(&self, id: i64) -> Event {
        self.event(id).await.unwrap_or_else(|| panic!("event {id} is stored"))
    }
}

/// What every provider promises: accepted once, whatever the secret of the time is; what another signed is refused.
pub(crate) async fn enters_once_and_only_if_genuine(
    make: fn(&[&str]) -> Arc<dyn Provider>,
    secrets: [&str; 2],
    event: Named<'_>,
    body: &str,
) -> Event {
    let [secret, other] = secrets;
    let site = open(make(&[other, secret]), event.kind).await;
    let visit = Visit::of(&*make(&[secret]), &event, body);
    assert_eq!(site.became(&visit).await, "accepted", "signed with the old secret");
    assert_eq!(site.became(&visit).await, "duplicate", "sent again");
    let resigned = Visit::of(&*make(&[other]), &event, body);
    assert_eq!(site.became(&resigned).await, "duplicate", "sent again with the new secret");
    assert_eq!((site.runs().await.len(), site.woken()), (1, 1));

    let strangers = Visit::of(&*make(&["c3RyYW5nZXJzLXNlY3JldC0zMi1ieXRlcy1sb25nLi4="]), &event, body);
    let unsigned =
        Visit { headers: vec![("content-type".into(), "application/json".into())], ..visit.clone() };
    for refused in [&strangers, &unsigned] {
        let reply = site.visited(refused).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        assert!(!reply.body.contains(secret) && reply.header("set-cookie").is_none());
    }
    assert_eq!(site.runs().await.len(), 1);

    let stored = site.stored(1).await;
    assert_eq!(stored.kind, event.kind);
    for header in make(&[secret]).credential_headers() {
        assert!(stored.headers.iter().all(|kept| kept.0 != header.as_str()), "{header} is kept");
    }
    stored
}
