//! Where in the code a poll is: the scope that keys are made in, and the loop's item that contexts belong to.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use bowline_model::{BoxFuture, ScopePath};

use super::{Board, BoardState};

/// A scope of a run's code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path of branches and items that enclose it.
    pub(crate) scope: ScopePath,
    /// The innermost item of a loop among them: only its own context may be used there.
    pub(crate) item: ScopePath,
}

impl Place {
    /// A branch of it: its contexts are those of the code around it.
    pub(crate) fn branch(&self, name: &str) -> Self {
        Self { scope: self.scope.child(name), item: self.item.clone() }
    }

    /// An item of a loop in it, that has a context of its own.
    pub(crate) fn item(&self, looped: &str, key: &str) -> Self {
        let scope = self.scope.child(looped).child(key);
        Self { item: scope.clone(), scope }
    }
}

impl BoardState {
    /// Where the poll under way is.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }
}

impl Board {
    /// From here on the poll under way is there; returns where it was. Nothing happens outside a poll of the run.
    fn enter(&self, place: Arc<Place>) -> Option<Arc<Place>> {
        let mut state = self.lock();
        if state.polling != Some(thread::current().id()) {
            return None;
        }
        Some(std::mem::replace(&mut state.place, place))
    }
}

/// Leaves a place when dropped, also by a panic.
struct Inside<'a> {
    board: &'a Board,
    outside: Option<Arc<Place>>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(outside) = self.outside.take() {
            self.board.lock().place = outside;
        }
    }
}

/// A part of a run's code with a scope of its own.
pub(crate) struct Scoped<'a, T> {
    board: Arc<Board>,
    place: Arc<Place>,
    code: BoxFuture<'a, T>,
}

impl<'a, T> Scoped<'a, T> {
    pub(crate) fn new(board: Arc<Board>, place: Place, code: impl Future<Output = T> + Send + 'a) -> Self {
        Self { board, place: Arc::new(place), code: Box::pin(code) }
    }
}

impl<T> Future for Scoped<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { board, place, code } = &mut *self;
        let outside = board.enter(place.clone());
        let _inside = Inside { board, outside };
        code.as_mut().poll(cx)
    }
}
