//! The admin address: pages for people, and the API that the command line, scripts and probes talk to.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /?state=dead&workflow=w&before=9` | a page: runs, newest first |
//! | `GET /runs/{id}?payloads=true` | a page: one run in time |
//! | `GET /approvals` | a page: questions to people, each with its form |
//! | `POST /approvals` | a form of that page |
//! | `GET /fork?run=7&from=charge` | a page: what a fork takes and repeats, with its form |
//! | `POST /fork` | a form of that page |
//! | `GET /workflows` | a page: the workflows, and which are paused |
//! | `GET /pause?workflow=w` | a page: what a pause holds, or a resumption lets go on, with its form |
//! | `POST /pause` | a form of that page |
//! | `GET /triggers` | a page: schedules, polls and inboxes, when each acts next and what goes wrong |
//! | `GET /connections` | a page: Apis that get tokens, how they stand, what they raised |
//! | `POST /connect` | a page that leads to a provider's consent; a form of `GET /connections` |
//! | `GET /connect/callback` | where the provider leads back |
//! | `GET /api/triggers` | [`TriggerList`] |
//! | `GET /api/connections` | [`ConnectionList`] |
//! | `GET /api/runs?state=dead,waiting&workflow=w&limit=50&before=9` | [`RunList`], newest first |
//! | `GET /api/runs/{id}?payloads=true` | [`RunView`] |
//! | `GET /api/runs/{id}/export` | [`Fixture`]: the run, its event and its journal, for a test |
//! | `GET /api/runs/{id}/event` | the [`Event`] with its body |
//! | `POST /api/runs/{id}/retry` | [`Retried`] |
//! | `POST /api/runs/{id}/replay` | [`Replayed`] |
//! | `POST /api/runs/{id}/fork` | [`Forked`] |
//! | `POST /api/runs/{id}/discard` | [`Discarded`] |
//! | `POST /api/runs/{id}/undo` | [`Discarded`], after what it did is undone |
//! | `POST /api/runs/{id}/cancel` | [`Cancelled`] |
//! | `POST /api/runs/{id}/settle` | [`Settled`] |
//! | `POST /api/runs/{id}/signals/{name}` | any JSON to a run, with `Idempotency-Key` if it may come twice: 202 [`Told`], or 200 for a repetition |
//! | `GET /api/approvals?run=17` | [`ApprovalList`]: questions to people |
//! | `POST /api/runs/{id}/decide` | a person's decision: 202 [`Told`] |
//! | `POST /api/dead/retry` | [`BulkRetried`] |
//! | `POST /api/open/cancel` | [`BulkCancelled`] |
//! | `GET /api/paused` | [`PausedWorkflow`]s |
//! | `POST /api/workflows/pause` | [`Pausing`] |
//! | `POST /api/workflows/resume` | [`Pausing`] |
//! | `GET /api/status` | [`Status`] |
//! | `GET /health/live` | 200 while the process answers |
//! | `GET /health/ready` | [`Readiness`]: 200, or 503 with the reasons |
//!
//! Bodies are those of [`request`]; an error is an [`ErrorBody`], or a page where a browser asks for one outside of
//! `/api` and `/health`.
//!
//! There is no login: whoever reaches the address is an operator. So it is meant for a loopback address, and every
//! request must name a loopback host or one that was allowed; pages of other origins are turned away, and a write
//! needs `content-type: application/json` and `x-bowline: 1`, which no foreign page can send. The four forms, `POST
//! /connect`, `/approvals`, `/fork` and `/pause`, need an `Origin` that is this very address.

mod answer;
pub(crate) mod guard;
pub mod request;

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    middleware,
    routing::{get, post},
};
use bowline_client::Vault;
use bowline_ingress::TriggerBoard;
use bowline_model::{BuildId, Clock, Event, FlowRules, Run, RunId, approval::Decision};
use bowline_store::{Store, mail::MESSAGE_BYTES_MAX};

pub(crate) use self::answer::Refusal;
pub use self::answer::{ErrorBody, WrongField};
use self::{
    answer::Answer,
    guard::Guard,
    request::{
        ApprovalsQuery, CancelAllRequest, DecideRequest, ForkRequest, PauseRequest, ReplayRequest,
        RetryAllRequest, RunQuery, RunsQuery, SettleRequest,
    },
};
use crate::{
    alerts::ApiAlerts,
    approvals::{APPROVALS_MAX, ApprovalList},
    commands::{
        BulkCancelled, BulkRetried, CancelRun, Cancelled, Commands, Discarded, Forked, Operator,
        PausedWorkflow, Pausing, Poke, Replayed, Retried, Settled, Told, ToldStatus, settle::VALUE_BYTES_MAX,
    },
    connections::{ConnectionList, Connections},
    export::Fixture,
    health::{AskProgress, Health, Readiness, Status},
    pages,
    triggers::TriggerList,
    view::{RunList, RunView},
};

/// Largest body of a request.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// Largest body of a settlement: a value, and words around it.
const SETTLE_BYTES_MAX: usize = VALUE_BYTES_MAX + BODY_BYTES_MAX;

