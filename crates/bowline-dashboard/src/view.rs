//! What people and programs see of runs: plain data, for the API and the command line alike.
//!
//! What comes in: runs, events and journals as the store gives them back. What goes out: rows and timelines that
//! serialize.
//!
//! What must never be here: a secret, an idempotency key's seed, or (unless somebody asks for [`Payloads::Shown`]) a
//! payload.

mod loops;
mod timeline;
mod undo;

use std::collections::BTreeMap;

use bowline_model::{
    BuildId, DeadReason, EntryKey, Event, EventId, Family, Position, Run, RunId, RunState, WorkflowName,
};
use bowline_store::{RunFilter, Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    commands::{PausedWorkflow, settle::unknown_steps},
    wording::wait,
};

pub(crate) use self::loops::of as loops_of;
pub use self::{
    loops::{DEAD_ITEMS_MAX, DeadItemView, LOOPS_MAX, LoopView},
    timeline::{
        EndKind, EndView, FailedAttempt, FailureView, ForkHere, ITEMS_MAX, Item, NoteView, StepKind,
        StepState, StepView,
    },
    undo::{Steps, UNDOS_MAX, UndoView},
};

/// Whether a view shows what steps yielded and what remotes answered: possibly personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Payloads {
    /// Sizes only.
    #[default]
    Hidden,
    /// The first [`PAYLOAD_BYTES_MAX`] of each.
    Shown,
}

/// How much of one payload a view shows.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// Where it stands.
    pub state: RunState,
    /// The event that started it.
    pub event: EventId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed state.
    pub changed_at: Timestamp,
    /// When it goes on, if it waits for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Why it is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_reason: Option<DeadReason>,
    /// The reason in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The run it replays, from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
    /// The run it is a fork of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<ForkOf>,
    /// The run that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// Process deaths it was running at since it last reached a wait.
    #[serde(default)]
    pub crashes: u32,
    /// The build that created it.
    pub build: BuildId,
}

/// Of which run another one is a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkOf {
    /// The run that was forked.
    pub run: RunId,
    /// The step from which on the fork did everything itself, as people read it.
    pub from: String,
}

impl RunRow {
    /// A row of a run that is a fork from that step, if it is one.
    fn of(run: &Run, forked_from: Option<&EntryKey>) -> Self {
        let fork_of = run.replay_of.zip(forked_from).map(|(run, step)| ForkOf { run, from: step_name(step) });
        Self {
            id: run.id,
            workflow: run.workflow.clone(),
            state: run.state,
            event: run.event,
            created_at: run.created_at,
            changed_at: run.changed_at,
            due: run.due,
            dead_reason: run.dead_reason,
            summary: run.summary.clone(),
            replay_of: run.replay_of.filter(|_| fork_of.is_none()),
            fork_of,
            parent: run.parent,
            crashes: run.crashes,
            build: run.build.clone(),
        }
    }
}

/// A page of runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunRow>,
    /// What to pass as `before` for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RunId>,
    /// Workflows that are paused, whatever the page shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PausedWorkflow>,
}

impl RunList {
    /// With the workflows that are paused.
    pub fn with_paused(self, paused: Vec<PausedWorkflow>) -> Self {
        Self { paused, ..self }
    }

    /// The page that `runs` is, if at most `limit` were asked for.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn read(store: &dyn Store, runs: &[Run], limit: usize) -> Result<Self, StoreError> {
        let next = runs.last().filter(|_| runs.len() >= limit).map(|run| run.id);
        // Of a fork the row of a run says no more than of a replay.
        let again: Vec<RunId> = runs.iter().filter(|run| run.replay_of.is_some()).map(|run| run.id).collect();
        let forks = if again.is_empty() { vec![] } else { store.forks(again).await? };
        let step = |run: &Run| forks.iter().find(|(fork, _)| *fork == run.id).map(|(_, step)| step);
        Ok(Self { runs: runs.iter().map(|run| RunRow::of(run, step(run))).collect(), next, paused: vec![] })
    }
}

/// What is known of an event without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    /// Its id.
    pub id: EventId,
    /// Where it came in.
    pub source: String,
    /// Who sent it.
    pub provider: String,
    /// The provider's type.
    pub kind: String,
    /// The provider's id.
    pub dedupe_key: String,
    /// When its last byte was read.
    pub received_at: Timestamp,
    /// Its body's size.
    pub body_bytes: usize,
}

