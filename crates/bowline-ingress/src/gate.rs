//! Who comes in at all, asked before anything else: is the address allowed, does its client send too much, is there more
//! than the store takes.
//!
//! Limits of a client hold only where it is known to be one: with [`TrustedProxies`] set. Else all senders may come from
//! the one address of a proxy of which nobody has told us.

use std::{sync::Arc, time::Duration};

use axum::http::request::Parts;

use crate::{
    Route, TrustedProxies,
    problem::Refusal,
    proxies::{self, Client},
    seldom::Seldom,
    sources::{ClientLimit, Guest, Source, Sources},
    turns::{Turn, Turns},
};

/// What all routes share of it.
pub(crate) struct Gate {
    proxies: Option<TrustedProxies>,
    limit: ClientLimit,
    sources: Option<Arc<Sources>>,
    turns: Turns,
    limited: Seldom,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            proxies: None,
            limit: ClientLimit::default(),
            sources: None,
            turns: Turns::new(),
            limited: Seldom::default(),
        }
    }

    pub(crate) fn trust(&mut self, proxies: Option<TrustedProxies>) {
        self.sources = proxies.as_ref().map(|_| Arc::new(Sources::new()));
        self.proxies = proxies;
    }

    /// Lets a request in, by its head alone.
    pub(crate) fn admit(
        &self,
        route: &Route,
        parts: &Parts,
        now: Duration,
    ) -> Result<Option<Guest>, Refusal> {
        let client = proxies::client(self.proxies.as_ref(), parts);
        if !route.allows(client) {
            return Err(Refusal::Address { client });
        }
        let limit = route.limit_of_clients().unwrap_or(self.limit);
        let guest = self.limit(route.path(), limit, client, now)?;
        self.turns.look()?;
        Ok(guest)
    }

    /// The same at a path of our own, that everybody may send to.
    pub(crate) fn admit_to(
        &self,
        path: &str,
        parts: &Parts,
        now: Duration,
    ) -> Result<Option<Guest>, Refusal> {
        let client = proxies::client(self.proxies.as_ref(), parts);
        let guest = self.limit(path, self.limit, client, now)?;
        self.turns.look()?;
        Ok(guest)
    }

    fn limit(
        &self,
        path: &str,
        limit: ClientLimit,
        client: Client,
        now: Duration,
    ) -> Result<Option<Guest>, Refusal> {
        let (Client::Known(address), Some(sources)) = (client, &self.sources) else { return Ok(None) };
        sources.admit(Source::new(path, address), &limit, now).map_err(|too_many| {
            if let Some(refused) = self.limited.note() {
                tracing::warn!(%address, route = path, refused, "clients send more than they may: 429");
            }
            Refusal::TooMany { wait: too_many.wait }
        })
    }

    /// A turn at the store.
    pub(crate) async fn turn(&self) -> Result<Turn, Refusal> {
        self.turns.take().await
    }
}