/// The pages and the API, to be served on the admin address.
pub struct Admin {
    desk: Desk,
    hosts: Vec<String>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    app: String,
    pub(crate) connections: Connections,
    pub(crate) triggers: TriggerBoard,
    commands: Commands,
    health: Health,
}

impl Admin {
    /// Pages and API over that store. `poke` wakes the engine after a command; `progress` asks it how it stands.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        build: BuildId,
        progress: AskProgress,
        poke: Poke,
    ) -> Self {
        let commands = Commands::new(store.clone(), clock.clone(), build.clone(), poke);
        let connections = Connections::new(clock.clone());
        let health = Health::new(store.clone(), clock.clone(), build, progress);
        let triggers = TriggerBoard::default();
        let desk = Desk { store, clock, app: String::new(), connections, triggers, commands, health };
        Self { desk, hosts: vec![] }
    }

    /// The app's name: what exported runs say they are of.
    pub fn app(mut self, name: impl Into<String>) -> Self {
        self.desk.app = name.into();
        self
    }

    /// Also answers requests that name this host (a name or an address, without port).
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Shows the Apis whose tokens live there, and lets people connect them.
    ///
    /// `public_url` is where people reach these pages, if not where the request says: providers lead them back there.
    pub fn vault(mut self, vault: Vault, public_url: Option<String>) -> Self {
        self.desk.connections.set_vault(vault, public_url);
        self
    }

    /// Calls this, instead of what wakes the engine, when a workflow was paused or resumed.
    pub fn poke_pauses_with(mut self, poke: Poke) -> Self {
        self.desk.commands = self.desk.commands.poke_pauses_with(poke);
        self
    }

    /// Lets operators cancel open runs.
    pub fn cancel_with(mut self, cancel: CancelRun) -> Self {
        self.desk.commands = self.desk.commands.cancel_with(cancel);
        self
    }

    /// Shows how schedules, polls and inboxes do.
    pub fn triggers(mut self, board: TriggerBoard) -> Self {
        self.desk.triggers = board;
        self
    }

    /// The rules by which the workflows' runs begin; none unless said.
    pub fn flow_rules(mut self, rules: FlowRules) -> Self {
        self.desk.commands = self.desk.commands.flow_rules(rules);
        self
    }

    /// Shows what Apis raised.
    pub fn alerts(mut self, alerts: ApiAlerts) -> Self {
        self.desk.connections.set_alerts(alerts);
        self
    }

    /// The routes, guards and limits included.
    pub fn router(self) -> Router {
        let guard = Guard::new(self.hosts);
        Router::new()
            .route("/api/runs", get(list))
            .route("/api/runs/{id}", get(show))
            .route("/api/runs/{id}/event", get(event))
            .route("/api/runs/{id}/export", get(export))
            .route("/api/runs/{id}/retry", post(retry))
            .route("/api/runs/{id}/replay", post(replay))
            .route("/api/runs/{id}/fork", post(fork))
            .route("/api/runs/{id}/discard", post(discard))
            .route("/api/runs/{id}/undo", post(discard_undone))
            .route("/api/runs/{id}/cancel", post(cancel))
            .route("/api/runs/{id}/settle", post(settle).layer(DefaultBodyLimit::max(SETTLE_BYTES_MAX)))
            .route("/api/dead/retry", post(retry_all))
            .route("/api/open/cancel", post(cancel_all))
            .route(
                "/api/runs/{id}/signals/{name}",
                post(signal).layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX)),
            )
            .route("/api/runs/{id}/decide", post(decide).layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX)))
            .route("/api/approvals", get(approvals))
            .route("/api/paused", get(paused))
            .route("/api/workflows/pause", post(pause))
            .route("/api/workflows/resume", post(resume))
            .route("/api/status", get(status))
            .route("/api/connections", get(connections))
            .route("/api/triggers", get(triggers))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .merge(pages::routes())
            .fallback(async || Refusal::no_such_page())
            .method_not_allowed_fallback(async || Refusal::method())
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
            .layer(middleware::from_fn(pages::dress))
            .with_state(self.desk)
    }
}

async fn list(State(desk): State<Desk>, query: Asked<RunsQuery>) -> Answer<RunList> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let filter = query.filter().map_err(Refusal::bad_request)?;
    let runs = desk.store.runs(filter).await?;
    let paused = PausedWorkflow::all(&*desk.store).await?;
    Ok(Json(RunList::read(&*desk.store, &runs, query.limit()).await?.with_paused(paused)))
}

async fn show(State(desk): State<Desk>, Path(id): Path<String>, query: Asked<RunQuery>) -> Answer<RunView> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let run = desk.run(&id).await?;
    let (view, _) = RunView::read(&*desk.store, &run, query.payloads()).await?;
    Ok(Json(view))
}

async fn event(State(desk): State<Desk>, Path(id): Path<String>) -> Answer<Event> {
    let run = desk.run(&id).await?;
    let event = desk.store.event(run.event).await?;
    event.map(Json).ok_or_else(|| Refusal::no_such_event(&run))
}

