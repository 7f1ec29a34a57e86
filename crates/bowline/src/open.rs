//! An app that is open in this process: its store, its engine, and what it offers to the program around it.

use std::{fmt, path::PathBuf, sync::Arc};

use axum::Router;
use bowline_dashboard::{Admin, Commands};
use bowline_ingress::{RouteErrors, TriggerState};
use bowline_model::{BuildId, Clock, Progress, RunId, SystemClock, Variables};
use bowline_store::{Store, StoreError};
use serde::Serialize;

use crate::{
    App, Workflow,
    app::DeclaredWorkflows,
    node::{Node, Owner},
    run::RunHandle,
    server::open_store,
    starting::{Start, StartError},
};

/// With what an app is opened; [`default`](Default::default) is what a program in production wants.
#[derive(Clone)]
pub struct OpenOptions {
    pub(crate) variables: Variables,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) build: Option<BuildId>,
    pub(crate) divert: Arc<Divert>,
    store: Place,
    housekeeping: Housekeeping,
}

/// Where the Api of that name is, if not where the app says.
pub(crate) type Divert = dyn Fn(&str) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum Place {
    /// As `BOWLINE_STORE` says.
    Configured,
    File(PathBuf),
    Given(Arc<dyn Store>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Housekeeping {
    On,
    Off,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            variables: Variables::environment(),
            clock: Arc::new(SystemClock),
            build: None,
            divert: Arc::new(|_| None),
            store: Place::Configured,
            housekeeping: Housekeeping::On,
        }
    }
}

impl OpenOptions {
    /// Variables from elsewhere than the process's environment.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = variables;
        self
    }

    /// The SQLite file, instead of what `BOWLINE_STORE` says.
    pub fn store_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.store = Place::File(path.into());
        self
    }

    /// A store that is open already. [`OpenApp::shutdown`] does not close it.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Place::Given(store);
        self
    }

    /// Time and chance from elsewhere than the machine: for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What the journal calls this build, instead of the app's version and a digest of the executable.
    pub fn build(mut self, build: BuildId) -> Self {
        self.build = Some(build);
        self
    }

    /// Sends the calls of the Apis that `to` knows by name there, whatever base URL the app gives them: for tests and
    /// rehearsals.
    pub fn divert(mut self, to: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.divert = Arc::new(to);
        self
    }

    /// Leaves old runs where they are, and sends no alerts: for tests that move the clock.
    pub fn without_housekeeping(mut self) -> Self {
        self.housekeeping = Housekeeping::Off;
        self
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions").field("build", &self.build).finish_non_exhaustive()
    }
}

/// Why an app cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Settings are missing or wrong: all of them, by name.
    #[error("{}", problems_text(.0))]
    Settings(Vec<(String, String)>),
    /// The variables are those of tests, with secrets that everybody knows, and the store is a real one.
    #[error(
        "stand-ins for variables are for tests, with a store that is given (OpenOptions::store): their secrets are no \
         secrets"
    )]
    StandIns,
    /// The store cannot be opened, or is held by another process.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The routes do not go together.
    #[error("{0}")]
    Routes(#[from] RouteErrors),
}

/// One problem on a line of its own, or several under a heading.
fn problems_text(problems: &[(String, String)]) -> String {
    let list: Vec<_> = problems.iter().map(|(name, what)| format!("{name} {what}")).collect();
    match list.as_slice() {
        [one] => one.clone(),
        many => format!("{} settings are missing or wrong:\n  {}", many.len(), many.join("\n  ")),
    }
}

/// An app that is open in this process: it accepts events, drives runs, and can be asked. Clones are handles to the
/// same app.
///
/// Made by [`App::open`]; it needs a Tokio runtime, and drives its runs there until [`shutdown`](Self::shutdown).
/// [`App::main`] is this with sockets, signals and a command line around it.
///
/// ```no_run
/// use bowline::prelude::*;
///
/// struct Shop { crm: Api }
/// impl Shop {
///     async fn welcome(self: Arc<Self>, cx: Context, email: String) -> Result<()> {
///         cx.step("create contact", self.crm.post("/contacts").json(&email)).await?;
///         Ok(())
///     }
/// }
///
/// # async fn serve() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let welcome = workflow("welcome", Shop::welcome);
/// let app = App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
///     .workflow(welcome.clone())
///     .webhook("/webhooks/stripe", Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("customer.created", welcome.clone()))
///     .open()
///     .await?;
///
/// // Bowline's webhook routes beside the program's own.
/// let router = axum::Router::new().route("/", axum::routing::get(async || "shop")).merge(app.clone().into_router());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// // With the clients' addresses, which `allow_ips` and the limits for each client look at.
/// let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
/// let server = tokio::spawn(async move { axum::serve(listener, service).await });
///
/// // A run that the program itself starts.
/// let run = app.start(&welcome, &"ada@example.com".to_owned()).dedupe("customer-17").await?;
/// run.await?;
/// # server.abort();
/// app.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Durability
/// What was accepted or started is on disk. If the process dies, or all handles are dropped without a shutdown, the
/// next process that opens the store goes on with it.
pub struct OpenApp<S> {
    node: Arc<Node>,
    workflows: Arc<DeclaredWorkflows<S>>,
}

