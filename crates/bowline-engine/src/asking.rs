//! The code's side of a leaf: it asks, waits, and reads back what was recorded.

use std::{any::type_name, future::poll_fn};

use bowline_model::{DeadReason, EntryKey, Error, Family, Payload, Result};
use bowline_store::Ask;
use serde::de::DeserializeOwned;

use crate::{
    Context,
    board::{Asked, Board, NewLeaf, NewWork, Turn},
    fit::what,
    leaf::{LeafId, Outcome},
};

/// A leaf as the code's side holds it: dropping it tells the board.
pub(crate) struct Asking<'a> {
    pub(crate) board: &'a Board,
    pub(crate) id: LeafId,
    pub(crate) key: EntryKey,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.board.drop_leaf(self.id);
    }
}

impl<'a> Asking<'a> {
    /// Asks. Where it may not be asked, that is an error; where the run must stop, this never returns.
    pub(crate) async fn ask(board: &'a Board, new: NewLeaf<'_>) -> Result<Self> {
        match board.ask(new) {
            Asked::Leaf(id, key) => Ok(Self { board, id, key }),
            Asked::Misplaced(error) => Err(error),
            Asked::Stopped => std::future::pending().await,
        }
    }

    /// What the leaf shall do next.
    pub(crate) async fn turn(&self) -> Turn {
        poll_fn(|cx| self.board.poll_leaf(self.id, cx.waker())).await
    }

    /// The outcome of what is not a step.
    pub(crate) async fn outcome(&self) -> Outcome {
        loop {
            match self.turn().await {
                Turn::Take(outcome) => return outcome,
                // Only steps make attempts.
                Turn::Start(_) | Turn::Recheck(_) => {}
            }
        }
    }

    /// The value that a leaf yields; `None` if its time ended first.
    pub(crate) async fn value<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match self.outcome().await {
            Outcome::Done(payload) => self.decode(&payload).await.map(Some),
            Outcome::Failed(failure) => Err(Error::from(failure).from_entry(self.key.clone())),
            Outcome::TimedOut => Ok(None),
        }
    }

    /// Decodes what was recorded. If today's type does not fit, the run is parked and this never returns.
    pub(crate) async fn decode<T: DeserializeOwned>(&self, payload: &Payload) -> Result<T> {
        match payload.decode() {
            Ok(value) => Ok(value),
            Err(error) => {
                let (today, key) = (type_name::<T>(), &self.key);
                let message = if self.board.lock().journal.was_settled(&self.key) {
                    format!(
                        "step {key} was settled with a value that its type {today} does not fit: {error}; settle it again \
                         with one that fits"
                    )
                } else {
                    format!(
                        "{} {key} recorded a value that today's type {today} does not fit: {error}; let the type read the \
                         old form too (#[serde(default)], an alias), or give what is new its own name",
                        what(key)
                    )
                };
                self.board.stop(DeadReason::Mismatch, message);
                std::future::pending().await
            }
        }
    }
}

impl Context {
    /// Asks the store for something that it decides in the commit that records the answer. `name` is for the journal.
    pub(crate) async fn ask_store<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        family: Family,
        name: &str,
        ask: Ask,
    ) -> Result<T> {
        let leaf = self.wait_leaf(verb, family, name, type_name::<T>(), NewWork::Ask(ask));
        match Asking::ask(self.board(), leaf).await?.value().await? {
            Some(answer) => Ok(answer),
            // Only waits time out.
            None => std::future::pending().await,
        }
    }
}
