//! The bounded way to the writer thread.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_model::{Failure, RunId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{fault::Fault, fresh::Kept, transaction::Tx};
use crate::{StoreError, StoreErrorKind};

/// One write of the store: checks first, then changes, so that a refusal leaves its neighbours unharmed.
pub(super) trait Write: Send + 'static {
    /// What the caller learns.
    type Out: Send + 'static;

    /// Applies it. May be called again after a rollback.
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<Self::Out, Fault>;

    /// Roughly the memory it holds, beyond a constant.
    fn payload_bytes(&self) -> usize;

    /// Whether it wants a transaction of its own: it runs the user's code, and what that does may be given up.
    fn is_alone(&self) -> bool {
        false
    }

    /// What the caller learns when the user's code failed, and nothing was written.
    ///
    /// # Errors
    /// If it runs no such code.
    fn failed(&self, failure: Failure) -> Result<Self::Out, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, failure.to_string()))
    }

    /// Says what committed. Called before anybody is answered.
    fn committed(&mut self, _out: &Self::Out, _news: &mut News<'_>) {}

    /// What to write when it committed and its caller is gone.
    fn undo(_out: Self::Out) -> Option<Box<dyn Job>> {
        None
    }
}

/// What a commit changed of what is kept in memory.
pub(super) struct News<'f> {
    pub(super) fresh: &'f mut Kept,
    /// Runs that are open no more.
    pub(super) ended: Vec<RunId>,
}

/// A write with its caller, as the writer thread sees it.
pub(super) trait Job: Send {
    /// Applies the write and keeps its outcome, a refusal included.
    ///
    /// # Errors
    /// If the transaction must be rolled back.
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault>;
    /// See [`Write::committed`].
    fn committed(&mut self, news: &mut News<'_>);
    /// Tells the caller the outcome. Only after the commit. Returns what to write if the caller is gone.
    fn answer(self: Box<Self>) -> Option<Box<dyn Job>>;
    /// Tells the caller that nothing was written.
    fn fail(self: Box<Self>, error: StoreError);
    /// Tells the caller that the user's code failed, and that nothing was written.
    fn failed(self: Box<Self>, failure: Failure);
    /// See [`Write::is_alone`].
    fn is_alone(&self) -> bool;
    /// See [`Write::payload_bytes`].
    fn payload_bytes(&self) -> usize;
    /// Whether the caller still waits.
    fn is_wanted(&self) -> bool;
}

/// A write that nobody waits for.
pub(super) struct Unattended<W>(pub(super) W);

impl<W: Write> Job for Unattended<W> {
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.0.apply(tx).map(|_| ())
    }

    /// Giving a claimed run back leaves its journal as it was.
    fn committed(&mut self, _news: &mut News<'_>) {}

    fn answer(self: Box<Self>) -> Option<Box<dyn Job>> {
        None
    }

    fn fail(self: Box<Self>, error: StoreError) {
        tracing::warn!(%error, "runs that were claimed for a caller who left could not be given back");
    }

    fn failed(self: Box<Self>, failure: Failure) {
        tracing::warn!(%failure, "what nobody waits for failed");
    }

    fn is_alone(&self) -> bool {
        self.0.is_alone()
    }

    fn payload_bytes(&self) -> usize {
        self.0.payload_bytes()
    }

    fn is_wanted(&self) -> bool {
        true
    }
}

struct Request<W: Write> {
    write: W,
    outcome: Option<Result<W::Out, StoreError>>,
    reply: oneshot::Sender<Result<W::Out, StoreError>>,
    payload_bytes: usize,
    room: OwnedSemaphorePermit,
}

impl<W: Write> Job for Request<W> {
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let changes = tx.conn.total_changes();
        self.outcome = Some(match self.write.apply(tx) {
            Ok(out) => Ok(out),
            Err(Fault::Refused(error)) if tx.conn.total_changes() == changes => Err(error),
            Err(fault) => return Err(fault),
        });
        Ok(())
    }

