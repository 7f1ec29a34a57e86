//! A CRM that never deduplicates, and writes each request to a log before it answers.
//!
//! The log survives the CRM's own kill, so that a test can compare, request by request, what was acknowledged at the
//! door with what the world saw. Quick enough to stand behind a load test; for scripted answers use
//! [`MockSystem`](crate::MockSystem).
//!
//! | Request | Answer |
//! |---|---|
//! | `POST /api/contacts` with `X-Api-Key` | 201 `{"id":N,"email":…}`; 401 without the key. What is created is counted, and not listed |
//! | `GET /api/contacts?limit=100&after=CURSOR`, as above | 200 `{"contacts":[{"id":N,"email":…,"name":…,"total_spent_pence":…}],"next":CURSOR}`; `next` is null on the last page |
//! | `PATCH /api/contacts/ID`, as above | 200 with the contact; 404 if it is not there |
//! | `POST /_control` `{"mode":"up"}` | or `"down"`, `"reset"`, `"slow"` (with `"latency_ms":N`); `{"fail_next":N}`; `{"fail_email":{"email":…,"times":N,"status":503}}`; `{"contacts":N,"changing":{"every":N,"most":N,"seed":N}}` lists anew |
//! | `GET /_control` | `{"mode":…,"requests":N,"created":N,"contacts":N,"patches":N}` |
//!
//! | Module | Story |
//! |---|---|
//! | `state` | how it behaves at the moment, and what it was told to |
//! | `listing` | the contacts that are listed, and change by themselves |
//! | `record` | the log |

mod listing;
mod record;
mod state;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use self::{
    listing::{CHANGES_MAX, CONTACTS_MAX, CrmChanges, CrmChanging, PAGE_CONTACTS_MAX},
    record::CrmRecord,
    state::CrmMode,
};
use self::{
    record::Log,
    state::{Control, State, Treated},
};
use crate::server::{Answered, Closed, Server};

/// How long a slow CRM takes if the control request does not say.
pub const LATENCY_SLOW_DEFAULT: Duration = Duration::from_secs(1);

/// Where contacts are.
const CONTACTS: &str = "/api/contacts";

/// How a [`MockCrm`] starts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MockCrmOptions {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The file that requests are appended to; none if absent.
    pub log: Option<PathBuf>,
    /// The one key it accepts; any key if absent.
    pub api_key: Option<String>,
    /// How long each request for contacts takes, unless the CRM is slow.
    pub latency: Duration,
    /// How many requests are answered 503 at first.
    pub fail_first: u64,
    /// How many contacts it lists, with the ids from 1; at most [`CONTACTS_MAX`].
    pub contacts: u64,
    /// How that listing changes by itself; not at all if absent.
    pub changing: Option<CrmChanging>,
}

/// The CRM, on a thread of its own. Dropping it closes its port.
pub struct MockCrm {
    server: Server,
    crm: Arc<Crm>,
}

struct Crm {
    log: Log,
    api_key: Option<String>,
    state: Mutex<State>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Contact {
    email: Option<String>,
    name: Option<String>,
    total_spent_pence: Option<i64>,
}

impl MockCrm {
    /// Starts it.
    ///
    /// # Errors
    /// If the port is taken or the log cannot be opened.
    pub fn start(options: MockCrmOptions) -> io::Result<Self> {
        let (log, state) = (Log::open(options.log.as_deref())?, Mutex::new(State::new(&options)));
        let crm = Arc::new(Crm { log, api_key: options.api_key, state });
        let server = Server::start(options.port, {
            let crm = crm.clone();
            move |request| crm.clone().answer(request)
        })?;
        Ok(Self { server, crm })
    }

    /// Its address: `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// Behaves so from now on.
    pub fn set_mode(&self, mode: CrmMode) {
        self.crm.lock().mode = mode;
    }

    /// How many requests for contacts came.
    pub fn requests(&self) -> u64 {
        self.crm.lock().requests
    }

    /// How many contacts were created. Nothing is deduplicated.
    pub fn created(&self) -> u64 {
        self.crm.lock().created
    }

    /// The ids of the contacts that are listed now, the lower first.
    pub fn contacts(&self) -> Vec<u64> {
        self.crm.lock().listing.ids()
    }

    /// How many `PATCH`es were carried out, those of contacts that are not there included.
    pub fn patches(&self) -> u64 {
        self.crm.lock().listing.patches()
    }

    /// How many `PATCH`es are under way now, and the most that ever were at once.
    pub fn patches_under_way(&self) -> (usize, usize) {
        let state = self.crm.lock();
        (state.patching, state.patching_most)
    }

    /// How often the listing has changed by itself.
    pub fn changes(&self) -> CrmChanges {
        self.crm.lock().listing.changes()
    }