impl From<&Event> for EventHead {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            source: event.source.clone(),
            provider: event.provider.clone(),
            kind: event.kind.clone(),
            dedupe_key: event.dedupe_key.clone(),
            received_at: event.received_at,
            body_bytes: event.body.len(),
        }
    }
}

/// One run, with its timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// The run.
    pub run: RunRow,
    /// Its event; `None` if it left the store.
    pub event: Option<EventHead>,
    /// What happened, in the order of its beginning. Times count from [`RunRow::created_at`].
    pub timeline: Vec<Item>,
    /// Older items that are left out: a view shows the last [`ITEMS_MAX`].
    #[serde(default)]
    pub left_out: usize,
    /// Steps of a dead letter of which an operator may say what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// The runs that it started, the newest first: the last [`CHILDREN_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<RunRow>,
    /// It started more than these.
    #[serde(default)]
    pub more_children: bool,
    /// Its loops that are under way or left dead items; those that ended well are among them while their notes are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<LoopView>,
    /// How far it is with undoing what it did, if it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoView>,
    /// Since when its workflow is paused, and why, if it is and the run is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PausedWorkflow>,
}

/// Most steps of which a view says that they can be settled.
pub const UNKNOWN_MAX: usize = 20;
/// Most children that a view shows.
pub const CHILDREN_MAX: usize = 50;

impl RunView {
    /// The view of a run, from what the store has of it.
    pub fn of(
        run: &Run,
        event: Option<&Event>,
        journal: &[bowline_model::Entry],
        payloads: Payloads,
    ) -> Self {
        let (timeline, left_out) = timeline::build(run, journal, payloads);
        let event = event.map(EventHead::from);
        let unknown = match run.state {
            RunState::DeadLettered => unknown_steps(run, journal),
            RunState::Queued
            | RunState::Running
            | RunState::Waiting
            | RunState::Completed
            | RunState::Cancelled => vec![],
        };
        let unknown = unknown.iter().take(UNKNOWN_MAX).map(|(key, _)| step_name(key)).collect();
        Self {
            run: RunRow::of(run, journal.first().and_then(|first| first.meta.forked_from.as_ref())),
            event,
            timeline,
            left_out,
            unknown,
            children: vec![],
            more_children: false,
            loops: loops::of(journal),
            undo: undo::of(journal),
            paused: None,
        }
    }

    /// The view of a run as the store has it, and its event.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn read(
        store: &dyn Store,
        run: &Run,
        payloads: Payloads,
    ) -> Result<(Self, Option<Event>), StoreError> {
        let event = store.event(run.event).await?;
        let journal = store.journal(run.id).await?;
        let filter = RunFilter { parent: Some(run.id), limit: CHILDREN_MAX + 1, ..RunFilter::default() };
        let children = store.runs(filter).await?;
        let mut view = Self::of(run, event.as_ref(), &journal, payloads);
        view.children = children.iter().take(CHILDREN_MAX).map(|child| RunRow::of(child, None)).collect();
        view.more_children = children.len() > CHILDREN_MAX;
        view.name_children(&waited_for(store, run, &view.children).await?);
        view.name_latest(store).await?;
        if run.state.is_open() {
            let paused = PausedWorkflow::all(store).await?.into_iter();
            view.paused = paused.into_iter().find(|paused| paused.workflow == run.workflow);
        }
        Ok((view, event))
    }

    /// Says of a run that went on where its work is now.
    async fn name_latest(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        for item in &mut self.timeline {
            if let Item::End(end) = item
                && end.kind == EndKind::Continued
            {
                end.went_on = store.went_on(self.run.id).await?;
            }
        }
        Ok(())
    }

    /// Says of each child that is waited for which run it is, where that is clear: children are started in the order of
    /// their waits.
    fn name_children(&mut self, waited_for: &[RunRow]) {
        let mut open: BTreeMap<String, Vec<RunId>> = BTreeMap::new();
        for child in waited_for {
            let wait = format!("waits for the child run \"{}\"", child.workflow);
            open.entry(wait).or_default().push(child.id);
        }
        for (wait, runs) in open {
            let waits = self.timeline.iter_mut().filter_map(|item| match item {
                Item::Step(step) if step.awaits.as_ref() == Some(&wait) => Some(step),
                Item::Step(_) | Item::Note(_) | Item::End(_) => None,
            });
            let waits: Vec<&mut StepView> = waits.collect();
            if waits.len() == runs.len() {
                waits.into_iter().zip(runs).for_each(|(step, run)| step.child = Some(run));
            }
        }
    }

    /// What the run waits for now: sleeps, messages, children, next attempts.
    pub fn waiting(&self) -> Vec<&StepView> {
        if !self.run.state.is_open() {
            return vec![];
        }
        let is_waited_for = |step: &StepView| match step.state {
            StepState::Waiting => true,
            StepState::Retrying => step.next_at.is_some(),
            StepState::Done
            | StepState::Refused
            | StepState::Unknown
            | StepState::Began
            | StepState::Dropped => false,
        };
        let steps = self.timeline.iter().filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::Note(_) | Item::End(_) => None,
        });
        steps.filter(|step| is_waited_for(step)).collect()
    }

    /// What the run waits for now, in words.
    pub fn waits(&self) -> Vec<String> {
        self.waiting().into_iter().map(wait).collect()
    }

    /// How the run was parked, if that is a mismatch of its journal and the code.
    pub fn mismatch(&self) -> Option<&EndView> {
        self.timeline.iter().rev().find_map(|item| match item {
            Item::End(end) if end.reason == Some(DeadReason::Mismatch) => Some(end),
            Item::End(_) | Item::Step(_) | Item::Note(_) => None,
        })
    }

    /// Whether it can be forked from one of its steps.
    pub fn can_fork(&self) -> bool {
        self.timeline.iter().any(|item| match item {
            Item::Step(step) => step.kind != StepKind::Value && step.fork == Some(ForkHere::Possible),
            Item::Note(_) | Item::End(_) => false,
        })
    }

    /// How many items of loops need a person.
    pub fn dead_items(&self) -> u64 {
        self.loops.iter().map(|looped| looped.dead).sum()
    }
}

