//! First-party routes: JSON that a site's own forms and programs post.

use std::{fmt, sync::Arc, time::Duration};

use bowline_ingress::{ClientLimit, Rejection, Route, providers};
use bowline_model::Variables;
use http::HeaderValue;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Workflow,
    auth::{self, MakeAuth},
    guard::Guard,
    input::{Validated, form_to_json, read},
    workflow::Declared,
};

type DedupeBy<I> = dyn Fn(&I) -> Option<String> + Send + Sync;
/// Makes JSON of a form.
type ToJson = dyn Fn(&[u8]) -> Result<Vec<u8>, Rejection> + Send + Sync;
/// Reads a body, and yields what it is deduplicated by.
type Reads = dyn Fn(&[u8]) -> Result<Option<String>, Rejection> + Send + Sync;

/// Who may post to a first-party route, and what a repeated post is. [`start`](Self::start) makes it a route.
///
/// The body is JSON of the workflow's input type `I`. What is not JSON is answered 400; what does not fit the type or
/// is not valid is answered 422 with every field named (problem+json, RFC 9457); neither starts anything.
///
/// | Made by | Who may post |
/// |---|---|
/// | [`open`](Self::open) | everybody |
/// | [`api_key_env`](Self::api_key_env) | who has the key, in a header |
/// | [`bearer_env`](Self::bearer_env) | who has the token, as `Authorization: Bearer` |
/// | [`basic_env`](Self::basic_env) | who has user and password, as `Authorization: Basic` |
///
/// ```
/// use bowline::prelude::*;
/// use garde::Validate;
///
/// struct Site { crm: Api }
///
/// #[derive(Deserialize, Serialize, Validate)]
/// struct Signup {
///     #[garde(length(min = 3, max = 254))]
///     email: String,
/// }
///
/// impl Site {
///     async fn signup(self: Arc<Self>, cx: Context, signup: Signup) -> Result {
///         cx.step("create contact", self.crm.post("/contacts").json(&signup)).await?;
///         Ok(())
///     }
/// }
///
/// let app = App::new("site", |setup| Site { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).post(
///     "/signups",
///     Post::api_key_env("X-Api-Key", "SIGNUP_API_KEY")
///         .dedupe_by(|signup: &Signup| Some(signup.email.to_lowercase()))
///         .start(workflow("signup", Site::signup))
///         .wait(secs(10)),
/// );
/// ```
pub struct Post<I> {
    auth: Arc<MakeAuth>,
    /// What holds the credential; `None` if there is none to have.
    variable: Option<String>,
    /// The same, if the route is open without it.
    or_open: Option<String>,
    dedupe_by: Option<Arc<DedupeBy<I>>>,
    forms: Option<Arc<ToJson>>,
}

