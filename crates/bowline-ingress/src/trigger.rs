//! What schedules, polls and inboxes share: their way to the one door, and the board that shows how they do.
//!
//! What comes in: events that a trigger of the program made, with the cursor that says how far it got. What goes out:
//! both on disk in one transaction, and the engine woken. What must never happen here: an event on disk without its
//! cursor, or a cursor moved without its events.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bowline_model::{Alert, AlertKind, Alerts, BuildId, Clock, FlowRules, WorkflowName};
use bowline_store::{Accepted, CursorMove, Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;

use crate::{Receipt, VerifiedEvent, accept_all};

/// Longest error that the board keeps; a longer one is cut.
pub const LAST_ERROR_BYTES_MAX: usize = 500;

/// After so many failures in a row a person should hear of it: fewer are a remote that hiccups.
pub const FAILURES_TOLD_MIN: u32 = 3;

/// First wait before a trigger that failed tries again; doubles to [`RETRY_WAIT_MAX`].
pub const RETRY_WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest wait before a trigger that failed tries again.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long to wait after that many failures in a row before trying again.
///
/// ```
/// # use std::time::Duration;
/// # use bowline_ingress::trigger::retry_wait;
/// assert_eq!([1, 2, 3, 7, 1000].map(|failures| retry_wait(failures).as_secs()), [1, 2, 4, 60, 60]);
/// ```
pub fn retry_wait(failures_in_a_row: u32) -> Duration {
    let doublings = failures_in_a_row.saturating_sub(1).min(u32::BITS - 1);
    RETRY_WAIT_MIN.saturating_mul(1 << doublings).min(RETRY_WAIT_MAX)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// The way in for events that the program makes by itself. Clones lead to the same store.
#[derive(Clone)]
pub struct Intake {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    build: BuildId,
    rules: FlowRules,
    on_accepted: Arc<dyn Fn() + Send + Sync>,
    on_later: Arc<dyn Fn(Timestamp) + Send + Sync>,
}

impl Intake {
    /// A way into that store. `on_accepted` is called after a commit that brought a run: it wakes the engine.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        build: BuildId,
        on_accepted: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { store, clock, build, rules: FlowRules::default(), on_accepted, on_later: Arc::new(|_| {}) }
    }

    /// `on_later` is called after a commit that brought runs which [begin later](VerifiedEvent::runs_not_before), with
    /// the time: it tells the engine when to look.
    pub fn on_later(mut self, on_later: Arc<dyn Fn(Timestamp) + Send + Sync>) -> Self {
        self.on_later = on_later;
        self
    }

    /// The rules by which the workflows' runs begin; none unless said.
    pub fn flow_rules(mut self, rules: FlowRules) -> Self {
        self.rules = rules;
        self
    }

    /// Time and chance.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The store, to read.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where a cursor is; `None`: it was never moved.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn cursor(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.store.cursor(name).await
    }

    /// Puts events on disk with their runs, and moves a cursor, in one transaction; then wakes the engine. See
    /// [`accept_all`].
    ///
    /// # Durability
    /// On `Ok`, all of it is on disk. On an error none of it is. After a crash before the answer either holds: the cursor
    /// tells which.
    ///
    /// # Errors
    /// `Conflict` if the cursor is not where it was expected: another node was there first. What else
    /// [`Store::accept`] refuses.
    pub async fn accept_all(
        &self,
        events: Vec<(VerifiedEvent, Vec<WorkflowName>)>,
        cursor: Option<CursorMove>,
    ) -> Result<Vec<Receipt>, StoreError> {
        let later: Vec<Timestamp> = events.iter().filter_map(|(event, _)| event.runs_not_before).collect();
        let receipts =
            accept_all(&*self.store, &*self.clock, &self.build, &self.rules, events, cursor).await?;
        let is_work = |receipt: &Receipt| match &receipt.accepted {
            Accepted::New { runs, .. } => !runs.is_empty(),
            Accepted::Duplicate { .. } => false,
        };
        if receipts.iter().any(is_work) {
            (self.on_accepted)();
            later.into_iter().for_each(|begin| (self.on_later)(begin));
        }
        Ok(receipts)
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("build", &self.build).finish_non_exhaustive()
    }
}

/// What kind of trigger it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// Time brings its events.
    Schedule,
    /// It asks a remote for news.
    Poll,
    /// It looks into a folder.
    Inbox,
}

impl TriggerKind {
    /// What people read, and what its cursors and sources begin with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Poll => "poll",
            Self::Inbox => "inbox",
        }
    }

    /// What the cursor of the trigger of that name is called, and what its events have as their source.
    ///
    /// ```
    /// # use bowline_ingress::TriggerKind;
    /// assert_eq!(TriggerKind::Schedule.source("nightly report"), "schedule/nightly report");
    /// ```
    pub fn source(self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }
}

