//! An app: its systems, its workflows, and what starts them.

use std::{collections::BTreeMap, fmt, process::ExitCode, sync::Arc, time::Duration};

use bowline_client::{Apis, Vault};
use bowline_dashboard::alerts::ApiAlerts;
use bowline_engine::Workflows;
use bowline_ingress::{Route, Schedule, Tick, schedule::Scheduled};
use bowline_model::{BuildId, Clock, FlowRules, Variables, WorkflowName};

use crate::{
    OpenOptions, PostRoute, Setup, Source, Workflow,
    build_id::build_id,
    config::{self, Config},
    guard,
    inbox::DeclaredInbox,
    poll::DeclaredPoll,
    schedule::{self, DeclaredSchedule},
    server::ServeOptions,
    start,
    time::days,
    triggers::Trigger,
    workflow::Declared,
};

type MakeSystems<S> = dyn Fn(&mut Setup) -> S + Send + Sync;

/// The workflows that an app knows, by name.
pub(crate) type DeclaredWorkflows<S> = BTreeMap<WorkflowName, Declared<S>>;

/// An app whose systems are `S`. The same value is what `main` serves and what tests start.
///
/// ```no_run
/// use std::{process::ExitCode, sync::Arc};
///
/// use bowline::prelude::*;
///
/// struct Shop { crm: Api }
///
/// impl Shop {
///     async fn welcome(self: Arc<Self>, cx: Context, customer: serde_json::Value) -> Result {
///         cx.step("create contact", self.crm.post("/contacts").json(&customer)).await?;
///         Ok(())
///     }
/// }
///
/// fn app() -> App<Shop> {
///     App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
///         .webhook("/webhooks/stripe",
///             Stripe::secret_env("STRIPE_WEBHOOK_SECRET")
///                 .on("customer.created", workflow("welcome", Shop::welcome)))
/// }
///
/// fn main() -> ExitCode { app().main() }
/// ```
pub struct App<S> {
    name: String,
    version: String,
    systems: Box<MakeSystems<S>>,
    webhooks: Vec<(String, Source<S>)>,
    posts: Vec<(String, PostRoute<S>)>,
    pub(crate) polls: Vec<DeclaredPoll<S>>,
    pub(crate) inboxes: Vec<DeclaredInbox<S>>,
    workflows: Vec<Declared<S>>,
    schedules: Vec<DeclaredSchedule<S>>,
    serve: ServeOptions,
}

/// How long ended runs are kept unless the app says otherwise.
const RETENTION: Duration = days(30);