impl<I: DeserializeOwned + 'static> Post<I> {
    fn keyed(variable: &str, auth: Arc<MakeAuth>) -> Self {
        Self { auth, variable: Some(variable.to_owned()), or_open: None, dedupe_by: None, forms: None }
    }

    /// Everybody may post. Whoever can reach the route can start runs: give its input limits, and the workflow a
    /// [`concurrency`](Workflow::concurrency).
    pub fn open() -> Self {
        Self { auth: auth::open(), variable: None, or_open: None, dedupe_by: None, forms: None }
    }

    /// Who sends the key of that variable in that header. Several keys, separated by commas, are all accepted: for the
    /// time in which one replaces another.
    pub fn api_key_env(header: &str, variable: &str) -> Self {
        Self::keyed(variable, auth::api_key(header, variable))
    }

    /// Who sends the token of that variable as `Authorization: Bearer` (RFC 6750). Several, separated by commas, are
    /// all accepted.
    pub fn bearer_env(variable: &str) -> Self {
        Self::keyed(variable, auth::bearer(variable))
    }

    /// Who sends user and password of those variables as `Authorization: Basic` (RFC 7617).
    pub fn basic_env(user_variable: &str, password_variable: &str) -> Self {
        Self::keyed(password_variable, auth::basic(user_variable, password_variable))
    }

    /// Everybody may post if the variable is not set at all. (Set to nothing is a mistake, and told as one.) `check` and
    /// a warning at the start say that the route is open.
    pub fn or_open(mut self) -> Self {
        if let Some(variable) = self.variable.clone() {
            self.or_open = Some(variable.clone());
            let keyed = self.auth;
            self.auth = Arc::new(move |variables| match variables.is_set(&variable) {
                true => keyed(variables),
                false => Some(providers::Auth::Open),
            });
        }
        self
    }

    /// Posts of which `f` yields the same are one: the first starts the run, the others find it. `None`: this one is
    /// not taken for another. On an open route one with another body is only told that it is a duplicate: whoever knows
    /// what somebody is known by must not see their result. Without `dedupe_by` the `Idempotency-Key` header says it, and posts without that header
    /// are all new.
    pub fn dedupe_by(mut self, f: impl Fn(&I) -> Option<String> + Send + Sync + 'static) -> Self {
        self.dedupe_by = Some(Arc::new(f));
        self
    }

    /// Also takes what HTML forms send (`application/x-www-form-urlencoded`), read into the same type: numbers and `true`
    /// are read from text, a repeated field is a list, and an empty field is none where the type says `Option`. What is
    /// kept is the input as JSON.
    ///
    /// Pages of every origin can send a form without asking first; [`allow_origin`](PostRoute::allow_origin) is for pages
    /// that want to read the answer.
    ///
    /// ```
    /// use bowline::prelude::*;
    /// use garde::Validate;
    ///
    /// struct Site;
    ///
    /// #[derive(Deserialize, Serialize, Validate)]
    /// struct Booking {
    ///     #[garde(length(min = 3, max = 254))]
    ///     email: String,
    ///     #[garde(range(min = 1, max = 9))]
    ///     seats: u8,
    /// }
    ///
    /// impl Site {
    ///     async fn book(self: Arc<Self>, cx: Context, booking: Booking) -> Result { Ok(()) }
    /// }
    ///
    /// let app = App::new("site", |_| Site).post(
    ///     "/bookings",
    ///     Post::open().forms().start(workflow("book", Site::book)).thanks("https://www.example.com/thanks"),
    /// );
    /// ```
    pub fn forms(mut self) -> Self
    where
        I: Serialize,
    {
        self.forms = Some(Arc::new(form_to_json::<I>));
        self
    }

    /// The route: each post whose input is valid starts one run of `workflow`.
    pub fn start<S, O>(self, workflow: Workflow<S, I, O>) -> PostRoute<S>
    where
        I: Validated,
    {
        self.route(workflow, |input| match input.problems() {
            valid if valid.is_empty() => Ok(()),
            errors => Err(Rejection::Invalid { errors }),
        })
    }

    /// As [`start`](Self::start), for an input that fits its type and of which nothing else is asked.
    pub fn start_unvalidated<S, O>(self, workflow: Workflow<S, I, O>) -> PostRoute<S> {
        self.route(workflow, |_| Ok(()))
    }

    fn route<S, O>(
        self,
        workflow: Workflow<S, I, O>,
        validate: impl Fn(&I) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> PostRoute<S> {
        let dedupe_by = self.dedupe_by;
        let reads = move |body: &[u8]| {
            let input: I = read(body)?;
            validate(&input)?;
            Ok(dedupe_by.as_ref().and_then(|dedupe_by| dedupe_by(&input)))
        };
        PostRoute {
            auth: self.auth,
            or_open: self.or_open,
            reads: Arc::new(reads),
            forms: self.forms,
            thanks: None,
            workflow: workflow.into_declared(),
            dedupe_for: None,
            body_bytes_max: None,
            wait: None,
            origins: vec![],
            guard: Guard::default(),
        }
    }
}

