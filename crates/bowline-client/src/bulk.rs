//! Exports that a remote makes while one waits: started, asked about, then read.
//!
//! What comes in: the call that starts the job, how to ask about it, and which of its states mean what. What goes out:
//! calls that are steps of a run: one starts, one waits until it is ready, and the result is read from where the remote
//! then says. What must never happen here: a result's URL in a journal (whoever has it can read the export), or
//! credentials sent to another host along with it.
//!
//! | Module | Story |
//! |---|---|
//! | `read` | what answers say of a job |

mod read;

use std::{fmt, sync::Arc, time::Duration};

use bowline_model::Error;
use serde::{Deserialize, Serialize};

use self::read::{Begun, Look, Place, Ready, Url as ResultUrl};
use crate::{
    Api, Call,
    address::{Address, is_loopback},
    page::turn::below_base,
};

/// How often a job is asked about, unless said otherwise or by the remote.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a job may take that is waited for alone.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A job at the remote. It can be recorded.
///
/// # As a journal keeps it
/// ```
/// let job: bowline_client::Job = serde_json::from_str(r#"{"id":"17"}"#)?;
/// assert_eq!(job.id(), "17");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    id: String,
}

impl Job {
    /// What the remote calls it: its id, or path and query of where its state is.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// How far a job is. It can be recorded.
///
/// # As a journal keeps it
/// ```
/// let progress: bowline_client::Progress =
///     serde_json::from_str(r#"{"state":"RUNNING","ready":false,"wait":{"secs":10,"nanos":0}}"#)?;
/// assert_eq!((progress.ready, progress.wait.as_secs()), (false, 10));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The state, in the remote's word; empty where it has none.
    pub state: String,
    /// Whether it is over, and went well. A job that failed is an error.
    pub ready: bool,
    /// How long to wait before it is asked about again: as the remote says, else the interval.
    pub wait: Duration,
}

/// An asynchronous export, described: what [`Api::bulk`] makes.
///
/// | Option | Default |
/// |---|---|
/// | [`job_id`](Bulk::job_id), [`job_url`](Bulk::job_url), [`job_location`](Bulk::job_location) | the id at `id` |
/// | [`status`](Bulk::status) | a GET of the job's own URL; needed for ids |
/// | [`state`](Bulk::state) | a 202 means that it is not ready, any other 2xx that it is |
/// | [`every`](Bulk::every) | 10 s, or as `Retry-After` says |
/// | [`result_url`](Bulk::result_url), [`result`](Bulk::result) | needed |
/// | [`results_from`](Bulk::results_from) | the public web, without credentials |
///
/// # Durability
/// Each part is a call, for a step of its own. [`start`](Bulk::start) carries the idempotency key, so that a crash starts
/// no second export; [`finished`](Bulk::finished) is one step whose attempts are the looks at the job, so that a run
/// that waits holds nothing, and goes on waiting after a crash; [`open`](Bulk::open) asks again for the result's URL,
/// which is therefore fresh, and in no journal.
///
/// # Orders of a shop
/// ```no_run
/// # use std::time::Duration;
/// # async fn f(shop: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// use bowline_client::segment;
///
/// let export = shop
///     .bulk(shop.post("/exports").json(&serde_json::json!({"of": "orders"})))
///     .job_id("export.id")
///     .status(|shop, id| shop.get(&format!("/exports/{}", segment(id))))
///     .state("export.status", &["completed"], &["failed", "canceled"])
///     .every(Duration::from_secs(30))
///     .result_url("export.url");
///
/// // In a run: cx.step("start", export.start()), then cx.step("ready", export.finished(&job)).
/// let job = export.start().send().await?;
/// export.wait(&job).await?;
/// let lines = export.open(&job).await?.send().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "an export is only a description: start it"]
pub struct Bulk {
    api: Api,
    start: Call,
    job: Place,
    status: Option<Ask>,
    look: Look,
    result: Option<Outcome>,
    web: Option<Api>,
    give_up_after: Duration,
}

