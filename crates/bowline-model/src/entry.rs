//! What a run's journal consists of.
//!
//! A journal is one sequence per run, only ever appended to. Some kinds of entries are **delivered**: they hold what
//! user code received, and recovery hands them out again in their order. The others are **notes**: they say what
//! happened on the way (a failed attempt, a start, a dropped branch, an operator's retry) and are never handed to
//! user code.

mod role;

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::role::Role;
use crate::{BuildId, Failure, MessageId, Seq};

/// The format this build writes. A reader refuses entries of a higher one.
pub const ENTRY_FORMAT: u8 = 1;

/// What an entry records. The numbers are what is on disk; they never change meaning, and 0 is never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EntryKind {
    /// Delivered: a step's effect happened; the payload is its value.
    StepDone = 1,
    /// Delivered: a step's effect did not happen, definitely; the failure says why.
    StepRefused = 2,
    /// Delivered: a step's effect may have happened; the failure says why that is not known.
    StepUnknown = 3,
    /// Delivered: a recorded `now`, `random` or `uuid`; the payload is its value.
    Value = 4,
    /// Delivered: a durable timer that ended.
    Timer = 5,
    /// Delivered: a consumed signal, callback or approval; the payload is the message.
    Message = 6,
    /// Delivered: a child run's outcome.
    Child = 7,
    /// Delivered: which branch of a race won.
    Race = 8,
    /// Delivered: a state value that was read or written.
    State = 9,
    /// Delivered: the answer of `changed(id)`.
    Changed = 10,
    /// Delivered: a user's transaction, committed with this entry.
    Transaction = 11,
    /// Delivered: a loop that ended; the payload sums up its items.
    Looped = 12,

    /// Note: an attempt failed and another will follow; `next_at` says when.
    AttemptFailed = 32,
    /// Note: an effect is about to start that must not be repeated blindly (`recheck`, `at_most_once`).
    Started = 33,
    /// Note: the code dropped this leaf; what was known of it then.
    Dropped = 34,
    /// Note: an operator retried a dead letter; `forgets` lists the entries that no longer count.
    OperatorRetry = 35,
    /// Note: an undo to run if the run is undone; the payload is the call, as data.
    Undo = 36,
    /// Note: an operator recorded an unknown outcome by hand. With a payload it happened, and the code receives that
    /// value where it asks for the step; without one it did not, and is sent anew. `forgets` lists the entries that no
    /// longer count.
    Settled = 37,
    /// Note: progress of a loop: a watermark and the sparse set above it.
    Items = 38,
    /// Note: a timer, message wait or child was begun.
    Awaited = 39,
    /// Note: the generations of keys that this run took over from another; the payload is a list of
    /// [`InheritedKey`](crate::generation::InheritedKey).
    Inherited = 40,
    /// Note: an effect of this step may have been under way when the process died; `unknown_since` says since when.
    InFlight = 41,
    /// Note: a message was left out, because what waits for it cannot read it; the note says why.
    Misfit = 42,
    /// Note: from here on the run is undone, and nothing of it goes forward; the note says why.
    Undoing = 43,
    /// Note: an item of a loop is a dead letter; the failure says why, and the payload holds the item where the loop cannot
    /// read it again.
    ItemDead = 44,

    /// End: the run completed; the payload is its output.
    Completed = 64,
    /// End: the run became a dead letter; the failure says why. An operator's retry may follow.
    DeadLettered = 65,
    /// End: the run was cancelled or discarded.
    Cancelled = 66,
    /// End: the run went on as another run.
    Continued = 67,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 29] = [
        Self::StepDone,
        Self::StepRefused,
        Self::StepUnknown,
        Self::Value,
        Self::Timer,
        Self::Message,
        Self::Child,
        Self::Race,
        Self::State,
        Self::Changed,
        Self::Transaction,
        Self::Looped,
        Self::AttemptFailed,
        Self::Started,
        Self::Dropped,
        Self::OperatorRetry,
        Self::Undo,
        Self::Settled,
        Self::Items,
        Self::Awaited,
        Self::Inherited,
        Self::InFlight,
        Self::Misfit,
        Self::Undoing,
        Self::ItemDead,
        Self::Completed,
        Self::DeadLettered,
        Self::Cancelled,
        Self::Continued,
    ];

    /// The kind's number on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with that number on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Where in the run's code an entry belongs: the path of loops' items and branches that enclose it, outermost first.
/// The root scope is the empty path; each segment below it begins with `/`, and `/` and `%` in names are escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopePath(String);

impl ScopePath {
    /// The run's own scope.
    pub fn root() -> Self {
        Self::default()
    }

    /// The scope of `name` (a loop's item, a branch) in this one.
    pub fn child(&self, name: &str) -> Self {
        let name = name.replace('%', "%25").replace('/', "%2F");
        Self(format!("{}/{name}", self.0))
    }

