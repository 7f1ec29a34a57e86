//! One webhook route: its path, its provider, which events start which workflows, and its limits.

use std::{collections::HashSet, fmt, net::IpAddr, sync::Arc, time::Duration};

use bowline_model::WorkflowName;
use ipnet::IpNet;

use crate::{
    ClientLimit, Provider, callbacks, cors,
    proxies::{self, Client},
};

/// How large a body may be unless the route says otherwise.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest path of a route.
pub const PATH_BYTES_MAX: usize = 256;

/// One webhook route.
///
/// ```
/// use std::sync::Arc;
///
/// use bowline_ingress::{Route, providers::Stripe};
/// use bowline_model::{Secret, WorkflowName};
///
/// let stripe = Stripe::new(&Secret::new("whsec_test"))?;
/// let route = Route::new("/webhooks/stripe", Arc::new(stripe))
///     .on("payment_intent.succeeded", WorkflowName::from("stripe-to-crm"))
///     .on("payment_intent.*", WorkflowName::from("ledger"));
/// assert_eq!(route.workflows_for("payment_intent.succeeded").len(), 2);
/// assert_eq!(route.workflows_for("payment_intent.created").len(), 1);
/// assert_eq!(route.workflows_for("charge.refunded").len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Route {
    path: String,
    provider: Arc<dyn Provider>,
    subscriptions: Vec<(Pattern, WorkflowName)>,
    body_bytes_max: usize,
    wait: Option<Duration>,
    origins: Vec<String>,
    /// Where requests may come from, if not from everywhere; what is no range stands as what is wrong with it.
    allowed: Vec<Result<IpNet, String>>,
    client_limit: Option<ClientLimit>,
}

impl Route {
    /// A route at that path, which begins with `/`. [`check`] says what is wrong with it.
    pub fn new(path: impl Into<String>, provider: Arc<dyn Provider>) -> Self {
        Self {
            path: path.into(),
            provider,
            subscriptions: vec![],
            body_bytes_max: BODY_BYTES_MAX,
            wait: None,
            origins: vec![],
            allowed: vec![],
            client_limit: None,
        }
    }

    /// Events of these types start that workflow. `pattern` is a type (`payment_intent.succeeded`), all types below a
    /// prefix (`payment_intent.*`, `orders/*`, `repo:*`), or all there are (`*`). An event that fits several patterns of one workflow starts
    /// it once.
    pub fn on(mut self, pattern: &str, workflow: WorkflowName) -> Self {
        self.subscriptions.push((Pattern::parse(pattern), workflow));
        self
    }