impl fmt::Display for TriggerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one trigger does, on this node and since its process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerState {
    /// What kind it is.
    pub kind: TriggerKind,
    /// Its name.
    pub name: String,
    /// When it acts next, if it will.
    pub next: Option<Timestamp>,
    /// When it last acted well.
    pub last: Option<Timestamp>,
    /// Events that it brought.
    pub started: u64,
    /// What it left out, as its policy says: ticks of a schedule.
    pub skipped: u64,
    /// Failures since it last acted well.
    pub failures_in_a_row: u32,
    /// What the last failure was, until it acts well again.
    pub last_error: Option<String>,
    /// It acts no more in this process: waiting would mend nothing.
    pub has_stopped: bool,
}

impl TriggerState {
    /// Whether a person should look: it has stopped, or failed [`FAILURES_TOLD_MIN`] times in a row.
    pub fn needs_person(&self) -> bool {
        self.has_stopped || self.failures_in_a_row >= FAILURES_TOLD_MIN
    }
}

/// How all triggers of this process do: written by them, read by pages and health checks. In memory; clones are the
/// same board.
#[derive(Debug, Clone, Default)]
pub struct TriggerBoard {
    lines: Arc<Mutex<Vec<Arc<Mutex<TriggerState>>>>>,
    activity: Arc<Activity>,
    voice: Voice,
}

/// Who is told of triggers that need a person.
#[derive(Clone, Default)]
struct Voice(Option<Arc<dyn Alerts>>);

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voice").field(&self.0.is_some()).finish()
    }
}

/// How many triggers do something at this moment.
#[derive(Debug, Default)]
struct Activity {
    at_work: AtomicUsize,
    asking: AtomicUsize,
}

impl TriggerBoard {
    /// A board that raises an [`AlertKind::TriggerFailing`] at each failure of a trigger that
    /// [needs a person](TriggerState::needs_person), and says when that is over.
    pub fn telling(alerts: Arc<dyn Alerts>) -> Self {
        Self { voice: Voice(Some(alerts)), ..Self::default() }
    }

    /// A trigger's line on the board, for the trigger to write.
    pub fn add(&self, kind: TriggerKind, name: impl Into<String>) -> TriggerLine {
        let line = Arc::new(Mutex::new(TriggerState {
            kind,
            name: name.into(),
            next: None,
            last: None,
            started: 0,
            skipped: 0,
            failures_in_a_row: 0,
            last_error: None,
            has_stopped: false,
        }));
        lock(&self.lines).push(line.clone());
        TriggerLine { state: line, activity: self.activity.clone(), voice: self.voice.clone() }
    }

    /// How many are at work: not asleep, and not waiting for a remote.
    pub fn at_work(&self) -> usize {
        self.activity.at_work.load(Ordering::SeqCst)
    }

    /// How many wait for a remote that they asked.
    pub fn asking(&self) -> usize {
        self.activity.asking.load(Ordering::SeqCst)
    }

    /// Every trigger as it stands now, in the order in which they were added.
    pub fn all(&self) -> Vec<TriggerState> {
        lock(&self.lines).iter().map(|line| lock(line).clone()).collect()
    }
}

/// One trigger's line on the [`TriggerBoard`].
#[derive(Debug, Clone)]
pub struct TriggerLine {
    state: Arc<Mutex<TriggerState>>,
    activity: Arc<Activity>,
    voice: Voice,
}

/// Counts one trigger as [at work](TriggerBoard::at_work), or as [asking](TriggerBoard::asking), while it lives.
#[derive(Debug)]
pub struct Busy {
    activity: Arc<Activity>,
    count: fn(&Activity) -> &AtomicUsize,
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.count)(&self.activity).fetch_sub(1, Ordering::SeqCst);
    }
}

impl TriggerLine {
    /// It is at work until the guard is dropped: taken when it wakes.
    pub fn at_work(&self) -> Busy {
        self.busy(|activity| &activity.at_work)
    }

    /// It waits for a remote until the guard is dropped.
    pub fn asking(&self) -> Busy {
        self.busy(|activity| &activity.asking)
    }

    fn busy(&self, count: fn(&Activity) -> &AtomicUsize) -> Busy {
        count(&self.activity).fetch_add(1, Ordering::SeqCst);
        Busy { activity: self.activity.clone(), count }
    }

    /// It acts next then; `None`: never again.
    pub fn next(&self, at: Option<Timestamp>) {
        lock(&self.state).next = at;
    }

    /// It acted well, brought `started` events and left `skipped` out.
    pub fn acted(&self, at: Timestamp, started: u64, skipped: u64) {
        let mut state = lock(&self.state);
        state.last = Some(at);
        state.started = state.started.saturating_add(started);
        state.skipped = state.skipped.saturating_add(skipped);
        drop(state);
        self.well();
    }