async fn export(State(desk): State<Desk>, Path(id): Path<String>) -> Answer<Fixture> {
    let run = desk.run(&id).await?;
    let fixture = Fixture::export(&*desk.store, &desk.app, run.id).await?;
    fixture.map(Json).ok_or_else(|| Refusal::no_such_event(&run))
}

async fn retry(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Retried> {
    let operator: Operator = request::parse(body)?;
    Ok(Json(desk.commands.retry(run_id(&id)?, &operator).await?))
}

async fn replay(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Replayed> {
    let ReplayRequest { keys, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.replay(run_id(&id)?, keys, &Operator { who, why }).await?))
}

async fn fork(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Forked> {
    let ForkRequest { from, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.fork(run_id(&id)?, &from, &Operator { who, why }).await?))
}

async fn discard(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Discarded> {
    let operator: Operator = request::parse(body)?;
    Ok(Json(desk.commands.discard(run_id(&id)?, &operator).await?))
}

async fn discard_undone(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Discarded> {
    let operator: Operator = request::parse(body)?;
    Ok(Json(desk.commands.discard_undone(run_id(&id)?, &operator).await?))
}

async fn cancel(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Cancelled> {
    let operator: Operator = request::parse(body)?;
    Ok(Json(desk.commands.cancel(run_id(&id)?, &operator).await?))
}

async fn settle(State(desk): State<Desk>, Path(id): Path<String>, body: Body) -> Answer<Settled> {
    let SettleRequest { step, outcome, who, why } = request::parse(body)?;
    let operator = Operator { who, why };
    Ok(Json(desk.commands.settle(run_id(&id)?, &step, &outcome, &operator).await?))
}

async fn signal(
    State(desk): State<Desk>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Told>), Refusal> {
    let body = body.map_err(|rejection| Refusal::unreadable(&rejection))?;
    let key = headers.get("idempotency-key").map(|key| key.to_str().map(str::to_owned));
    let key = key.transpose().map_err(|_| Refusal::bad_request("the Idempotency-Key is not plain ASCII"))?;
    Ok(told(desk.commands.signal(run_id(&id)?, &name, key, body).await?))
}

async fn decide(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Told>), Refusal> {
    let DecideRequest { approval, approved, values, by, why } = request::parse(body)?;
    let decision = Decision { approved, by, values, why };
    Ok(told(desk.commands.decide(run_id(&id)?, approval.as_deref(), decision).await?))
}

fn told(told: Told) -> (StatusCode, Json<Told>) {
    let status = match told.status {
        ToldStatus::Kept => StatusCode::ACCEPTED,
        ToldStatus::Duplicate => StatusCode::OK,
    };
    (status, Json(told))
}

async fn approvals(State(desk): State<Desk>, query: Asked<ApprovalsQuery>) -> Answer<ApprovalList> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    Ok(Json(match query.run {
        Some(run) => ApprovalList::of_run(&*desk.store, RunId(run)).await?,
        None => ApprovalList::read(&*desk.store, APPROVALS_MAX).await?,
    }))
}

async fn cancel_all(State(desk): State<Desk>, body: Body) -> Answer<BulkCancelled> {
    let CancelAllRequest { workflow, states, limit, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.cancel_all(workflow, &states, limit, &Operator { who, why }).await?))
}

async fn retry_all(State(desk): State<Desk>, body: Body) -> Answer<BulkRetried> {
    let RetryAllRequest { workflow, limit, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.retry_all(workflow, limit, &Operator { who, why }).await?))
}

async fn paused(State(desk): State<Desk>) -> Answer<Vec<PausedWorkflow>> {
    Ok(Json(PausedWorkflow::all(&*desk.store).await?))
}

async fn pause(State(desk): State<Desk>, body: Body) -> Answer<Pausing> {
    let PauseRequest { workflow, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.pause(workflow, &Operator { who, why }).await?))
}

async fn resume(State(desk): State<Desk>, body: Body) -> Answer<Pausing> {
    let PauseRequest { workflow, who, why } = request::parse(body)?;
    Ok(Json(desk.commands.resume(workflow, &Operator { who, why }).await?))
}

async fn connections(State(desk): State<Desk>) -> Answer<ConnectionList> {
    Ok(Json(desk.connections.list().await?))
}

async fn triggers(State(desk): State<Desk>) -> Json<TriggerList> {
    Json(TriggerList::of(&desk.triggers))
}

async fn status(State(desk): State<Desk>) -> Json<Status> {
    Json(desk.health.status().await)
}

async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "live": true }))
}

async fn ready(State(desk): State<Desk>) -> (StatusCode, Json<Readiness>) {
    let health = desk.health.status().await.health;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// A body, read up to the limit.
type Body = Result<Bytes, BytesRejection>;

/// A query, parsed.
pub(crate) type Asked<T> = Result<Query<T>, QueryRejection>;

impl Desk {
    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(crate) async fn run(&self, id: &str) -> Result<Run, Refusal> {
        let id = run_id(id)?;
        self.store.run(id).await?.ok_or_else(|| Refusal::no_such_run(id))
    }
}

fn run_id(text: &str) -> Result<RunId, Refusal> {
    RunId::from_str(text).map_err(|_| Refusal::bad_request(format!("{text:?} is not a run's number")))
}
