//! A run as a file: what a test replays against today's code.
//!
//! What comes in: what a store has of a run. What goes out: one JSON document, of a numbered format. It holds the event's
//! body and what the steps yielded, so possibly personal data; never an idempotency key's seed, and no secret.

use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Event, Payload, Run, RunId, RunState, Seq,
    WorkflowName,
};
use bowline_store::{Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::view::{LoopView, loops_of};

/// The format that this build writes and reads.
pub const FIXTURE_FORMAT: u32 = 1;

/// A run with its event and its journal.
///
/// ```
/// use bowline_dashboard::export::{Fixture, FixtureError};
///
/// let newer = Fixture::read(r#"{"format": 9, "something": "new"}"#).unwrap_err();
/// assert!(matches!(newer, FixtureError::Format { found: 9 }));
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fixture {
    /// See [`FIXTURE_FORMAT`].
    pub format: u32,
    /// The app's name.
    pub app: String,
    /// The run.
    pub run: FixtureRun,
    /// The event that started it.
    pub event: Event,
    /// All events of its batch, in the order in which they came; none if it is no batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch: Vec<Event>,
    /// Its journal, the end included.
    pub journal: Vec<FixtureEntry>,
    /// How its loops stood, for people: the journal says the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<LoopView>,
}

/// What is known of the run beside its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FixtureRun {
    /// Its id in the store it comes from.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// The build that created it.
    pub build: BuildId,
    /// Where it stood when it was exported.
    pub state: RunState,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Why it was a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<DeadReason>,
    /// The reason in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// One entry of the journal, with its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FixtureEntry {
    /// See [`Entry::seq`].
    pub seq: Seq,
    /// See [`Entry::kind`].
    pub kind: EntryKind,
    /// See [`Entry::key`].
    pub key: EntryKey,
    /// See [`Entry::at`].
    pub at: Timestamp,
    /// See [`Entry::build`].
    pub build: BuildId,
    /// See [`Entry::meta`].
    pub meta: EntryMeta,
    /// See [`Entry::payload`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

/// Why a text is no fixture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// It is of a format that this build does not read.
    #[error(
        "the fixture has format {found}, and this build reads format {FIXTURE_FORMAT}; export the run again, with the \
         Bowline that reads it"
    )]
    Format {
        /// Its number.
        found: u32,
    },
    /// It is not what `export` writes.
    #[error("this is no exported run: {0}; `export RUN` writes one")]
    Invalid(#[from] serde_json::Error),
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Fixture {
    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`FixtureError`] if it is of another format, or none.
    pub fn read(text: &str) -> Result<Self, FixtureError> {
        let Head { format } = serde_json::from_str(text)?;
        if format != FIXTURE_FORMAT {
            return Err(FixtureError::Format { found: format });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The document, for people to read as well.
    ///
    /// # Panics
    /// Never: all of it has a JSON form.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("all of a fixture has a JSON form");
        json.push('\n');
        json
    }

    /// What the store has of a run; `None` if there is no such run.
    ///
    /// # Errors
    /// What the store says.
    pub async fn export(store: &dyn Store, app: &str, run: RunId) -> Result<Option<Self>, StoreError> {
        let Some(run) = store.run(run).await? else { return Ok(None) };
        let Some(event) = store.event(run.event).await? else { return Ok(None) };
        let journal = store.journal(run.id).await?;
        let history = store.histories(&[run.id]).await?.pop().transpose()?;
        Ok(Some(Self {
            format: FIXTURE_FORMAT,
            app: app.to_owned(),
            run: FixtureRun::from(&run),
            event,
            loops: loops_of(&journal),
            batch: history.map(|history| history.batch).unwrap_or_default(),
            journal: journal.into_iter().map(FixtureEntry::from).collect(),
        }))
    }

    /// The journal as the engine has it.
    pub fn entries(&self) -> Vec<Entry> {
        self.journal.iter().cloned().map(Entry::from).collect()
    }
}

impl From<&Run> for FixtureRun {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id,
            workflow: run.workflow.clone(),
            build: run.build.clone(),
            state: run.state,
            created_at: run.created_at,
            dead_reason: run.dead_reason,
            summary: run.summary.clone(),
        }
    }
}

impl From<Entry> for FixtureEntry {
    fn from(entry: Entry) -> Self {
        let Entry { seq, kind, key, at, build, meta, payload } = entry;
        // As it is on disk, and not by way of a tree of values: numbers keep all their digits.
        let payload = payload.and_then(|payload| serde_json::from_slice(payload.as_bytes()).ok());
        Self { seq, kind, key, at, build, meta, payload }
    }
}

impl From<FixtureEntry> for Entry {
    fn from(entry: FixtureEntry) -> Self {
        let FixtureEntry { seq, kind, key, at, build, meta, payload } = entry;
        let payload = payload.map(|payload| Payload::from_stored(payload.get().to_owned()));
        Self { seq, kind, key, at, build, meta, payload }
    }
}