type Ask = Arc<dyn Fn(&Api, &str) -> Call + Send + Sync>;

/// Where the result is.
#[derive(Clone)]
enum Outcome {
    Url(String),
    Call(Ask),
}

impl Api {
    /// Describes an asynchronous export, which that call starts.
    ///
    /// # An export with its id
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).status(|crm, id| crm.get(&format!("/exports/{id}"))).result_url("url");
    /// # let _ = export;
    /// ```
    pub fn bulk(&self, start: Call) -> Bulk {
        Bulk {
            api: self.clone(),
            start,
            job: Place::Id("id".into()),
            status: None,
            look: Look { state: None, interval: INTERVAL },
            result: None,
            web: None,
            give_up_after: GIVE_UP_AFTER,
        }
    }
}

impl Bulk {
    /// Where the answer to the start has the job's id. At `id` unless said.
    ///
    /// # Within an object
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).job_id("data.export_id");
    /// # let _ = export;
    /// ```
    pub fn job_id(mut self, path: &str) -> Self {
        self.job = Place::Id(path.into());
        self
    }

    /// Where the answer to the start has the URL at which the job's state is: below the base URL.
    ///
    /// # A URL in the body
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).job_url("links.status").result_url("links.file");
    /// # let _ = export;
    /// ```
    pub fn job_url(mut self, path: &str) -> Self {
        self.job = Place::Url(path.into());
        self
    }

    /// The answer to the start says in its header `Location` where the job's state is, as it should with a 202.
    ///
    /// # A 202 with its Location
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).job_location().result_url("file");
    /// # let _ = export;
    /// ```
    pub fn job_location(mut self) -> Self {
        self.job = Place::Location;
        self
    }

    /// The call that asks about the job with that id.
    ///
    /// # By id
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// use bowline_client::segment;
    ///
    /// let export = crm.bulk(crm.post("/exports")).status(|crm, id| crm.get(&format!("/exports/{}", segment(id))));
    /// # let _ = export;
    /// ```
    pub fn status(mut self, ask: impl Fn(&Api, &str) -> Call + Send + Sync + 'static) -> Self {
        self.status = Some(Arc::new(ask));
        self
    }

    /// Where the status has the job's state, in which states it is ready, and in which it failed. In all others, in any
    /// case of letters, it is under way.
    ///
    /// # Two words for the end
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).state("status", &["done", "empty"], &["failed", "expired"]);
    /// # let _ = export;
    /// ```
    pub fn state(mut self, path: &str, ready: &[&str], failed: &[&str]) -> Self {
        let all = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect();
        self.look.state = Some(read::States { path: path.into(), ready: all(ready), failed: all(failed) });
        self
    }

    /// How often the job is asked about; `Retry-After` goes before it. 10 s unless set.
    ///
    /// # Once a minute
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).every(std::time::Duration::from_secs(60));
    /// # let _ = export;
    /// ```
    pub fn every(mut self, interval: Duration) -> Self {
        self.look.interval = interval;
        self
    }

    /// How long [`wait`](Bulk::wait) waits at most. 24 h unless set. In a run the step's own schedule says it.
    ///
    /// # An hour
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).give_up_after(std::time::Duration::from_secs(3600));
    /// # let _ = export;
    /// ```
    pub fn give_up_after(mut self, whole: Duration) -> Self {
        self.give_up_after = whole;
        self
    }

    /// Where the status of a job that is ready has its result's URL. On another host of the public web it is called
    /// without credentials. It is never recorded or shown, for it is a key itself.
    ///
    /// # Beside the state
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).state("status", &["done"], &["failed"]).result_url("download_url");
    /// # let _ = export;
    /// ```
    pub fn result_url(mut self, path: &str) -> Self {
        self.result = Some(Outcome::Url(path.into()));
        self
    }

    /// The Api that calls result URLs on other hosts: made with [`public_web`](Api::public_web), and told of what it may
    /// call besides.
    ///
    /// # A store of files inside
    /// ```
    /// # use bowline_client::Api;
    /// # let shop = Api::new("shop").base_url("https://shop.example.com");
    /// let files = Api::new("files").public_web().allow_internal_host("files.internal");
    /// let export = shop.bulk(shop.post("/exports")).result_url("url").results_from(files);
    /// ```
    pub fn results_from(mut self, web: Api) -> Self {
        self.web = Some(web);
        self
    }

    /// The call that gets the result of the job with that id.
    ///
    /// # At a place of its own
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).result(|crm, id| crm.get(&format!("/exports/{id}/rows")));
    /// # let _ = export;
    /// ```
    pub fn result(mut self, ask: impl Fn(&Api, &str) -> Call + Send + Sync + 'static) -> Self {
        self.result = Some(Outcome::Call(Arc::new(ask)));
        self
    }

    /// The call that starts the job.
    ///
    /// # Started once
    /// ```no_run
    /// # async fn f(export: bowline_client::Bulk) -> Result<(), bowline_model::Error> {
    /// let job = export.start().send().await?;
    /// println!("{}", job.id());
    /// # Ok(()) }
    /// ```
    pub fn start(&self) -> Call<Job> {
        self.start.clone().reading(Begun { place: self.job.clone(), base: self.api.base() })
    }

    /// One look at the job.
    ///
    /// # Errors
    /// A job that failed refuses, with its state as the [code](Error::code).
    ///
    /// # One look
    /// ```no_run
    /// # async fn f(export: bowline_client::Bulk, job: bowline_client::Job) -> Result<(), bowline_model::Error> {
    /// let progress = export.progress(&job).send().await?;
    /// println!("{}", progress.state);
    /// # Ok(()) }
    /// ```
    pub fn progress(&self, job: &Job) -> Call<Progress> {
        self.ask(job).reading(self.look.clone())
    }

    /// The job's end: asked about until it is there, at the interval. In a run each look that finds it under way is an
    /// attempt, and the time between two looks a durable wait; the step's schedule ends it (20 h unless set).
    ///
    /// # Errors
    /// As [`progress`](Bulk::progress).
    ///
    /// # What a step takes
    /// ```
    /// use bowline_model::Effect;
    ///
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// let export = crm.bulk(crm.post("/exports")).status(|crm, id| crm.get(&format!("/exports/{id}")));
    /// # let job: bowline_client::Job = serde_json::from_str(r#"{"id":"17"}"#)?;
    /// assert_eq!(export.finished(&job).shape().fingerprint.unwrap().path, "/exports/17");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn finished(&self, job: &Job) -> Call<Progress> {
        self.ask(job).reading(Ready(self.look.clone()))
    }

    /// Waits for the job's end. For use alone.
    ///
    /// # Durability
    /// None. In a run, [`finished`](Bulk::finished).
    ///
    /// # Errors
    /// As [`progress`](Bulk::progress); and when it takes too long.
    ///
    /// # Alone
    /// ```no_run
    /// # async fn f(export: bowline_client::Bulk) -> Result<(), bowline_model::Error> {
    /// let job = export.start().send().await?;
    /// export.wait(&job).await?;
    /// # Ok(()) }
    /// ```
    pub async fn wait(&self, job: &Job) -> Result<Progress, Error> {
        let clock = self.api.settings().clock.clone();
        let started = clock.now();
        loop {
            let progress = self.progress(job).send().await?;
            if progress.ready {
                return Ok(progress);
            }
            let spent = Duration::try_from(clock.now().duration_since(started)).unwrap_or_default();
            if spent + progress.wait > self.give_up_after {
                return Err(Error::retryable(format!(
                    "the export {:?} of {} is still {:?} after {} s (limit {} s): wait longer with .give_up_after",
                    job.id,
                    self.api.name(),
                    progress.state,
                    spent.as_secs(),
                    self.give_up_after.as_secs()
                )));
            }
            clock.sleep(progress.wait).await;
        }
    }

    /// The call that gets the result of a job that is ready: stream it, download it, or send it.
    ///
    /// # Durability
    /// Asks the remote for the result's URL, so it belongs where the result is read: within one closure of a step.
    ///
    /// # Errors
    /// As [`progress`](Bulk::progress); and if the job is still not ready when the Api's schedule ends.
    ///
    /// # Read whole
    /// ```no_run
    /// # async fn f(export: bowline_client::Bulk, job: bowline_client::Job) -> Result<(), bowline_model::Error> {
    /// let rows = export.open(&job).await?.send().await?;
    /// println!("{}", rows.text());
    /// # Ok(()) }
    /// ```
    pub async fn open(&self, job: &Job) -> Result<Call, Error> {
        let path = match &self.result {
            Some(Outcome::Call(ask)) => return Ok(ask(&self.api, &job.id)),
            Some(Outcome::Url(path)) => path.clone(),
            None => {
                return Err(Error::refused(format!(
                    "the export of {} does not say where its result is: give it .result_url or .result",
                    self.api.name()
                )));
            }
        };
        let url = self.ask(job).reading(ResultUrl { path, look: self.look.clone() }).send().await?;
        let call = self.at(&url.0, &url.1).map_err(|what| {
            Error::refused(format!("the result of the export {:?} of {} {what}", job.id, self.api.name()))
        })?;
        Ok(call)
    }

    fn ask(&self, job: &Job) -> Call {
        match &self.status {
            Some(ask) => ask(&self.api, &job.id),
            None if matches!(self.job, Place::Id(_)) => self.api.get("").problem(format!(
                "nobody said how to ask about the export {:?}: give it .status(|api, id| …)",
                job.id
            )),
            None => self.api.get_at(&job.id),
        }
    }

    /// The call to a URL that the status gave: to the Api itself, or to a stranger.
    fn at(&self, url: &str, from: &url::Url) -> Result<Call, String> {
        let settings = self.api.settings();
        if let Ok(place) = below_base(url, from, self.api.base().as_ref(), &settings.scrub) {
            return Ok(self.api.get_at(&place));
        }
        let url = from.join(url).map_err(|error| format!("is at a URL that is none: {error}"))?;
        let web = self.web.clone().unwrap_or_else(|| web_of(&self.api, &url));
        Ok(web.get_url(url))
    }
}

