//! Through the admin API of the server that holds the store.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bowline_dashboard::{
    Operator, Payloads, RunView,
    admin::{
        ErrorBody,
        request::{
            ApprovalsQuery, CancelAllRequest, DecideRequest, ForkRequest, PauseRequest, ReplayRequest,
            RetryAllRequest, RunQuery, RunsQuery, SettleRequest,
        },
    },
    approvals::ApprovalList,
    commands::{
        BulkCancelled, BulkRetried, Cancelled, Discarded, Forked, Keys, Pausing, Replayed, Retried, Settled,
        Told,
    },
    export::Fixture,
    triggers::TriggerList,
    view::RunList,
};
use bowline_model::{RunId, WorkflowName};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A bulk retry is a thousand commits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The admin API of a running server.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    admin: SocketAddr,
    pid: Option<u32>,
}

impl Remote {
    pub(super) fn new(admin: SocketAddr, pid: Option<u32>) -> Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // The server is this machine's; no proxy knows it, and it redirects nowhere.
            .no_proxy()
            .redirect(redirect::Policy::none())
            // Plain HTTP: needs no certificate authorities, which small images do not have.
            .tls_certs_only([])
            .build()
            .map_err(|error| Error::new(format!("cannot set up an HTTP client: {error}")))?;
        Ok(Self { client, admin: reachable(admin), pid })
    }

    pub(super) async fn runs(&self, query: &RunsQuery) -> Result<RunList> {
        self.ask(self.client.get(self.url("/api/runs")).query(query)).await
    }

    pub(super) async fn show(&self, run: RunId, payloads: Payloads) -> Result<RunView> {
        let query = RunQuery { payloads: payloads == Payloads::Shown };
        self.ask(self.client.get(self.url(&format!("/api/runs/{run}"))).query(&query)).await
    }

    pub(super) async fn triggers(&self) -> Result<TriggerList> {
        self.ask(self.client.get(self.url("/api/triggers"))).await
    }

    pub(super) async fn export(&self, run: RunId) -> Result<Fixture> {
        self.ask(self.client.get(self.url(&format!("/api/runs/{run}/export")))).await
    }

    pub(super) async fn retry(&self, run: RunId, operator: &Operator) -> Result<Retried> {
        self.say(&format!("/api/runs/{run}/retry"), operator).await
    }

    pub(super) async fn retry_all(
        &self,
        workflow: Option<WorkflowName>,
        limit: usize,
        operator: &Operator,
    ) -> Result<BulkRetried> {
        let Operator { who, why } = operator.clone();
        self.say("/api/dead/retry", &RetryAllRequest { workflow, limit, who, why }).await
    }

    pub(super) async fn replay(&self, run: RunId, keys: Keys, operator: &Operator) -> Result<Replayed> {
        let Operator { who, why } = operator.clone();
        self.say(&format!("/api/runs/{run}/replay"), &ReplayRequest { keys, who, why }).await
    }

    pub(super) async fn fork(&self, run: RunId, from: &str, operator: &Operator) -> Result<Forked> {
        let Operator { who, why } = operator.clone();
        self.say(&format!("/api/runs/{run}/fork"), &ForkRequest { from: from.to_owned(), who, why }).await
    }

    pub(super) async fn discard(&self, run: RunId, operator: &Operator) -> Result<Discarded> {
        self.say(&format!("/api/runs/{run}/discard"), operator).await
    }

    pub(super) async fn discard_undone(&self, run: RunId, operator: &Operator) -> Result<Discarded> {
        self.say(&format!("/api/runs/{run}/undo"), operator).await
    }

    pub(super) async fn cancel(&self, run: RunId, operator: &Operator) -> Result<Cancelled> {
        self.say(&format!("/api/runs/{run}/cancel"), operator).await
    }

    pub(super) async fn cancel_all(&self, request: &CancelAllRequest) -> Result<BulkCancelled> {
        self.say("/api/open/cancel", request).await
    }

    pub(super) async fn pause(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing> {
        let Operator { who, why } = operator.clone();
        self.say("/api/workflows/pause", &PauseRequest { workflow, who, why }).await
    }

    pub(super) async fn resume(&self, workflow: WorkflowName, operator: &Operator) -> Result<Pausing> {
        let Operator { who, why } = operator.clone();
        self.say("/api/workflows/resume", &PauseRequest { workflow, who, why }).await
    }

    pub(super) async fn settle(&self, run: RunId, request: &SettleRequest) -> Result<Settled> {
        self.say(&format!("/api/runs/{run}/settle"), request).await
    }

    pub(super) async fn signal(
        &self,
        run: RunId,
        name: &str,
        id: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Told> {
        let mut url = Url::parse(&self.url(&format!("/api/runs/{run}/signals")))
            .map_err(|error| Error::new(format!("no URL of the admin API: {error}")))?;
        // A name may hold whatever a path means something by.
        url.path_segments_mut().expect("an http URL has a path").push(name);
        let request =
            self.client.post(url).header("x-bowline", "1").header("content-type", "application/json");
        let request = match id {
            Some(id) => request.header("idempotency-key", id),
            None => request,
        };
        self.ask(request.body(body)).await
    }

    pub(super) async fn decide(&self, run: RunId, request: &DecideRequest) -> Result<Told> {
        self.say(&format!("/api/runs/{run}/decide"), request).await
    }

    pub(super) async fn approvals(&self, run: Option<RunId>) -> Result<ApprovalList> {
        let query = ApprovalsQuery { run: run.map(|run| run.0) };
        self.ask(self.client.get(self.url("/api/approvals")).query(&query)).await
    }

    async fn say<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.ask(self.client.post(self.url(path)).header("x-bowline", "1").json(body)).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let body = response.bytes().await.map_err(|error| self.no_answer(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::new(format!(
                "the server at {} answered what this program cannot read: {error}",
                self.admin
            ))
            .hint("is it another version? Restart it with this one")
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    fn no_answer(&self, error: &reqwest::Error) -> Error {
        let holder = self.pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
        let message = format!(
            "{holder} holds the store, but its admin API at {} does not answer: {}",
            self.admin,
            innermost(error)
        );
        Error::new(message)
            .hint("a server that is starting or stopping answers soon, or lets go of the store")
    }
}

/// Where to reach a server that listens on every address.
pub(in crate::cli) fn reachable(mut admin: SocketAddr) -> SocketAddr {
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => admin.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => admin.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    admin
}

async fn refusal(response: Response) -> Error {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error, hint: Some(hint), .. }) => Error::new(error).hint(hint),
        Ok(ErrorBody { error, hint: None, .. }) => Error::new(error),
        Err(_) => Error::new(format!("the server's admin API answered {status}"))
            .hint("does something else listen on its address? BOWLINE_ADMIN moves it"),
    }
}

/// The cause that says something: reqwest's own messages repeat the URL.
pub(in crate::cli) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