/// The runs whose end an open run waits for, the older first; none if they are too many to name.
async fn waited_for(store: &dyn Store, run: &Run, children: &[RunRow]) -> Result<Vec<RunRow>, StoreError> {
    if !run.state.is_open() {
        return Ok(vec![]);
    }
    let ids = store.waited_for(run.id).await?;
    if ids.len() > CHILDREN_MAX {
        return Ok(vec![]);
    }
    let mut rows = vec![];
    for id in ids {
        match children.iter().find(|child| child.id == id) {
            Some(child) => rows.push(child.clone()),
            // It went on in a child's place.
            None => rows.extend(store.run(id).await?.map(|run| RunRow::of(&run, None))),
        }
    }
    Ok(rows)
}

/// A step's name as people read it: `create contact`, `sync#2`, `items/7/sync[17]`.
pub fn step_name(key: &EntryKey) -> String {
    let scope = key.scope.as_str().trim_start_matches('/');
    let slash = if scope.is_empty() { "" } else { "/" };
    let undo = if key.family == Family::Undo { "undo of " } else { "" };
    match &key.position {
        Position::Nth(0 | 1) => format!("{undo}{scope}{slash}{}", key.name),
        Position::Nth(n) => format!("{undo}{scope}{slash}{}#{n}", key.name),
        Position::Key(key_text) => format!("{undo}{scope}{slash}{}[{key_text}]", key.name),
    }
}

/// What a mailbox is for, as people read it: `paid` of `signal:paid`, `items/7/refund#2` of an approval's.
pub fn mailbox_title(mailbox: &str) -> String {
    let (kind, name) = mailbox.split_once(':').unwrap_or(("", mailbox));
    // What tells an approval apart comes before its key, which begins with a scope or a quote.
    let name = match name.split_once(':') {
        Some((_, key)) if kind == "approval" && !name.starts_with(['/', '"']) => key,
        _ => name,
    };
    // A key as the engine writes it: `/items/7"refund"#2`.
    let Some((scope, rest)) = name.split_once('"') else { return name.to_owned() };
    let Some((name, position)) = rest.rsplit_once('"') else { return name.to_owned() };
    let scope = scope.trim_start_matches('/');
    let slash = if scope.is_empty() { "" } else { "/" };
    format!("{scope}{slash}{name}{position}")
}

/// The state of that name, as people or the API write it.
///
/// # Errors
/// Names the states there are.
pub fn parse_state(name: &str) -> Result<RunState, String> {
    let name = name.trim();
    RunState::ALL.into_iter().find(|state| state.as_str() == name).ok_or_else(|| {
        let names: Vec<_> = RunState::ALL.iter().map(|state| state.as_str()).collect();
        format!("there is no state {name:?}; there are {}", names.join(", "))
    })
}