/// A first-party route. Made by [`Post::start`].
pub struct PostRoute<S> {
    auth: Arc<MakeAuth>,
    or_open: Option<String>,
    reads: Arc<Reads>,
    forms: Option<Arc<ToJson>>,
    thanks: Option<String>,
    workflow: Declared<S>,
    dedupe_for: Option<Duration>,
    body_bytes_max: Option<usize>,
    wait: Option<Duration>,
    origins: Vec<String>,
    guard: Guard,
}

impl<S> PostRoute<S> {
    /// Answers with the run's result, once the run has completed and that is on disk. If it takes longer than `limit`,
    /// the answer is 202 with an address in `Location`, where the result will be. A repeated post waits for the run
    /// that the first one started.
    ///
    /// Without it the answer is given as soon as the event is on disk.
    ///
    /// # Durability
    /// The run comes to its end whatever becomes of the sender or of this process; the address is good for as long as
    /// the run is kept.
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = Some(limit);
        self
    }

    /// Where a browser goes that has sent a [form](Post::forms): a page that says so. It is answered 303 as soon as the
    /// event is on disk; posts of JSON are answered as ever.
    pub fn thanks(mut self, page: &str) -> Self {
        self.thanks = Some(page.to_owned());
        self
    }

    /// Pages of that origin may post from a browser (CORS): `https://www.example.com`. Call it for each.
    pub fn allow_origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// For how long a repeated post is recognised; see [`providers::post::DEDUPE_FOR`] unless set.
    pub fn dedupe_for(mut self, time: Duration) -> Self {
        self.dedupe_for = Some(time);
        self
    }

    /// How large a body may be; 1 MiB unless set. Larger ones are answered 413.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = Some(bytes);
        self
    }

    /// Takes requests of these addresses (`192.0.2.1`) and ranges (`192.0.2.0/24`, `2001:db8::/32`) only; others are
    /// answered 403. Needs `BOWLINE_TRUSTED_PROXIES`: the proxies in front, or `none`.
    pub fn allow_ips(mut self, ranges: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.guard.allowed.extend(ranges.into_iter().map(Into::into));
        self
    }

    /// How many requests each client may send here, in that time; more are answered 429. 1,000 a second with bursts of
    /// 10,000 unless set. Needs `BOWLINE_TRUSTED_PROXIES`, without which nobody is limited.
    pub fn client_limit(mut self, requests: u32, per: Duration) -> Self {
        self.guard.limit = Some(ClientLimit::of(requests, per));
        self
    }

    pub(crate) fn workflow(&self) -> &Declared<S> {
        &self.workflow
    }

    /// Whether everybody may post because a variable is not set: its name.
    pub(crate) fn left_open(&self, variables: &Variables) -> Option<&str> {
        self.or_open.as_deref().filter(|variable| !variables.is_set(variable))
    }

    /// The route at `path`. Problems with its variables are recorded there.
    pub(crate) fn route(&self, path: &str, variables: &Variables) -> Option<Route> {
        let reads = self.reads.clone();
        let mut post = providers::Post::new((self.auth)(variables)?, move |body: &[u8]| reads(body));
        if let Some(time) = self.dedupe_for {
            post = post.dedupe_for(time);
        }
        if let Some(to_json) = self.forms.clone() {
            post = post.forms(move |body: &[u8]| to_json(body));
        }
        match self.thanks.as_ref().map(HeaderValue::try_from) {
            Some(Ok(page)) => post = post.thanks(page),
            Some(Err(_)) => variables.problem(
                format!("route {path}"),
                "has a page of thanks that is no URL: write one of ASCII, as https://www.example.com/thanks",
            ),
            None => {}
        }
        let mut route = Route::new(path, Arc::new(post)).on("*", self.workflow.name().clone());
        if let Some(bytes) = self.body_bytes_max {
            route = route.body_bytes_max(bytes);
        }
        if let Some(limit) = self.wait {
            route = route.wait(limit);
        }
        let route = self.guard.stand_before(route);
        Some(self.origins.iter().fold(route, |route, origin| route.allow_origin(origin)))
    }
}

impl<I> fmt::Debug for Post<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("variable", &self.variable).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for PostRoute<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostRoute")
            .field("workflow", &self.workflow)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
