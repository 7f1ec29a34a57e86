//! The port between loops and what they go over: items that arrive one by one.

use std::{future::Future, time::Duration};

use futures_util::Stream;

use crate::{Attempt, Recorded, Result, Shape, Verdict};

/// Something whose items arrive one by one, each time from the beginning: what a client makes of a call whose answer is
/// too large to hold, and a loop in a run goes over.
///
/// A loop opens it when it needs items, and again after a crash or a broken connection; it finds the place where it was
/// by counting.
pub trait Streaming: Send + Sync {
    /// What arrives.
    type Item: Recorded;
    /// The items of one opening. After an error nothing more is asked of it.
    type Items: Stream<Item = Result<Self::Item>> + Send;

    /// What is called, as far as the journal is concerned.
    fn shape(&self) -> Shape;

    /// How long it may take until it is open; `None`: as long as a call, 10 s.
    fn open_timeout(&self) -> Option<Duration> {
        None
    }

    /// Opens it, in one attempt. `from` is the place (from 0) of the first item that is needed: who can begin there does.
    fn open(&self, from: u64, attempt: &Attempt)
    -> impl Future<Output = Verdict<Opened<Self::Items>>> + Send;
}

/// Items on their way.
#[derive(Debug)]
pub struct Opened<S> {
    /// The items.
    pub items: S,
    /// The place (from 0) of the first of them: at most the one that was asked for.
    pub begins_at: u64,
}
