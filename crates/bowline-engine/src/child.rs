//! Other workflows, started by this one: a child whose output is waited for, or a run that goes its own way.

use std::{any::type_name, fmt, future::IntoFuture, marker::PhantomData, time::Duration};

use bowline_model::{
    BoxFuture, EntryKind, EntryMeta, Error, Family, KeySeed, NewEvent, NewRun, Payload, Result, Ruled,
    ScopePath, WorkflowName,
};
use bowline_store::{MailboxKind, NewMailbox, NewStart};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    Context, WaitUntil,
    asking::Asking,
    board::{Board, NewLeaf, NewWork, Opened},
    wait::{From, MailWait, StaysOpen, Until, Wait, at_most},
};

/// How long a start is recognised when its write comes again.
const START_KNOWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// A workflow that another one can start: what `workflow("name", code)` yields.
pub trait Startable {
    /// What it takes.
    type Input;
    /// What it yields.
    type Output;

    /// Its name.
    fn workflow_name(&self) -> &WorkflowName;
}

impl Context {
    /// Starts a child run of that workflow and waits for its output.
    ///
    /// The child is a run of its own: with its own journal, retries and limits. The parent that waits for it holds no
    /// slot. A child that becomes a dead letter keeps its parent waiting: retry the child, and both go on; discard it, and
    /// the parent receives an error. Cancelling the parent cancels the child.
    ///
    /// # Durability
    /// The child is started in the commit that records it, exactly once, and its end is told to the parent in the commit
    /// of that end.
    ///
    /// # Errors
    /// Awaiting it fails if the child was cancelled or discarded, or if `input` has no JSON form.
    pub fn child<W: Startable>(&self, workflow: &W, input: &W::Input) -> Child<'_, W::Output>
    where
        W::Input: Serialize,
    {
        Child {
            cx: self,
            workflow: workflow.workflow_name().clone(),
            name: None,
            old_names: vec![],
            key: None,
            input: encoded(input),
            output: PhantomData,
        }
    }

    /// Starts a run of that workflow and goes on: nobody waits for it, and a cancel of this run leaves it alone.
    ///
    /// # Durability
    /// It is started in the commit that records it, exactly once: before the next effect of this run, or with its end.
    ///
    /// # Errors
    /// If `input` has no JSON form.
    pub fn start<W: Startable>(&self, workflow: &W, input: &W::Input) -> Result<()>
    where
        W::Input: Serialize,
    {
        let input = encoded(input)?;
        self.board().start_detached(workflow.workflow_name(), self.item(), input);
        Ok(())
    }
}

/// Tells one input from another, and nothing of what is in it.
fn digest(input: &Payload) -> String {
    Sha256::digest(&input.as_bytes()[..]).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn encoded<T: Serialize>(input: &T) -> Result<Payload> {
    Payload::encode(input).map_err(|error| {
        Error::permanent(format!(
            "the input of a run cannot be written as JSON: {error}; a map's keys must be strings"
        ))
    })
}

/// A child run, and the wait for it. Made by [`Context::child`].
#[must_use = "a child is not started until it is awaited"]
pub struct Child<'a, T> {
    cx: &'a Context,
    workflow: WorkflowName,
    name: Option<String>,
    old_names: Vec<String>,
    key: Option<String>,
    input: Result<Payload>,
    output: PhantomData<fn() -> T>,
}

