//! What a workflow's author holds: the run's durable side.

use std::{fmt, sync::Arc};

use bowline_model::{Event, RunId};
use jiff::Timestamp;
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
}

impl Context {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
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
    /// Awaiting it yields what the last attempt failed with: see [`Error`](bowline_model::Error).
    pub fn step<'a, A, Via, T>(&'a self, name: &'a str, action: A) -> Step<'a, T>
    where
        A: Action<Via, Kind: Runnable<Output = T> + 'a>,
        T: Send,
    {
        Step::new(self, name, action.into_kind())
    }

    /// The time now. Recorded: after a crash the code receives the same time again.
    pub fn now(&self) -> Timestamp {
        self.board.value("now", || self.board.clock.now())
    }

    /// 64 random bits. Recorded.
    pub fn random(&self) -> u64 {
        self.board.value("random", || self.board.clock.random())
    }

    /// A random UUID (version 4). Recorded.
    pub fn uuid(&self) -> Uuid {
        self.board.value("uuid", || {
            let bits = (u128::from(self.board.clock.random()) << 64) | u128::from(self.board.clock.random());
            uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
        })
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