    /// It could act, and had nothing to do.
    pub fn well(&self) {
        let mut state = lock(&self.state);
        let is_over = state.needs_person();
        state.failures_in_a_row = 0;
        state.last_error = None;
        let source = state.kind.source(&state.name);
        drop(state);
        if is_over && let Voice(Some(alerts)) = &self.voice {
            alerts.over(&source, AlertKind::TriggerFailing);
        }
    }

    /// It failed then; answers how often in a row. `error` names no secret and no value of a body.
    pub fn failed(&self, at: Timestamp, error: &dyn fmt::Display) -> u32 {
        self.note_failure(at, error, false)
    }

    /// It failed then, and acts no more in this process.
    pub fn stopped(&self, at: Timestamp, error: &dyn fmt::Display) {
        self.note_failure(at, error, true);
    }

    fn note_failure(&self, at: Timestamp, error: &dyn fmt::Display, has_stopped: bool) -> u32 {
        let mut error = error.to_string();
        error.truncate(error.floor_char_boundary(LAST_ERROR_BYTES_MAX));
        let mut state = lock(&self.state);
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        state.last_error = Some(error);
        if has_stopped {
            (state.has_stopped, state.next) = (true, None);
        }
        let now = state.clone();
        drop(state);
        if now.needs_person()
            && let Voice(Some(alerts)) = &self.voice
        {
            alerts.raise(alert(&now, at));
        }
        now.failures_in_a_row
    }

    /// How it stands now.
    pub fn state(&self) -> TriggerState {
        lock(&self.state).clone()
    }
}

fn alert(state: &TriggerState, at: Timestamp) -> Alert {
    let error = state.last_error.as_deref().unwrap_or_default();
    let message = if state.has_stopped {
        format!("it has stopped: {error}")
    } else {
        format!("{} failures in a row, the last: {error}", state.failures_in_a_row)
    };
    Alert { api: state.kind.source(&state.name), kind: AlertKind::TriggerFailing, message, at }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_until_it_goes_well_again() {
        let board = TriggerBoard::default();
        let line = board.add(TriggerKind::Poll, "new orders");
        let failed = |error: &str| line.failed(Timestamp::UNIX_EPOCH, &error);
        assert_eq!((failed("the store is full"), failed(&"x".repeat(5_000))), (1, 2));
        let shown = board.all().remove(0);
        assert_eq!(shown.failures_in_a_row, 2);
        assert_eq!(shown.last_error.map(|error| error.len()), Some(LAST_ERROR_BYTES_MAX));
        line.acted(Timestamp::UNIX_EPOCH, 3, 1);
        let shown = board.all().remove(0);
        assert_eq!((shown.failures_in_a_row, shown.last_error), (0, None));
        assert_eq!((shown.started, shown.skipped, shown.last), (3, 1, Some(Timestamp::UNIX_EPOCH)));
    }

    /// What was told, and of whom it was said that it is over.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Alerts for Heard {
        fn raise(&self, alert: Alert) {
            lock(&self.0).push(format!("{} {}: {}", alert.api, alert.kind, alert.message));
        }

        fn over(&self, api: &str, kind: AlertKind) {
            lock(&self.0).push(format!("{api} {kind}: over"));
        }
    }

    #[test]
    fn the_third_failure_in_a_row_is_told_and_so_is_its_end() {
        let heard = Arc::new(Heard::default());
        let line = TriggerBoard::telling(heard.clone()).add(TriggerKind::Poll, "orders");
        let told = || std::mem::take(&mut *lock(&heard.0));
        let fail = || line.failed(Timestamp::UNIX_EPOCH, &"the shop is down");
        fail();
        fail();
        line.well();
        fail();
        fail();
        assert_eq!(told(), [""; 0], "two in a row are nothing yet");
        fail();
        fail();
        assert_eq!(
            told(),
            [3, 4].map(|n| format!(
                "poll/orders trigger_failing: {n} failures in a row, the last: the shop is down"
            ))
        );
        line.acted(Timestamp::UNIX_EPOCH, 1, 0);
        line.well();
        assert_eq!(told(), ["poll/orders trigger_failing: over"]);
    }

    #[test]
    fn a_trigger_that_has_stopped_is_told_at_once() {
        let heard = Arc::new(Heard::default());
        let board = TriggerBoard::telling(heard.clone());
        let line = board.add(TriggerKind::Poll, "orders");
        line.next(Some(Timestamp::UNIX_EPOCH));
        line.stopped(Timestamp::UNIX_EPOCH, &"its cursor cannot be read");
        assert_eq!(
            *lock(&heard.0),
            ["poll/orders trigger_failing: it has stopped: its cursor cannot be read"]
        );
        let shown = board.all().remove(0);
        assert_eq!((shown.needs_person(), shown.next), (true, None));
    }
}
