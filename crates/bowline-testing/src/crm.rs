//! A CRM that never deduplicates, and writes each request to a log before it answers.
//!
//! The log survives the CRM's own kill, so that a test can compare, request by request, what was acknowledged at the
//! door with what the world saw. Quick enough to stand behind a load test; for scripted answers use
//! [`MockSystem`](crate::MockSystem).
//!
//! | Request | Answer |
//! |---|---|
//! | `POST /api/contacts` with `X-Api-Key` | 201 `{"id":N,"email":…}`; 401 without the key |
//! | `POST /_control` `{"mode":"up"}` | or `"down"`, `"reset"`, `"slow"` (with `"latency_ms":N`); `{"fail_next":N}`; `{"fail_email":{"email":…,"times":N,"status":503}}` |
//! | `GET /_control` | `{"mode":…,"requests":N,"created":N}` |

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Answered, Closed, Server};

/// How long a slow CRM takes if the control request does not say.
pub const LATENCY_SLOW_DEFAULT: Duration = Duration::from_secs(1);

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
    /// How long each contact takes, unless the CRM is slow.
    pub latency: Duration,
    /// How many requests are answered 503 at first.
    pub fail_first: u64,
}

/// How a [`MockCrm`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrmMode {
    /// Creates contacts.
    Up,
    /// Answers 503 and creates nothing.
    Down,
    /// Creates the contact, then closes the connection without an answer.
    Reset,
    /// Creates the contact, and answers after `latency_ms` (1 s unless told).
    Slow,
}

/// One line of the log: one request for a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CrmRecord {
    /// Its place in the order of arrival, from 1.
    pub nth: u64,
    /// When it came, in microseconds since 1970.
    pub at_us: i64,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The contact's e-mail address.
    pub email: Option<String>,
    /// The contact's name.
    pub name: Option<String>,
    /// The contact's `total_spent_pence`.
    pub total: Option<i64>,
    /// The status it was answered with; 0 if the connection was closed instead.
    pub status: u16,
    /// Whether a contact was created.
    pub created: bool,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
}

/// The CRM, on a thread of its own. Dropping it closes its port.
pub struct MockCrm {
    server: Server,
    crm: Arc<Crm>,
}

struct Crm {
    log: Option<File>,
    api_key: Option<String>,
    state: Mutex<State>,
}

struct State {
    mode: CrmMode,
    latency: Duration,
    latency_slow: Duration,
    requests: u64,
    created: u64,
    fail_next: u64,
    fail_emails: HashMap<String, FailEmail>,
}

#[derive(Deserialize)]
struct FailEmail {
    email: String,
    /// For good if absent.
    times: Option<u64>,
    status: u16,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    mode: Option<CrmMode>,
    latency_ms: Option<u64>,
    fail_next: Option<u64>,
    fail_email: Option<FailEmail>,
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
        let log = match &options.log {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        let state = Mutex::new(State {
            mode: CrmMode::Up,
            latency: options.latency,
            latency_slow: LATENCY_SLOW_DEFAULT,
            requests: 0,
            created: 0,
            fail_next: options.fail_first,
            fail_emails: HashMap::new(),
        });
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

    /// The records of a log, in the order of writing. A last line that was cut off is left out.
    ///
    /// # Errors
    /// If the file cannot be read, or a whole line is not a record.
    pub fn read_log(path: impl AsRef<Path>) -> io::Result<Vec<CrmRecord>> {
        let text = std::fs::read_to_string(path)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
    }
}

impl std::fmt::Debug for MockCrm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockCrm").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// What becomes of one request for a contact.
struct Decision {
    nth: u64,
    status: u16,
    created: Option<u64>,
    latency: Duration,
}

impl Crm {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Answered {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/api/contacts") => self.contact(&request).await,
            (&Method::POST, "/_control") => Ok(self.control(request.body())),
            (&Method::GET, "/_control") => Ok(self.status()),
            _ => Ok(respond(StatusCode::NOT_FOUND, &json!({ "error": "no such page" }))),
        }
    }

    async fn contact(&self, request: &Request<Bytes>) -> Answered {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let contact: Option<Contact> = serde_json::from_slice(request.body()).ok();
        let decision = self.decide(header("x-api-key"), contact.as_ref());
        let contact = contact.unwrap_or_default();
        let record = CrmRecord {
            nth: decision.nth,
            at_us: SystemClock.now().as_microsecond(),
            key: header("idempotency-key").map(str::to_owned),
            email: contact.email,
            name: contact.name,
            total: contact.total_spent_pence,
            status: decision.status,
            created: decision.created.is_some(),
            body_sha256: hex::encode(Sha256::digest(request.body())),
        };
        self.write(&record);
        if !decision.latency.is_zero() {
            SystemClock.sleep(decision.latency).await;
        }
        let Ok(status) = StatusCode::from_u16(decision.status) else { return Err(Closed) };
        let answer = match decision.created {
            Some(id) => json!({ "id": id, "email": record.email }),
            None => json!({ "error": status.canonical_reason() }),
        };
        Ok(respond(status, &answer))
    }

    fn decide(&self, key: Option<&str>, contact: Option<&Contact>) -> Decision {
        let mut state = self.lock();
        state.requests += 1;
        let nth = state.requests;
        let may_enter = key.is_some_and(|key| self.api_key.as_deref().is_none_or(|right| right == key));
        let (status, creates) = match (may_enter, contact) {
            (false, _) => (401, false),
            (true, None) => (400, false),
            (true, Some(contact)) => state.treat(contact.email.as_deref()),
        };
        state.created += u64::from(creates);
        let latency = match state.mode {
            CrmMode::Slow => state.latency_slow,
            CrmMode::Up | CrmMode::Down | CrmMode::Reset => state.latency,
        };
        Decision { nth, status, created: creates.then_some(state.created), latency }
    }

    /// One write on a file opened for appending: whole lines, whoever else writes, and there before the answer.
    fn write(&self, record: &CrmRecord) {
        let Some(mut log) = self.log.as_ref() else { return };
        let mut line = serde_json::to_vec(record).expect("a record is JSON");
        line.push(b'\n');
        log.write_all(&line).expect("the CRM's log can be written; without it no test may go on");
    }

    fn control(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let control: Control = match serde_json::from_slice(body) {
            Ok(control) => control,
            Err(error) => return respond(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
        };
        let mut state = self.lock();
        if let Some(mode) = control.mode {
            state.mode = mode;
        }
        if let Some(latency) = control.latency_ms {
            state.latency_slow = Duration::from_millis(latency);
        }
        if let Some(times) = control.fail_next {
            state.fail_next = times;
        }
        if let Some(fail) = control.fail_email {
            state.fail_emails.insert(fail.email.clone(), fail);
        }
        drop(state);
        self.status()
    }

    fn status(&self) -> Response<Full<Bytes>> {
        let state = self.lock();
        let status = json!({ "mode": state.mode, "requests": state.requests, "created": state.created });
        respond(StatusCode::OK, &status)
    }
}

impl State {
    /// The status for an admitted request, 0 for a closed connection, and whether it creates a contact.
    fn treat(&mut self, email: Option<&str>) -> (u16, bool) {
        if self.fail_next > 0 {
            self.fail_next -= 1;
            return (503, false);
        }
        if let Some(fail) = email.and_then(|email| self.fail_emails.get_mut(email))
            && fail.times != Some(0)
        {
            fail.times = fail.times.map(|times| times - 1);
            return (fail.status, false);
        }
        match self.mode {
            CrmMode::Up | CrmMode::Slow => (201, true),
            CrmMode::Down => (503, false),
            CrmMode::Reset => (0, true),
        }
    }
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
