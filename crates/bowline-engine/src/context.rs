//! What a workflow's author holds: the run's durable side.

use std::{fmt, sync::Arc};

use bowline_model::{Error, Event, Payload, Result, RunId, ScopePath};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Step,
    action::{Action, Runnable},
    board::Board,
};

/// The durable side of one run: steps, recorded time and chance, the event.
///
/// Cheap to clone. Everything on it belongs into the workflow itself: a step awaited in a spawned task or inside
/// another step's closure is an error that says so.
#[derive(Clone)]
pub struct Context {
    board: Arc<Board>,
    /// The innermost item of a loop that it belongs to.
    item: ScopePath,
}

impl Context {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self { board, item: ScopePath::root() }
    }

    /// That of an item of a loop.
    pub(crate) fn of_item(&self, item: ScopePath) -> Self {
        Self { board: self.board.clone(), item }
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    pub(crate) fn item(&self) -> &ScopePath {
        &self.item
    }

    /// Describes a step: `action`, a call or a closure, is run once and its outcome recorded under `name`.
    ///
    /// `name` is a stable literal: it is how a recorded outcome is found again. Several steps of one name are told
    /// apart by the order in which the code first awaits them; in a loop, tell them apart with [`Step::key`]. Two
    /// branches of a `select!` need distinct names.
    ///
    /// # Durability
    /// See [`Step`].
    ///
    /// # Errors
    /// Awaiting it yields what the last attempt failed with: see [`Error`].
    pub fn step<'a, A, Via, T>(&'a self, name: &'a str, action: A) -> Step<'a, T>
    where
        A: Action<Via, Kind: Runnable<Output = T> + 'a>,
        T: Send,
    {
        Step::new(self, name, action.into_kind())
    }

    /// The time now. Recorded: after a crash the code receives the same time again.
    pub fn now(&self) -> Timestamp {
        self.board.value("now", &self.item, || self.board.clock.now())
    }

    /// 64 random bits. Recorded.
    pub fn random(&self) -> u64 {
        self.board.value("random", &self.item, || self.board.clock.random())
    }

    /// A random UUID (version 4). Recorded.
    pub fn uuid(&self) -> Uuid {
        self.board.value("uuid", &self.item, || {
            let bits = (u128::from(self.board.clock.random()) << 64) | u128::from(self.board.clock.random());
            uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
        })
    }

    /// Whether this run began after the change of that id: the first time that code with this line runs a run from its
    /// beginning, it is `true`; for a run of which another build recorded anything, or may have sent anything, it is `false`.
    /// So runs under way keep the old path, and new ones take the new one.
    ///
    /// `id` is for people, and stands for one change: `"2026-11 new tax"`. The answer is the run's: asked again, in another
    /// branch or in an item of a loop, it is the same.
    ///
    /// The line may go, and the old path with it, once no run that is still open began before it: `check --journals` says
    /// whether one would not fit then. What it recorded is no hindrance.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// let rate = match cx.changed("2026-11 new tax") {
    ///     true => cx.step("rate of the country", async || Ok(0.2)).await?,
    ///     false => 0.19,
    /// };
    /// # let _ = rate; Ok(()) }
    /// ```
    ///
    /// # Durability
    /// The answer is on disk before the next effect: after a crash, and in every later build, it is the same.
    pub fn changed(&self, id: &str) -> bool {
        self.board.changed(id, &self.item)
    }

    /// Ends this run, and goes on as a fresh one of the same workflow with that input and an empty journal: for work
    /// without an end, as a loop that polls or a subscription that bills each month. Never returns: nothing after it runs.
    ///
    /// The new run takes this one's place: who waits for this run's output waits for that of the new one, signals that
    /// nobody took go with it, and runs that share its key stay behind it.
    ///
    /// # Durability
    /// The end of this run and the start of the next are one commit. What was under way is dropped; undos of this run
    /// are not the new one's.
    ///
    /// # Errors
    /// If `input` has no JSON form.
    pub async fn continue_as<T>(&self, input: &impl Serialize) -> Result<T> {
        let input = Payload::encode(input).map_err(|error| {
            Error::permanent(format!("the input of the next run cannot be written as JSON: {error}"))
        })?;
        self.board.continue_as(input);
        std::future::pending().await
    }

    /// The event that started the run, envelope and raw body included.
    pub fn event(&self) -> &Event {
        &self.board.event
    }

    /// The run's id.
    pub fn run_id(&self) -> RunId {
        self.board.run.id
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.board.run.id).finish_non_exhaustive()
    }
}