impl<S: Send + Sync + 'static> App<S> {
    /// An app of that name; `systems` builds what its workflows hold.
    ///
    /// The name goes into the `User-Agent` of every call.
    pub fn new(name: impl Into<String>, systems: impl Fn(&mut Setup) -> S + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            version: "0.0.0".to_owned(),
            systems: Box::new(systems),
            webhooks: vec![],
            posts: vec![],
            polls: vec![],
            inboxes: vec![],
            workflows: vec![],
            schedules: vec![],
            serve: ServeOptions { retention: RETENTION, ..ServeOptions::default() },
        }
    }

    /// The app's version, usually `env!("CARGO_PKG_VERSION")`. It goes into the `User-Agent`, and with a digest of the
    /// executable into the build id that every journal entry carries.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Receives webhooks at that path.
    pub fn webhook(mut self, path: impl Into<String>, source: Source<S>) -> Self {
        self.webhooks.push((path.into(), source));
        self
    }

    /// Receives at that path what a site's own forms and programs post. See [`Post`](crate::Post).
    pub fn post(mut self, path: impl Into<String>, route: PostRoute<S>) -> Self {
        self.posts.push((path.into(), route));
        self
    }

    /// Runs the workflow by itself, as the schedule says. The name is that of its cursor in the store: keep it across
    /// builds. A schedule that is new begins now; one whose times or zone change goes on after its last tick, with at most
    /// one run for what it missed, whatever its [`CatchUp`](crate::CatchUp): the new times were not yet said then.
    ///
    /// What is wrong with it (its expression, its time zone) is told with all else that is, at the start and by `check`.
    ///
    /// ```
    /// use bowline::prelude::*;
    ///
    /// struct Reports;
    /// impl Reports {
    ///     async fn nightly(self: Arc<Self>, cx: Context, tick: Tick) -> Result<String> {
    ///         cx.step("report", async || Ok("written".to_owned())).await?;
    ///         Ok(format!("the night before {}", tick.at))
    ///     }
    /// }
    ///
    /// let app = App::new("reports", |_| Reports).schedule(
    ///     "nightly report",
    ///     Schedule::cron("0 30 3 * * *").zone("Europe/Berlin").jitter(minutes(5)).overlap(Overlap::Skip),
    ///     workflow("report", Reports::nightly),
    /// );
    /// # let _ = app;
    /// ```
    ///
    /// # Durability
    /// Each tick is one event with one run, on disk in one transaction with the cursor. After a crash the schedule goes
    /// on after the last tick that is on disk; what it missed is up to its [`CatchUp`](crate::CatchUp).
    pub fn schedule<O>(
        mut self,
        name: impl Into<String>,
        schedule: Schedule,
        workflow: Workflow<S, Tick, O>,
    ) -> Self {
        self.schedules.push(DeclaredSchedule::new(name.into(), schedule, workflow.into_declared()));
        self
    }

    /// Knows a workflow that no event starts, but [`OpenApp::start`](crate::OpenApp::start) does.
    pub fn workflow<I, O>(mut self, workflow: Workflow<S, I, O>) -> Self {
        self.workflows.push(workflow.into_declared());
        self
    }

    /// How long ended runs and their events are kept; 30 days unless set. Dead letters stay until a person ends them.
    pub fn retention(mut self, keep: Duration) -> Self {
        self.serve.retention = keep;
        self
    }

    /// Runs driven at once on this node, 256 unless set. What is accepted beyond waits on disk, the older first.
    pub fn concurrency(mut self, runs_max: usize) -> Self {
        self.serve.engine.slots = runs_max.max(1);
        self
    }

    /// How long calls under way may take to end at a shutdown; 10 s unless set.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.serve.engine.shutdown_grace = grace;
        self
    }

    /// The program's `main`: reads the command line and `.env`, serves or does what was asked for. See `--help`.
    ///
    /// # Panics
    /// If the machine gives no thread for the runtime.
    pub fn main(self) -> ExitCode {
        // Of the working directory only: a parent's file is somebody else's.
        let dotenv = dotenvy::from_path(".env");
        let variables = Variables::environment();
        match dotenv {
            Ok(()) => {}
            Err(error) if error.not_found() => {}
            Err(dotenvy::Error::Io(error)) => variables.problem(".env", format!("cannot be read: {error}")),
            // The error quotes the line, and the line may be a secret.
            Err(_) => variables.problem(
                ".env",
                "has a line that is not NAME=value; put quotes around a value with blanks (what follows the line is not read)",
            ),
        }
        start::main(self, variables)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn version_text(&self) -> &str {
        &self.version
    }

    /// Builds the app in these surroundings. What is missing is recorded in their variables.
    pub(crate) fn build(&self, options: &OpenOptions) -> BuiltApp {
        let variables = &options.variables;
        let mut setup = Setup::new(&self.name, &self.version, options);
        let systems = Arc::new((self.systems)(&mut setup));
        self.tell_twins(variables);
        self.tell_flow_problems(variables);
        let mut workflows = Workflows::default();
        let mut triggers = self.bound_polls(&systems, variables);
        triggers.extend(self.bound_inboxes(variables));
        for (name, workflow) in self.declared_workflows() {
            tracing::debug!(workflow = %name, "declared");
            workflows.insert(workflow.bind(systems.clone()));
        }
        let webhooks = self.webhooks.iter().filter_map(|(path, source)| source.route(path, variables));
        let posts = self.posts.iter().filter_map(|(path, post)| post.route(path, variables));
        let routes: Vec<Route> = webhooks.chain(posts).collect();
        let config = Config::read(variables);
        for route in routes.iter().filter(|route| route.provider().signs_url() && config.public_url.is_none())
        {
            let (name, path) = (route.provider().name(), route.path());
            variables.problem(
                config::PUBLIC_URL_VARIABLE,
                format!(
                    "is not set: {name} signs the URL it sends to; say how it knows this app, without {path}"
                ),
            );
        }
        guard::check(&routes, config.proxies.as_ref(), variables);
        if let Err(errors) = bowline_ingress::route::check(&routes) {
            variables.problem("routes", errors.to_string());
        }
        let schedules = schedule::plan(&self.schedules, variables);
        BuiltApp {
            schedules,
            vault: setup.vault,
            apis: setup.apis,
            api_alerts: setup.alerts,
            build: options.build.clone().unwrap_or_else(|| build_id(&self.version)),
            config,
            name: self.name.clone(),
            workflows,
            routes,
            triggers,
            left_open: self.left_open(variables),
            clock: options.clock.clone(),
            serve: self.serve.clone(),
        }
    }

    pub(crate) fn schedules(&self) -> &[DeclaredSchedule<S>] {
        &self.schedules
    }

    fn left_open(&self, variables: &Variables) -> Vec<(String, String)> {
        let open = |(path, post): &(String, PostRoute<S>)| {
            post.left_open(variables).map(|variable| (path.clone(), variable.to_owned()))
        };
        self.posts.iter().filter_map(open).collect()
    }

    /// The declared workflows by name; of several the first.
    pub(crate) fn declared_workflows(&self) -> DeclaredWorkflows<S> {
        let mut by_name = DeclaredWorkflows::new();
        for workflow in self.every_declared() {
            by_name.entry(workflow.name().clone()).or_insert_with(|| workflow.clone());
        }
        by_name
    }

    /// The rules by which the workflows' runs begin.
    pub(crate) fn flow_rules(&self) -> FlowRules {
        self.declared_workflows().into_iter().map(|(name, workflow)| (name, workflow.flow_rule())).collect()
    }

    fn every_declared(&self) -> impl Iterator<Item = &Declared<S>> {
        let webhooks = self.webhooks.iter().flat_map(|(_, source)| source.workflows());
        let posts = self.posts.iter().map(|(_, post)| post.workflow());
        let polls = self.polls.iter().map(DeclaredPoll::workflow);
        let inboxes = self.inboxes.iter().map(DeclaredInbox::workflow);
        let schedules = self.schedules.iter().map(DeclaredSchedule::workflow);
        webhooks.chain(posts).chain(polls).chain(inboxes).chain(schedules).chain(&self.workflows)
    }

    /// Flow control that does not go together, with itself or with a schedule.
    fn tell_flow_problems(&self, variables: &Variables) {
        for (name, workflow) in self.declared_workflows() {
            if !workflow.problems().is_empty() {
                variables.problem(format!("workflow {name}"), workflow.problems().join("; it "));
            }
        }
        for schedule in self.schedules.iter().filter(|schedule| schedule.workflow().orders_runs()) {
            variables.problem(
                schedule.setting(),
                "orders its runs by its overlap, and so does its workflow's flow control: give the schedule a workflow \
                 of its own, without keys",
            );
        }
    }

    /// Two workflows of one name are one only if they are the same value.
    fn tell_twins(&self, variables: &Variables) {
        let by_name = self.declared_workflows();
        for workflow in self.every_declared() {
            if !by_name.get(workflow.name()).is_some_and(|known| known.is_same(workflow)) {
                variables.problem(
                    format!("workflow {}", workflow.name()),
                    "is declared twice: give each its own name, or declare it once and pass a clone",
                );
            }
        }
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("webhooks", &self.webhooks)
            .finish_non_exhaustive()
    }
}

/// An app, configured: no type of the user's is left in it.
pub(crate) struct BuiltApp {
    pub(crate) name: String,
    pub(crate) build: BuildId,
    pub(crate) config: Config,
    pub(crate) vault: Vault,
    pub(crate) apis: Apis,
    pub(crate) api_alerts: ApiAlerts,
    pub(crate) workflows: Workflows,
    pub(crate) routes: Vec<Route>,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) schedules: Vec<Scheduled>,
    /// Routes that are open because a variable is not set: the path, and the variable.
    pub(crate) left_open: Vec<(String, String)>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) serve: ServeOptions,
}