impl<'a, T: DeserializeOwned + Send + 'a> Child<'a, T> {
    /// Names it, where one workflow is started in several places; without it the workflow's name is taken.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Tells children of one name apart by what they are about, instead of by their order.
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// The child's name in builds before this one (its workflow's, if it had none): runs under way go on waiting for the
    /// child that they started. Call it again for a still older name.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        self.old_names.push(old_name.into());
        self
    }

    /// Waits that long at most; then yields `None`. The child goes on by itself.
    pub fn timeout(self, wait: Duration) -> WaitUntil<'a, T> {
        WaitUntil::new(Box::pin(self.wait(Some(Until::In(wait)))))
    }

    async fn wait(self, until: Option<Until>) -> Result<Option<T>> {
        let Self { cx, workflow, name, old_names, key, input, .. } = self;
        let input = input?;
        // Children that only their order tells apart are told apart by what they are given.
        let why = at_most(format!("waits for child {workflow} (input {})", digest(&input)), until);
        let name = name.unwrap_or_else(|| workflow.to_string());
        let make = move |opened: &Opened<'_>| {
            let identity = opened.idempotency_key(opened.generation);
            let mailbox = format!("child:{identity}");
            let starts = NewStart {
                event: started(opened.board, &workflow, "child", identity, input),
                tells: Some(mailbox.clone()),
                earlier: None,
                continues: false,
            };
            let mail = MailWait {
                at_address: false,
                opens: vec![NewMailbox::new(mailbox.clone(), MailboxKind::Child)],
                mailbox,
                before: vec![],
                from: From::Child,
                starts: Some(starts),
                check: |_| Ok(()),
                stays_open: StaysOpen::WhileAwaited,
            };
            Wait { until, mail: Some(mail), why }
        };
        let leaf = NewLeaf {
            key,
            old_names,
            ..cx.wait_leaf("child", Family::Child, &name, type_name::<T>(), NewWork::Wait(Box::new(make)))
        };
        Asking::ask(cx.board(), leaf).await?.value().await
    }
}

impl<'a, T: DeserializeOwned + Send + 'a> IntoFuture for Child<'a, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'a, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(crate::waiting::untimed(self.wait(None)))
    }
}

impl<T> fmt::Debug for Child<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("workflow", &self.workflow).finish_non_exhaustive()
    }
}

impl Board {
    fn start_detached(&self, workflow: &WorkflowName, item: &ScopePath, input: Payload) {
        let start = |board: &Self, identity| NewStart {
            event: started(board, workflow, "start", identity, input),
            tells: None,
            earlier: None,
            continues: false,
        };
        self.draw_with(Family::Child, workflow.as_str(), item, |board, state, key| {
            let identity = crate::key::idempotency_key(board.run.key_seed, &key, &key.name, 0);
            let null = Some(Payload::from_stored("null"));
            board.append(state, EntryKind::Child, key, EntryMeta::default(), null);
            state.unwritten.also.starts.push(start(board, identity));
        });
    }
}

/// What the event of a run that goes on as a fresh one says of its source.
pub(crate) const CONTINUES: &str = "continue";

/// By which rules a run begins that this run starts. It is a run of its own: nothing joins or replaces it. One that goes
/// on for this one keeps its key, and waits for no pace.
fn ruled(board: &Board, workflow: &WorkflowName, source: &str, input: &Payload) -> Ruled {
    let mut ruled = board.rules.judge(workflow, input.as_bytes(), "").alone();
    if source == CONTINUES {
        ruled.key = ruled.key.or_else(|| board.run.key.clone());
        ruled.flow.rate = None;
    }
    ruled
}

/// The event that starts a run of `workflow` for this run.
pub(crate) fn started(
    board: &Board,
    workflow: &WorkflowName,
    source: &str,
    identity: String,
    input: Payload,
) -> NewEvent {
    let now = board.clock.now();
    let Ruled { key, priority, flow } = ruled(board, workflow, source, &input);
    let run = NewRun {
        workflow: workflow.clone(),
        key,
        priority: if priority == 0 { board.run.priority } else { priority },
        parent: Some(board.run.id),
        replay_of: None,
        build: board.build.clone(),
        key_seed: new_seed(board),
        due: None,
        flow,
        journal: vec![],
    };
    NewEvent {
        source: source.to_owned(),
        provider: "bowline".to_owned(),
        kind: workflow.to_string(),
        dedupe_key: identity,
        dedupe_until: now.checked_add(START_KNOWN).unwrap_or(jiff::Timestamp::MAX),
        received_at: now,
        headers: vec![],
        body: Bytes::clone(input.as_bytes()),
        input_pointer: String::new(),
        runs: vec![run],
    }
}

pub(crate) fn new_seed(board: &Board) -> KeySeed {
    KeySeed((u128::from(board.clock.random()) << 64) | u128::from(board.clock.random()))
}
