//! The engine of one node: what the dispatcher and all drivers share, its start and its shutdown.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{BuildId, Clock, Epoch, FlowRules, NodeId, Progress, Recall, Run, RunId};
use bowline_store::{Store, StoreError};
use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};
use tracing::Instrument;

use crate::{
    Workflows,
    activity::{Activity, Look},
    cancel::Cancels,
    dispatch::Dispatcher,
    mail::Mails,
    pauses::Pauses,
    slots::{SlotGuard, Slots},
};

/// Limits of the engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Runs driven at once. Default 256.
    pub slots: usize,
    /// Waiting runs whose code is kept in memory; others are run again from their journal. Default 10,000.
    pub resting_max: usize,
    /// How long effects under way may take to end at a shutdown. Default 10 s.
    pub shutdown_grace: Duration,
    /// Where the program is reached from outside, for the addresses of callbacks: `https://hooks.example.com`. Default:
    /// empty, so that an address is a path.
    pub public_url: String,
    /// What makes calls of what runs noted to undo them. Default: none, and a run with something to undo waits for a person.
    pub recall: Option<Arc<dyn Recall>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            slots: 256,
            resting_max: 10_000,
            shutdown_grace: Duration::from_secs(10),
            public_url: String::new(),
            recall: None,
        }
    }
}

/// How far a shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopping {
    No,
    /// No new effect starts; those under way may end.
    Drain,
    /// Drop everything.
    Abandon,
}

/// What a resting run is resumed with.
pub(crate) struct Resume {
    pub(crate) epoch: Epoch,
    pub(crate) slot: SlotGuard,
}

/// A waiting run whose code is kept in memory.
struct Resting {
    /// The epoch under which it went to rest: it is still current if the next claim has the next one.
    epoch: Epoch,
    /// What its journal held then: an operator's entry in between makes the kept code outdated.
    journal_len: i64,
    resume: oneshot::Sender<Resume>,
}

/// What the dispatcher and all drivers share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) build: BuildId,
    pub(crate) stopping: watch::Sender<Stopping>,
    pub(crate) workflows: Workflows,
    options: EngineOptions,
    pub(crate) public_url: Arc<str>,
    pub(crate) recall: Option<Arc<dyn Recall>>,
    pub(crate) rules: FlowRules,
    pub(crate) slots: Arc<Slots>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) poked: Notify,
    resting: Mutex<HashMap<RunId, Resting>>,
    pub(crate) next_due: Mutex<Option<Timestamp>>,
    pub(crate) cancels: Cancels,
    pub(crate) mails: Mails,
    pub(crate) pauses: Pauses,
    beat: Mutex<Beat>,
}

struct Beat {
    at: Duration,
    claims_fail: bool,
}

/// The engine of one node.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: NodeId,
    pub(crate) tasks: Mutex<Option<Tasks>>,
}

/// What runs until the shutdown.
pub(crate) struct Tasks {
    dispatcher: JoinHandle<()>,
    mail: JoinHandle<()>,
}