    /// How large a body may be; [`BODY_BYTES_MAX`] unless set.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// Answers with the run's result: 200 with the workflow's output, once its completion is on disk. If that takes
    /// longer than `limit`, by the app's clock: 202 with the run's address (`Location`), where the same result can be
    /// asked for with GET, under the same authentication. A repetition of an event attaches to its run.
    ///
    /// Keep the limit below what a proxy in front allows, often 60 s. At most
    /// [`WAITING_MAX`](crate::waiting::WAITING_MAX) requests wait at once; more are answered 202 without waiting.
    ///
    /// A run that failed is answered 500 with the same address: the event was accepted, and if an operator retries
    /// the run, its result will be there.
    ///
    /// Whoever may send to this route and knows an event's id gets the result of its run. On an open route that takes
    /// the whole body: who sends another one under an id that is derived from bodies is told
    /// `{"status":"duplicate"}` at once, and nothing of the run.
    ///
    /// # Durability
    /// The event is on disk before the wait begins. A sender who hangs up, a limit that passes, a shutdown, or a crash
    /// after that loses nothing: the run goes on.
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = Some(limit);
        self
    }

    /// Lets pages of this origin (`https://www.example.com`) send here from a browser and read the answers. Call it
    /// once for each. Browsers send no cookies along.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Takes requests of these addresses (`192.0.2.1`) and ranges (`192.0.2.0/24`, `2001:db8::/32`) only; others are
    /// answered 403. Call it several times for more. Who the client is behind proxies: see
    /// [`TrustedProxies`](crate::TrustedProxies).
    ///
    /// Not in place of a signature: whoever can send from such an address is believed.
    pub fn allow_ips(mut self, ranges: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.allowed.extend(ranges.into_iter().map(|range| proxies::parse_range(range.as_ref())));
        self
    }

    /// How many requests each client may send here; more are answered 429. [`ClientLimit::default`] unless set. Counts
    /// only where clients are known: see [`TrustedProxies`](crate::TrustedProxies).
    pub fn client_limit(mut self, limit: ClientLimit) -> Self {
        self.client_limit = Some(limit);
        self
    }

    /// Whether it takes requests of some addresses only.
    pub fn has_allowed_ips(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// An address from which requests are taken, for tests that send some.
    pub fn some_allowed_ip(&self) -> Option<IpAddr> {
        self.allowed.iter().flatten().next().map(IpNet::addr)
    }

    pub(crate) fn allows(&self, client: Client) -> bool {
        self.allowed.is_empty()
            || client
                .address()
                .is_some_and(|address| self.allowed.iter().flatten().any(|range| range.contains(&address)))
    }

    pub(crate) fn limit_of_clients(&self) -> Option<ClientLimit> {
        self.client_limit
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who sends to it.
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.provider
    }

    /// How large a body may be.
    pub fn body_limit(&self) -> usize {
        self.body_bytes_max
    }

    /// For how long a request waits for its run's result; `None` if it does not.
    pub fn wait_limit(&self) -> Option<Duration> {
        self.wait
    }

    /// The origins whose pages may send here.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Where the results of its runs can be asked for, if requests wait for them.
    pub(crate) fn addresses(&self) -> Option<String> {
        self.wait.map(|_| format!("{}/runs/{{address}}", self.path.trim_end_matches('/')))
    }

    /// The workflows that an event of this type starts: each once, in the order of [`on`](Self::on).
    pub fn workflows_for(&self, kind: &str) -> Vec<WorkflowName> {
        let mut seen = HashSet::new();
        let fitting = self.subscriptions.iter().filter(|(pattern, _)| pattern.fits(kind));
        fitting.map(|(_, workflow)| workflow).filter(|workflow| seen.insert(*workflow)).cloned().collect()
    }

    fn problems(&self) -> Vec<String> {
        let path = &self.path;
        let mut problems = vec![];
        if !path.starts_with('/') {
            problems.push(format!("route {path:?} does not begin with '/'; write {:?}", format!("/{path}")));
        }
        if path.starts_with(callbacks::BELOW) {
            let below = callbacks::BELOW;
            problems.push(format!("route {path:?} is below {below}, where runs are called back; move it"));
        }
        if path.len() > PATH_BYTES_MAX {
            problems.push(format!("route {path:?} has {} bytes (limit {PATH_BYTES_MAX})", path.len()));
        }
        let odd = path.chars().find(|char| !char.is_ascii_alphanumeric() && !"/-._~".contains(*char));
        if let Some(odd) = odd {
            let allowed = "letters, digits and / - . _ ~ are allowed";
            problems.push(format!("route {path:?} has {odd:?} in it; {allowed}"));
        }
        if self.subscriptions.is_empty() {
            problems.push(format!("route {path:?} starts no workflow; add .on(type, workflow)"));
        }
        if self.body_bytes_max == 0 {
            problems.push(format!("route {path:?} allows bodies of 0 bytes; every event would be refused"));
        }
        let of_provider = self.provider.problems();
        problems.extend(of_provider.iter().map(|problem| format!("route {path:?}: {problem}")));
        let workflows: HashSet<_> = self.subscriptions.iter().map(|(_, workflow)| workflow).collect();
        if self.wait.is_some() && workflows.len() > 1 {
            let workflows = workflows.len();
            problems.push(format!(
                "route {path:?} waits for one result, and may start {workflows} workflows; wait on a route that starts one"
            ));
        }
        for problem in self.allowed.iter().filter_map(|range| range.as_ref().err()) {
            problems.push(format!("route {path:?} allows IPs: {problem}"));
        }
        for origin in &self.origins {
            if let Some(what) = cors::problem(origin) {
                problems.push(format!("route {path:?} allows origin {origin:?}, which {what}"));
            }
        }
        for (pattern, workflow) in &self.subscriptions {
            if let Pattern::Invalid(text) = pattern {
                problems.push(format!(
                    "route {path:?} starts {workflow} on {text:?}; write a type, a prefix as payment_intent.*, or *"
                ));
            }
        }
        problems
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.path)
            .field("provider", &self.provider.name())
            .field("subscriptions", &self.subscriptions)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("wait", &self.wait)
            .field("origins", &self.origins)
            .field("allowed", &self.allowed)
            .finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    All,
    /// With the `.`, `/` or `:` at its end.
    Prefix(String),
    Exact(String),
    /// Kept, so that all problems of all routes are told at once.
    Invalid(String),
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let below = text.strip_suffix('*');
        match below {
            Some("") => Self::All,
            Some(prefix)
                if prefix.ends_with(['.', '/', ':']) && prefix.len() > 1 && !prefix.contains('*') =>
            {
                Self::Prefix(prefix.to_owned())
            }
            Some(_) => Self::Invalid(text.to_owned()),
            None if text.is_empty() || text.contains('*') || text.trim() != text => {
                Self::Invalid(text.to_owned())
            }
            None => Self::Exact(text.to_owned()),
        }
    }

    fn fits(&self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => kind.starts_with(prefix),
            Self::Exact(exact) => kind == exact,
            Self::Invalid(_) => false,
        }
    }
}

