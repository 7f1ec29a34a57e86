//! Closures that compute, off the async threads.
//!
//! What comes in: a closure. What goes out: what it returned, or its panic as a failure. What must never happen here: more
//! of them at once than the lane has room for, also when attempts were given up.

use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use bowline_model::{Attempt, Effect, Failure, Recorded, Repeat, Result, Shape, Verdict};
use tokio::sync::oneshot;

use crate::lane::{Lane, WAIT_HERE_MAX};

/// How long one attempt may take unless the step says otherwise. Nothing can stop a closure, so it is given up late.
const CPU_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs a closure that computes for long, on a thread of its own: hashing, parsing, rendering, a model. The async threads
/// stay free, and no more of them run at once than the machine has cores (see [`Cpu::lane`]).
///
/// It may run several times, and again after a crash. Its error says itself whether to try again, as any closure's does. A
/// panic is a permanent failure that names it. An attempt may take 10 minutes; `.attempt_timeout` of the step sets another
/// limit. **A closure cannot be stopped**: given up or cancelled, it goes on to its end, and keeps its place in the lane until
/// then.
///
/// # A hash that is slow on purpose
/// ```
/// use bowline_exec::cpu;
/// use bowline_model::{Attempt, Effect, Verdict};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// // In a workflow: cx.step("stretch", cpu(move || Ok(stretch(&password)))).await?
/// let stretch = cpu(|| Ok((0..100_000_u64).fold(7, |hash, n| u64::rotate_left(hash ^ n, 5))));
/// let attempt = Attempt::new("a key", 1, std::time::Duration::from_secs(600));
/// assert!(matches!(stretch.attempt(attempt).await, Verdict::Done(_)));
/// # });
/// ```
///
/// # Durability
/// What it returned is recorded once. In flight at a crash, it runs again.
pub fn cpu<T, F: Fn() -> Result<T> + Send + Sync + 'static>(work: F) -> Cpu<F, T> {
    Cpu { work: Arc::new(work), lane: Lane::closures(), yields: PhantomData }
}

/// A closure that computes; see [`cpu`](fn@cpu).
#[must_use = "this is only a description: hand it to a step"]
pub struct Cpu<F, T> {
    work: Arc<F>,
    lane: Lane,
    yields: PhantomData<fn() -> T>,
}

impl<F, T> Cpu<F, T> {
    /// Runs in that lane instead of the one that all closures share.
    pub fn lane(mut self, lane: &Lane) -> Self {
        self.lane = lane.clone();
        self
    }
}

impl<F, T> fmt::Debug for Cpu<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl<F: Fn() -> Result<T> + Send + Sync + 'static, T: Recorded + 'static> Effect for Cpu<F, T> {
    type Output = T;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(CPU_TIMEOUT)
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<T> {
        let place = match self.lane.enter(WAIT_HERE_MAX.min(attempt.timeout() / 4)).await {
            Ok(place) => place,
            Err(wait) => return wait,
        };
        let (tell, told) = oneshot::channel();
        let work = self.work.clone();
        // A thread of its own, not the runtime's: that one waits for its blocking threads when it ends, and a closure that
        // goes on for an hour would hold up the shutdown for an hour.
        let begun = thread::Builder::new().name("bowline-cpu".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work()));
            drop(work);
            drop(place);
            // Nobody listens if the attempt was given up.
            let _ = tell.send(result);
        });
        match begun {
            Ok(_detached) => told.await.map_or_else(|_| Verdict::Unknown(lost()), judge),
            Err(error) => {
                Verdict::RetryAfter(Failure::refused(format!("no thread for the closure: {error}")))
            }
        }
    }
}

fn judge<T>(result: thread::Result<Result<T>>) -> Verdict<T> {
    result.map_or_else(|panic| Verdict::Unknown(panicked(&*panic)), Verdict::from)
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::unknown(format!("the closure panicked: {}", text.unwrap_or("with a value that is no text")))
        .permanent()
}

fn lost() -> Failure {
    Failure::unknown("the closure's thread ended without a result")
}