impl Engine {
    /// Registers the node, takes over what a dead one left, and begins to drive runs. Needs a Tokio runtime.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        build: BuildId,
        workflows: Workflows,
        options: EngineOptions,
    ) -> Result<Self, StoreError> {
        let started = store.start_node(clock.now()).await?;
        if !started.recovered.is_empty() {
            tracing::warn!(
                runs = started.recovered.len(),
                "the last process died with runs under way; recovering them"
            );
        }
        let next_due = Mutex::new(store.next_due(clock.now()).await?);
        let shared = Arc::new(Shared {
            beat: Mutex::new(Beat { at: clock.monotonic(), claims_fail: false }),
            stopping: watch::Sender::new(Stopping::No),
            slots: Slots::new(options.slots.max(1)),
            activity: Arc::default(),
            poked: Notify::new(),
            resting: Mutex::default(),
            cancels: Cancels::default(),
            mails: Mails::default(),
            pauses: Pauses::default(),
            next_due,
            store,
            clock,
            build,
            rules: workflows.flow_rules(),
            workflows,
            recall: options.recall.clone(),
            public_url: options.public_url.trim_end_matches('/').into(),
            options,
        });
        let dispatcher = Dispatcher::new(shared.clone(), started.node);
        let (at_work, closed) = (shared.activity.work(), shared.clone());
        let dispatcher = async move {
            // Dropped last: what the dispatcher lets go of may put others to work.
            let _at_work = at_work;
            dispatcher.dispatch().await;
            closed.cancels.close();
        };
        let dispatcher = tokio::spawn(dispatcher.instrument(tracing::info_span!("engine")));
        let mail = tokio::spawn(crate::mail::carry(shared.clone(), shared.activity.work()));
        let tasks = Tasks { dispatcher, mail };
        Ok(Self { shared, node: started.node, tasks: Mutex::new(Some(tasks)) })
    }

    /// Says that there may be something to claim: after an event was accepted, or an operator's command.
    pub fn poke(&self) {
        self.shared.poked.notify_one();
    }

    /// Says that an operator paused or resumed a workflow: loops of its runs that are under way stand still, or go on.
    pub fn poke_pauses(&self) {
        self.shared.pauses.tell();
        self.shared.poked.notify_one();
    }

    /// Says that a run will be claimable then: after an event was accepted whose runs begin later.
    pub fn note_due(&self, due: Timestamp) {
        self.shared.note_due(due);
    }

    /// How the engine is doing. See [`Progress::busy`] for what its counts say of the moment.
    pub fn progress(&self) -> Progress {
        let shared = &self.shared;
        let beat = lock(&shared.beat);
        let Look { at_work: busy, attempts } = shared.activity.look();
        Progress {
            dispatcher_beat_age: shared.clock.monotonic().saturating_sub(beat.at),
            claims_fail: beat.claims_fail,
            slots: shared.slots.total(),
            slots_free: shared.slots.free(),
            resting: lock(&shared.resting).len(),
            attempts,
            busy,
            stopping: shared.is_stopping(),
        }
    }

    /// Stops: claims nothing more, lets effects under way end within the grace, gives every run back.
    ///
    /// # Durability
    /// What ended is on disk when this returns. What did not end in time is noted as unknown and attempted again, under
    /// the same key, by the next start.
    pub async fn shutdown(&self) {
        let Some(Tasks { mut dispatcher, mail }) = lock(&self.tasks).take() else { return };
        self.shared.stopping.send_replace(Stopping::Drain);
        let grace = self.shared.clock.sleep(self.shared.options.shutdown_grace);
        let ended = matches!(select(&mut dispatcher, grace).await, Either::Left(_));
        if !ended {
            self.shared.stopping.send_replace(Stopping::Abandon);
            let _ = dispatcher.await;
        }
        let _ = mail.await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Ends at that time; never if there is none.
    pub(crate) async fn sleep_until(&self, until: Option<Timestamp>) {
        match until {
            Some(until) => self.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Waits out a failure of the store.
    pub(crate) async fn pause(&self, wait: Duration) {
        self.activity.idle(self.clock.sleep(wait)).await;
    }

    /// Keeps a run's place while it waits. `None`: too many are kept already.
    pub(crate) fn keep(
        &self,
        run: RunId,
        epoch: Epoch,
        journal_len: i64,
    ) -> Option<oneshot::Receiver<Resume>> {
        let mut resting = lock(&self.resting);
        if resting.len() >= self.options.resting_max {
            return None;
        }
        let (resume, resumed) = oneshot::channel();
        resting.insert(run, Resting { epoch, journal_len, resume });
        Some(resumed)
    }

    /// Forgets a waiting run's place; says whether it was still kept.
    pub(crate) fn forget(&self, run: RunId) -> bool {
        lock(&self.resting).remove(&run).is_some()
    }

    /// The kept place of a claimed run, if nobody else drove or changed it since.
    pub(crate) fn take_kept(&self, run: &Run) -> Option<oneshot::Sender<Resume>> {
        let kept = lock(&self.resting).remove(&run.id)?;
        let current = kept.epoch.0 + 1 == run.epoch.0 && kept.journal_len == run.journal_len;
        current.then_some(kept.resume)
    }

    /// The run was claimed under that epoch, and will be driven here.
    pub(crate) fn begin(&self, run: RunId, epoch: Epoch) {
        self.cancels.begin(run, epoch);
        self.mails.begin(run, epoch);
    }

    /// The run is not driven here under that epoch any more.
    pub(crate) fn leave(&self, run: RunId, epoch: Epoch) {
        self.cancels.leave(run, epoch);
        if self.mails.leave(run, epoch) {
            self.poked.notify_one();
        }
    }

    /// A run will become due then.
    pub(crate) fn note_due(&self, due: Timestamp) {
        let mut next = lock(&self.next_due);
        if next.is_none_or(|next| due < next) {
            *next = Some(due);
            self.poked.notify_one();
        }
    }

    /// A run that shares its key has ended: the next one may go, now or at its time.
    pub(crate) fn passed_on(&self, run: &Run) {
        if run.key.is_some() {
            // The store is asked what is due.
            self.note_due(self.clock.now());
        }
    }

    pub(crate) fn stopping(&self) -> Stopping {
        *self.stopping.borrow()
    }

    /// Ends when the node is further in its shutdown than `seen`; what is reached then.
    pub(crate) async fn stopping_after(&self, seen: Stopping) -> Stopping {
        let mut stopping = self.stopping.subscribe();
        match stopping.wait_for(|stopping| *stopping != seen).await {
            Ok(reached) => *reached,
            Err(_) => Stopping::Abandon,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping() != Stopping::No
    }

    pub(crate) fn beat(&self, claims_fail: bool) {
        *lock(&self.beat) = Beat { at: self.clock.monotonic(), claims_fail };
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