/// All that is wrong with some routes, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct RouteErrors(Vec<String>);

impl RouteErrors {
    /// One problem each: fact, value, hint.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// Looks at all routes of an app.
///
/// # Errors
/// [`RouteErrors`] with every path that does not begin with `/`, has characters that could mean something else, or
/// comes twice; every pattern that is none; every route without a workflow, or that waits for several; every origin that
/// no browser sends; and what providers say of themselves.
pub fn check(routes: &[Route]) -> Result<(), RouteErrors> {
    let mut problems: Vec<String> = routes.iter().flat_map(Route::problems).collect();
    let mut paths = HashSet::new();
    for route in routes {
        let path = &route.path;
        if !paths.insert(path.clone()) {
            problems.push(format!("route {path:?} is there twice; put all its workflows on one route"));
        } else if route.addresses().is_some_and(|addresses| !paths.insert(addresses)) {
            problems.push(format!("route {path:?} has the runs of another route, but for a '/' at its end"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(RouteErrors(problems)) }
}

#[cfg(test)]
mod tests {
    use bowline_model::Secret;

    use super::*;
    use crate::providers::Stripe;

    fn route(path: &str) -> Route {
        Route::new(path, Arc::new(Stripe::new(&Secret::new("whsec_test")).unwrap()))
    }

    fn workflows(route: &Route, kind: &str) -> Vec<String> {
        route.workflows_for(kind).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_prefix_fits_what_is_below_it_and_not_its_neighbours() {
        let route = route("/a").on("payment_intent.*", "w".into());
        assert_eq!(workflows(&route, "payment_intent.succeeded"), ["w"]);
        assert_eq!(workflows(&route, "payment_intent.a.b"), ["w"]);
        for other in ["payment_intent", "payment_intents.created", "charge.payment_intent.x", ""] {
            assert_eq!(workflows(&route, other), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn a_workflow_is_started_once_even_if_several_patterns_fit() {
        let route = route("/a")
            .on("*", "audit".into())
            .on("charge.*", "books".into())
            .on("charge.refunded", "books".into())
            .on("charge.refunded", "audit".into());
        assert_eq!(workflows(&route, "charge.refunded"), ["audit", "books"]);
        assert_eq!(workflows(&route, "payout.paid"), ["audit"]);
    }

    #[test]
    fn all_problems_of_all_routes_are_told_at_once() {
        let routes = [
            route("webhooks").on("*", "w".into()),
            route("/a/{id}")
                .on("a*", "w".into())
                .on("", "w".into())
                .on(".*", "w".into())
                .on("a.*.b", "w".into()),
            route("/b"),
            route("/b").on("x", "w".into()).body_bytes_max(0),
        ];
        let problems = check(&routes).unwrap_err();
        for expected in [
            r#"route "webhooks" does not begin with '/'; write "/webhooks""#,
            r#"route "/a/{id}" has '{' in it"#,
            r#"route "/a/{id}" starts w on "a*""#,
            r#"route "/a/{id}" starts w on """#,
            r#"route "/a/{id}" starts w on ".*""#,
            r#"route "/a/{id}" starts w on "a.*.b""#,
            r#"route "/b" starts no workflow"#,
            r#"route "/b" allows bodies of 0 bytes"#,
            r#"route "/b" is there twice"#,
        ] {
            assert!(problems.to_string().contains(expected), "{expected} is not in:\n{problems}");
        }
        assert_eq!(problems.problems().len(), 9, "{problems}");
    }
}
