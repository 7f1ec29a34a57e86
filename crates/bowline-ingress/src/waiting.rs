//! Synchronous routes: a request waits for its run's end, and is answered with the result.
//!
//! What must never happen here: a result told before the commit that makes it so, a reason of a failure told to a
//! stranger, a request that holds up the shutdown.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use bowline_model::{Clock, Payload, Run, RunId, RunState};
use bowline_store::{Store, StoreError, StoreErrorKind};
use tokio::sync::{Semaphore, watch};

use crate::{
    RawRequest, Route,
    address::{self, Address},
    cors,
    problem::Refusal,
    reply,
};

/// Requests that wait at once, all routes together; the next one is answered 202 without waiting. Each holds its
/// connection for as long as it waits: at a quarter of those that [`serve`](crate::serve()) allows, however slow the
/// runs are, webhooks, and those who ask at an address, find three free ones for each that is taken.
pub const WAITING_MAX: usize = 256;

/// Where requests wait.
pub(crate) struct WaitingRoom {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    seats: Semaphore,
    stopping: watch::Sender<bool>,
}

impl WaitingRoom {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (stopping, _) = watch::channel(false);
        Self { store, clock, seats: Semaphore::new(WAITING_MAX), stopping }
    }

    /// From now on nobody waits.
    pub(crate) fn close(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers with the run's result, or after `limit` with its address. The event is on disk: whatever goes wrong
    /// now, the sender has not to send it again.
    pub(crate) async fn answer(
        &self,
        route: &Route,
        parts: &Parts,
        run: RunId,
        limit: Duration,
    ) -> Result<Response, Refusal> {
        let ended = self.wait(run, limit).await;
        let looked = match ended {
            Some(Ok(run)) => self.look(route, parts, &run).await,
            Some(Err(error)) if error.kind() == StoreErrorKind::NotFound => Err(Refusal::RunGone(run)),
            Some(Err(error)) => Err(Refusal::Unread(error)),
            None => self.look_again(route, parts, run).await,
        };
        match looked {
            Err(Refusal::Unread(error)) => {
                tracing::warn!(run = run.0, %error, "the run cannot be read; its sender is told to ask later");
                Ok(reply::under_way(run, None))
            }
            answer => answer,
        }
    }

    /// Answers who asks at a run's address.
    pub(crate) async fn look_up(&self, route: &Route, parts: &Parts) -> Result<Response, Refusal> {
        let others =
            Refusal::Method(if route.origins().is_empty() { "GET, HEAD" } else { "GET, HEAD, OPTIONS" });
        match parts.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return cors::preflight(route, parts, "GET", others),
            _ => return Err(others),
        }
        let nothing = bytes::Bytes::new();
        let asked = RawRequest { method: &parts.method, ..RawRequest::post(&parts.headers, &nothing) };
        route.provider().authenticate(&asked, self.clock.now()).map_err(Refusal::Rejected)?;
        let segment = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let address = Address::parse(segment).ok_or(Refusal::NoSuchRun)?;

        let run = self.store.run(address.run).await.map_err(Refusal::Unread)?;
        let run = run.filter(|run| address.is_of(run)).ok_or(Refusal::NoSuchRun)?;
        // Who may ask at this route may not ask at another.
        let event = self.store.event(run.event).await.map_err(Refusal::Unread)?;
        if event.is_none_or(|event| event.source != route.path()) {
            return Err(Refusal::NoSuchRun);
        }
        self.look(route, parts, &run).await
    }

    /// The run, once it has ended; `None` if that is not waited for any longer.
    async fn wait(&self, run: RunId, limit: Duration) -> Option<Result<Run, StoreError>> {
        let Ok(_seat) = self.seats.try_acquire() else {
            tracing::warn!(run = run.0, "{WAITING_MAX} requests wait already; this one is answered 202");
            return None;
        };
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            ended = self.store.ended(run) => Some(ended),
            () = self.clock.sleep(limit) => None,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        }
    }

    async fn look_again(&self, route: &Route, parts: &Parts, run: RunId) -> Result<Response, Refusal> {
        match self.store.run(run).await {
            Ok(Some(run)) => self.look(route, parts, &run).await,
            Ok(None) => Err(Refusal::RunGone(run)),
            Err(error) => Err(Refusal::Unread(error)),
        }
    }

    /// What the run's state is answered with.
    async fn look(&self, route: &Route, parts: &Parts, run: &Run) -> Result<Response, Refusal> {
        match run.state {
            RunState::Queued | RunState::Running | RunState::Waiting => {
                Ok(reply::under_way(run.id, address::location(route, parts, run)))
            }
            RunState::Completed => Ok(reply::result(run.id, &self.output(run.id).await?)),
            RunState::Cancelled | RunState::DeadLettered => {
                Err(Refusal::RunFailed { run: run.id, location: address::location(route, parts, run) })
            }
        }
    }

    async fn output(&self, run: RunId) -> Result<Payload, Refusal> {
        self.store.output(run).await.map_err(Refusal::Unread)?.ok_or(Refusal::RunGone(run))
    }
}