/// The same client for the public web, without what proves who calls. What is on this machine may lead to this machine:
/// remotes under test have their files there.
fn web_of(api: &Api, url: &url::Url) -> Api {
    let home = api.settings().address.as_ref().is_some_and(Address::is_loopback);
    let web = api.clone().with(|settings| {
        settings.credentials.clear();
        settings.certificate = None;
        settings.address = None;
    });
    let web = web.public_web();
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) if home && is_loopback(url) => {
            web.allow_internal_host(host).allow_port(port).allow_plain_http()
        }
        _ => web,
    }
}

/// Shows the Api, and where things are in answers.
impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk")
            .field("start", &self.start)
            .field("job", &self.job)
            .field("look", &self.look)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// The base URL; none of a secret one.
    pub(crate) fn base(&self) -> Option<url::Url> {
        let address = self.settings().address.as_ref().filter(|address| !address.is_secret())?;
        address.join("").ok()
    }

    /// A GET of a path with its query, as a remote gave them.
    pub(crate) fn get_at(&self, place: &str) -> Call {
        let (path, query) = place.split_once('?').unwrap_or((place, ""));
        let parameters = url::form_urlencoded::parse(query.as_bytes());
        parameters.fold(self.get(path), |call, (name, value)| call.query(&name, value))
    }
}