    fn committed(&mut self, news: &mut News<'_>) {
        if let Some(Ok(out)) = &self.outcome {
            self.write.committed(out, news);
        }
    }

    fn answer(self: Box<Self>) -> Option<Box<dyn Job>> {
        let Self { outcome, reply, room, .. } = *self;
        // Who has an answer finds its room free.
        drop(room);
        match reply.send(outcome.expect("a batch is answered after each of its writes was applied")) {
            Err(Ok(out)) => W::undo(out),
            Ok(()) | Err(Err(_)) => None,
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let Self { reply, room, .. } = *self;
        drop(room);
        // The caller may be gone.
        let _ = reply.send(Err(error));
    }

    fn failed(self: Box<Self>, failure: Failure) {
        let Self { write, reply, room, .. } = *self;
        drop(room);
        // The caller may be gone.
        let _ = reply.send(write.failed(failure));
    }

    fn is_alone(&self) -> bool {
        self.write.is_alone()
    }

    fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }
}

/// Where a write's caller waits.
pub(super) type Caller<W> = oneshot::Receiver<Result<<W as Write>::Out, StoreError>>;

/// A write as the writer takes it, and where its caller waits. The room is held until it is answered.
pub(super) fn request<W: Write>(write: W, room: OwnedSemaphorePermit) -> (Box<dyn Job>, Caller<W>) {
    let (reply, answer) = oneshot::channel();
    let payload_bytes = write.payload_bytes();
    (Box::new(Request { write, outcome: None, reply, payload_bytes, room }), answer)
}

/// What to do when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Answer `Busy` at once.
    Refuse,
    /// Wait for room, first come, first served; ahead of whoever would be refused.
    Wait,
}

/// The callers' end.
pub(super) struct Queue {
    sender: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    room: Arc<Semaphore>,
    room_bytes: usize,
}

impl Queue {
    /// A queue, and the writer's end of it.
    pub(super) fn new(len_max: usize, bytes_max: usize) -> (Self, mpsc::Receiver<Box<dyn Job>>) {
        // A permit count must fit 32 bits; 4 GiB of waiting writes are beyond any use.
        let room_bytes = bytes_max.clamp(1, u32::MAX as usize);
        let (sender, receiver) = mpsc::channel(len_max);
        let queue =
            Self { sender: Mutex::new(Some(sender)), room: Arc::new(Semaphore::new(room_bytes)), room_bytes };
        (queue, receiver)
    }

    /// Hands a write to the writer thread and waits until it is on disk.
    pub(super) async fn submit<W: Write>(&self, write: W, when_full: WhenFull) -> Result<W::Out, StoreError> {
        let sender = self.sender()?;
        let payload_bytes = write.payload_bytes();
        // What is larger than the whole room still goes, alone.
        let room = u32::try_from(payload_bytes.clamp(1, self.room_bytes)).expect("clamped to 32 bits");
        let (place, room) = match when_full {
            WhenFull::Refuse => {
                let room = Arc::clone(&self.room).try_acquire_many_owned(room).map_err(|_| busy())?;
                (sender.try_reserve_owned().map_err(|_| busy())?, room)
            }
            WhenFull::Wait => {
                let room = Arc::clone(&self.room).acquire_many_owned(room).await.map_err(|_| closed())?;
                (sender.reserve_owned().await.map_err(|_| closed())?, room)
            }
        };
        let (request, answer) = request(write, room);
        place.send(request);
        answer.await.map_err(|_| closed())?
    }

    /// Lets no further write in. The writer ends what is queued.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn sender(&self) -> Result<mpsc::Sender<Box<dyn Job>>, StoreError> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }
}

fn busy() -> StoreError {
    StoreError::new(StoreErrorKind::Busy, "too many writes wait for the disk; try again in a second")
}

/// The answer of a store that was closed, or whose thread is gone.
pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is closed; start the program again")
}