    /// The records of a log, in the order of writing. A last line that was cut off is left out.
    ///
    /// # Errors
    /// If the file cannot be read, or a whole line is not a record.
    pub fn read_log(path: impl AsRef<Path>) -> io::Result<Vec<CrmRecord>> {
        record::read(path.as_ref())
    }
}

impl std::fmt::Debug for MockCrm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockCrm").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// What a request for contacts asks.
enum Asked<'r> {
    Create,
    Page(&'r str),
    Change(u64),
}

/// What becomes of it.
struct Decision {
    nth: u64,
    status: u16,
    answer: Option<Value>,
    created: bool,
    latency: Duration,
}

impl Crm {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Answered {
        let path = request.uri().path();
        let id = path.strip_prefix(CONTACTS).and_then(|id| id.strip_prefix('/')?.parse().ok());
        match (request.method(), path, id) {
            (&Method::POST, CONTACTS, _) => self.contacts(&request, Asked::Create).await,
            (&Method::GET, CONTACTS, _) => {
                self.contacts(&request, Asked::Page(request.uri().query().unwrap_or(""))).await
            }
            (&Method::PATCH, _, Some(id)) => {
                let _under_way = Patching::begin(&self);
                self.contacts(&request, Asked::Change(id)).await
            }
            (&Method::POST, "/_control", _) => Ok(self.control(request.body())),
            (&Method::GET, "/_control", _) => Ok(self.status()),
            _ => Ok(respond(StatusCode::NOT_FOUND, &json!({ "error": "no such page" }))),
        }
    }

    async fn contacts(&self, request: &Request<Bytes>, asked: Asked<'_>) -> Answered {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let contact: Option<Contact> = serde_json::from_slice(request.body()).ok();
        let decision = self.decide(header("x-api-key"), &asked, contact.as_ref());
        let contact = contact.unwrap_or_default();
        self.log.write(&CrmRecord {
            nth: decision.nth,
            at_us: SystemClock.now().as_microsecond(),
            method: request.method().to_string(),
            contact: if let Asked::Change(id) = asked { Some(id) } else { None },
            key: header("idempotency-key").map(str::to_owned),
            email: contact.email,
            name: contact.name,
            total: contact.total_spent_pence,
            status: decision.status,
            created: decision.created,
            body_sha256: hex::encode(Sha256::digest(request.body())),
        });
        if !decision.latency.is_zero() {
            SystemClock.sleep(decision.latency).await;
        }
        let Ok(status) = StatusCode::from_u16(decision.status) else { return Err(Closed) };
        let answer = decision.answer.unwrap_or_else(|| json!({ "error": status.canonical_reason() }));
        Ok(respond(status, &answer))
    }

    fn decide(&self, key: Option<&str>, asked: &Asked<'_>, contact: Option<&Contact>) -> Decision {
        let mut state = self.lock();
        state.requests += 1;
        let (nth, created) = (state.requests, state.created);
        let may_enter = key.is_some_and(|key| self.api_key.as_deref().is_none_or(|right| right == key));
        let treated = match may_enter {
            true => state.treat(contact.and_then(|contact| contact.email.as_deref())),
            false => Treated::Refuses(401),
        };
        let (status, answer) = match treated {
            Treated::Refuses(status) => (status, None),
            Treated::Acts => state.act(asked, contact),
            Treated::ActsAndCloses => (0, state.act(asked, contact).1),
        };
        Decision { nth, status, answer, created: state.created > created, latency: state.latency() }
    }

    fn control(&self, body: &[u8]) -> Response<Full<Bytes>> {
        match serde_json::from_slice::<Control>(body) {
            Ok(control) => self.lock().obey(control),
            Err(error) => return respond(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
        }
        self.status()
    }

    fn status(&self) -> Response<Full<Bytes>> {
        let state = self.lock();
        let status = json!({
            "mode": state.mode,
            "requests": state.requests,
            "created": state.created,
            "contacts": state.listing.len(),
            "patches": state.listing.patches(),
        });
        respond(StatusCode::OK, &status)
    }
}

impl State {
    /// Does what is asked: the status, and what is answered with it.
    fn act(&mut self, asked: &Asked<'_>, contact: Option<&Contact>) -> (u16, Option<Value>) {
        match (asked, contact) {
            (Asked::Page(query), _) => match self.listing.page(query) {
                Ok(page) => (200, Some(page)),
                Err(why) => (400, Some(json!({ "error": why }))),
            },
            (Asked::Create | Asked::Change(_), None) => (400, None),
            (Asked::Create, Some(contact)) => {
                self.created += 1;
                (201, Some(json!({ "id": self.created, "email": contact.email })))
            }
            (Asked::Change(id), Some(contact)) => match self.listing.patch(*id, contact) {
                Some(contact) => (200, Some(contact)),
                None => (404, None),
            },
        }
    }
}

/// Counts a `PATCH` until it is answered, or whoever asks is gone.
struct Patching<'c>(&'c Crm);

impl<'c> Patching<'c> {
    fn begin(crm: &'c Crm) -> Self {
        let mut state = crm.lock();
        state.patching += 1;
        state.patching_most = state.patching_most.max(state.patching);
        Self(crm)
    }
}

impl Drop for Patching<'_> {
    fn drop(&mut self) {
        self.0.lock().patching -= 1;
    }
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