impl<S> Clone for OpenApp<S> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), workflows: self.workflows.clone() }
    }
}

impl<S> fmt::Debug for OpenApp<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenApp").field("engine", &self.node.engine).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> App<S> {
    /// Opens the app inside this program: reads the environment, opens the store, and begins to drive runs.
    ///
    /// It opens no socket: see [`OpenApp::into_router`].
    ///
    /// # Errors
    /// [`OpenError`]: all missing settings at once; a store that cannot be opened or that another process holds.
    pub async fn open(&self) -> Result<OpenApp<S>, OpenError> {
        self.open_with(OpenOptions::default()).await
    }

    /// As [`open`](Self::open), with other surroundings.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(&self, options: OpenOptions) -> Result<OpenApp<S>, OpenError> {
        let built = self.build(&options);
        if options.variables.is_testing() && !matches!(options.store, Place::Given(_)) {
            return Err(OpenError::StandIns);
        }
        let problems = options.variables.problems();
        if !problems.is_empty() {
            return Err(OpenError::Settings(problems));
        }
        let mut store_config = built.config.store.clone();
        let (store, ours): (Arc<dyn Store>, _) = match options.store {
            Place::Given(store) => (store, Owner::Another),
            Place::Configured => (Arc::new(open_store(&store_config, built.clock.clone())?), Owner::Us),
            Place::File(path) => {
                store_config.path = path;
                (Arc::new(open_store(&store_config, built.clock.clone())?), Owner::Us)
            }
        };
        let node = Node::start(&built, store, ours).await?;
        node.start_triggers(&built);
        if options.housekeeping == Housekeeping::On {
            node.keep_house(&built);
        }
        Ok(OpenApp { node: Arc::new(node), workflows: Arc::new(self.declared_workflows()) })
    }
}

impl<S> OpenApp<S> {
    /// The app's webhook routes, without a fallback, to be merged into the router of a larger program.
    ///
    /// That program's server owns the sockets and their deadlines; bodies are limited in bytes by each route. It also has
    /// to say who asks: serve the router with
    /// [`into_make_service_with_connect_info::<SocketAddr>()`](Router::into_make_service_with_connect_info). Without it a
    /// route with `allow_ips` refuses everybody, and there are no limits for each client.
    pub fn into_router(self) -> Router {
        self.node.door.routes()
    }

    /// The pages and the API for operators. There is no login: serve it where only operators reach it.
    pub fn admin(&self) -> Admin {
        self.node.admin()
    }

    /// Describes a run of `workflow` with that input; awaiting it puts the run on disk, and yields a handle to it.
    ///
    /// Not from inside a workflow: a run that is recovered would start it again. (Inside a step's closure it is fine
    /// with the attempt's key: `app.start(..).dedupe(attempt.key())`.)
    ///
    /// # Durability
    /// When the start returns, the run is on disk and will come to an end, whatever becomes of this process or of the
    /// handle. After a crash before that it may be on disk or not: start again with the same
    /// [`dedupe`](Start::dedupe) key.
    pub fn start<I: Serialize, O>(&self, workflow: &Workflow<S, I, O>, input: &I) -> Start<O> {
        let name = workflow.name().clone();
        let body = match self.workflows.get(&name) {
            Some(declared) if declared.has_code_of(workflow.declared()) => {
                serde_json::to_vec(input).map_err(|error| StartError::Input(error.to_string()))
            }
            Some(_) => Err(StartError::Unknown { workflow: name.clone(), other: true }),
            None => Err(StartError::Unknown { workflow: name.clone(), other: false }),
        };
        Start::new(self.node.clone(), name, body)
    }

    /// A handle to a run of which the id is known, its output as JSON. Whether there is such a run shows when it is
    /// asked.
    pub fn run(&self, id: RunId) -> RunHandle<serde_json::Value> {
        RunHandle::new(id, self.node.store.clone())
    }

    pub(crate) fn commands(&self) -> Commands {
        self.node.commands()
    }

    /// Wakes the engine: for whoever wrote to the store past this app, as an operator's commands do.
    pub fn poke(&self) {
        self.node.engine.poke();
    }

    /// How the engine is doing. A poll that asks counts as an attempt under way.
    pub fn progress(&self) -> Progress {
        let (engine, board) = (self.node.engine.progress(), &self.node.board);
        Progress { busy: engine.busy + board.at_work(), attempts: engine.attempts + board.asking(), ..engine }
    }

    /// How the app's schedules, polls and inboxes do, on this node and since its process began.
    pub fn triggers(&self) -> Vec<TriggerState> {
        self.node.board.all()
    }

    /// Answers everybody who waits for a run's result that it goes on: with 202, as if their patience were over. Call it
    /// when the server that serves [`into_router`](Self::into_router) begins to stop, so that it has not to wait for
    /// them.
    pub fn stop_waiting(&self) {
        self.node.stop_accepting();
    }

    /// Stops: who waits for a run's result is told that it goes on later, what is being accepted is finished, calls
    /// under way may end within the app's grace, and the store is closed (unless it was given).
    ///
    /// Stop the server that serves [`into_router`](Self::into_router) first.
    pub async fn shutdown(&self) {
        self.node.stop_accepting();
        self.node.finish().await;
        self.node.close().await;
    }
}