    /// Whether `inner` is this scope or one inside it.
    pub fn encloses(&self, inner: &Self) -> bool {
        inner.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path as it is on disk.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with that text on disk.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Which of the equally named entries of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The nth of its name, from 1, in the order in which the code asked.
    Nth(u32),
    /// The one with this key (`.key(k)`): does not depend on order.
    Key(String),
}

/// What an entry is about: a step and a signal of one name do not meet. The numbers are what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Family {
    /// The whole run.
    Run = 0,
    /// A step.
    Step = 1,
    /// A recorded `now`, `random` or `uuid`.
    Value = 2,
    /// A timer.
    Timer = 3,
    /// A signal, callback or approval.
    Message = 4,
    /// A child run.
    Child = 5,
    /// A race, a branch, a loop.
    Branch = 6,
    /// A state value, an answer of `changed`.
    State = 7,
    /// A user's transaction.
    Transaction = 8,
    /// The undo of a step.
    Undo = 9,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 10] = [
        Self::Run,
        Self::Step,
        Self::Value,
        Self::Timer,
        Self::Message,
        Self::Child,
        Self::Branch,
        Self::State,
        Self::Transaction,
        Self::Undo,
    ];

    /// The family's number on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The family with that number on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.code() == code)
    }
}

/// An entry's key: (family, scope path, name, nth or `.key`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryKey {
    /// What it is about.
    pub family: Family,
    /// The enclosing scopes.
    pub scope: ScopePath,
    /// The step's name; `now`, `random`, `uuid` for recorded values; empty for entries about the whole run.
    pub name: String,
    /// Which of that name.
    pub position: Position,
}

impl EntryKey {
    /// The key of entries about the whole run.
    pub fn run() -> Self {
        Self {
            family: Family::Run,
            scope: ScopePath::root(),
            name: String::new(),
            position: Position::Nth(0),
        }
    }

    /// The step that an undo of this key is of.
    pub fn undone_step(&self) -> Self {
        Self { family: Family::Step, ..self.clone() }
    }

    /// What the scope of the loop of this key is called in its own: the loop's name, with its number from the second of
    /// that name on.
    pub fn loop_segment(&self) -> String {
        let name = match self.name.contains('#') {
            // So that no name looks like another's number.
            true => self.name.replace('%', "%25").replace('#', "%23"),
            false => self.name.clone(),
        };
        match &self.position {
            Position::Nth(1) => name,
            Position::Nth(nth) => format!("{name}#{nth}"),
            Position::Key(key) => format!("{name}#={key}"),
        }
    }

    /// The scope in which the loop of this key reads its pages, and in which its items have theirs.
    pub fn loop_scope(&self) -> ScopePath {
        self.scope.child(&self.loop_segment())
    }
}

/// As people read it: `step "sync"#2`, `step "sync"[17]`.
impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", self.scope.as_str(), self.name)?;
        match &self.position {
            Position::Nth(1) => Ok(()),
            Position::Nth(n) => write!(f, "#{n}"),
            Position::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// What identifies a call, without host and credentials: two sides of it are compared on recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The Api's name.
    pub api: String,
    /// The HTTP method.
    pub method: String,
    /// The path below the Api's base URL; empty where the URL is a secret.
    pub path: String,
    /// The query as sent, without secrets; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The first 16 hex digits of the body's SHA-256; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

impl Fingerprint {
    /// Whether both are about the same Api, method and path.
    pub fn same_target(&self, other: &Self) -> bool {
        (&self.api, &self.method, &self.path) == (&other.api, &other.method, &other.path)
    }
}

/// As people read it: `POST crm /contacts/17`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.api, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.body.is_empty() {
            write!(f, " (body {})", self.body)?;
        }
        Ok(())
    }
}

/// An entry's value: one JSON document, as bytes, shared without copying.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    /// If the value's `Serialize` fails, e.g. for a map whose keys are not strings.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|json| Self(json.into()))
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// Says where in the document the type did not fit.
    pub fn decode<T: serde::de::DeserializeOwned>(
        &self,
    ) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
        let mut json = serde_json::Deserializer::from_slice(&self.0);
        let value = serde_path_to_error::deserialize(&mut json)?;
        let end = json.end();
        end.map(|()| value)
            .map_err(|error| serde_path_to_error::Error::new(serde_path_to_error::Track::new().path(), error))
    }

    /// The JSON as it is on disk.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Wraps what [`encode`](Self::encode) wrote and a store kept.
    pub fn from_stored(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }
}

/// Shows the size only: a payload may hold personal data.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// What is known of an entry besides its value. Each field is there where its kind has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMeta {
    /// The Rust type the value was encoded from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_type: Option<String>,
    /// Attempts made up to and including this entry.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// When the first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sent: Option<Timestamp>,
    /// When the first attempt of this key's generation started whose effect is not known. Nothing is sent under the
    /// key once the remote may have forgotten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
    /// What was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The entry that the run's error came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<EntryKey>,
    /// The step from which on a fork does everything itself; said where its journal begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<EntryKey>,
    /// Entries that no longer count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgets: Vec<Seq>,
    /// Free text for people: who did it, or what was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether an undo belongs to the step: what is unknown of it is settled before the run is undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reversible: bool,
    /// The message that it delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// What it records.
    pub kind: EntryKind,
    /// Where it belongs.
    pub key: EntryKey,
    /// When it was made.
    pub at: Timestamp,
    /// The build that made it.
    pub build: BuildId,
    /// What is known of it.
    pub meta: EntryMeta,
    /// Its value.
    pub payload: Option<Payload>,
}
