//! So many at once, and no more.
//!
//! Who finds no room waits a moment in line, and then asks for a durable wait: the run rests on disk, and holds no slot of
//! the engine until it asks again.

use std::{
    fmt,
    future::Future,
    num::NonZero,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

use bowline_model::{Clock, SystemClock, Verdict};
use futures_util::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a place is waited for in memory, in the order of arrival.
pub(crate) const WAIT_HERE_MAX: Duration = Duration::from_secs(2);
/// The shortest durable wait.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest: room may come at any moment.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A new duration's weight in the usual one: an eighth.
const LAST_SHARE: u64 = 8;

/// Room for so many programs or closures at once. Clones share it.
///
/// Programs have one for all of this process, and closures another, each as wide as the machine has cores. A lane of one's
/// own is for what needs more room than one core: a GPU, much memory, a licence.
///
/// Who finds no room waits for 2 s in the order of arrival; after that, the run waits durably for about as long as it takes,
/// and asks again. Among those who come back there is no order.
///
/// # One at a time on the GPU
/// ```
/// use bowline_exec::{Exec, Lane};
///
/// // Held by the app's struct, beside its Apis.
/// let gpu = Lane::new(1);
/// let exec = Exec::new("python3").arg("embed.py").lane(&gpu);
/// ```
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    size: usize,
    semaphore: Arc<Semaphore>,
    waiting: AtomicUsize,
    usual_ms: AtomicU64,
}

impl Lane {
    /// Room for `size` at once; at least one.
    pub fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            size,
            semaphore: Arc::new(Semaphore::new(size)),
            waiting: AtomicUsize::new(0),
            usual_ms: AtomicU64::new(0),
        }))
    }

    /// The one of all programs of this process that name no other.
    pub(crate) fn programs() -> Self {
        static PROGRAMS: LazyLock<Lane> = LazyLock::new(Lane::of_cores);
        PROGRAMS.clone()
    }

    /// The one of all closures.
    pub(crate) fn closures() -> Self {
        static CLOSURES: LazyLock<Lane> = LazyLock::new(Lane::of_cores);
        CLOSURES.clone()
    }

    fn of_cores() -> Self {
        Self::new(available_parallelism().map_or(1, NonZero::get))
    }

    /// A place, or how long to wait for one.
    pub(crate) async fn enter<T>(&self, wait_here: Duration) -> Result<Place, Verdict<T>> {
        if let Ok(permit) = self.0.semaphore.clone().try_acquire_owned() {
            return Ok(self.place(permit));
        }
        let _waiting = Waiting::new(&self.0.waiting);
        let ahead = self.0.waiting.load(Ordering::Relaxed);
        match within(self.0.semaphore.clone().acquire_owned(), wait_here).await {
            Some(permit) => Ok(self.place(permit.expect("the lane is never closed"))),
            None => Err(Verdict::Wait {
                wait: self.wait(ahead),
                why: format!("one of {} places for programs and closures", self.0.size),
            }),
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { lane: self.0.clone(), since: SystemClock.monotonic(), _permit: permit }
    }

    /// About when there is room for who had so many ahead.
    fn wait(&self, ahead: usize) -> Duration {
        let usual = Duration::from_millis(self.0.usual_ms.load(Ordering::Relaxed));
        let rounds = u32::try_from(ahead.div_ceil(self.0.size)).unwrap_or(u32::MAX);
        usual.saturating_mul(rounds).clamp(WAIT_MIN, WAIT_MAX)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.0.semaphore.available_permits();
        f.debug_struct("Lane").field("size", &self.0.size).field("free", &free).finish()
    }
}

/// The future's output, if it comes in that real time. Programs live in real time, whatever clock the app has.
pub(crate) async fn within<F: Future>(future: F, time: Duration) -> Option<F::Output> {
    match select(pin!(future), SystemClock.sleep(time)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// Somebody is in the lane, until this is dropped.
pub(crate) struct Place {
    lane: Arc<Inner>,
    since: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let took = SystemClock.monotonic().saturating_sub(self.since);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX / LAST_SHARE);
        let usual = &self.lane.usual_ms;
        let _ = usual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |usual_ms| {
            Some(if usual_ms == 0 { took_ms } else { (usual_ms * (LAST_SHARE - 1) + took_ms) / LAST_SHARE })
        });
    }
}

/// Counts one who waits while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_a_moment_and_then_durably() {
        let lane = Lane::new(1);
        let first = lane.enter::<()>(Duration::ZERO).await.ok().unwrap();
        match lane.enter::<()>(Duration::from_millis(1)).await {
            Err(Verdict::Wait { wait, why }) => {
                assert!((WAIT_MIN..=WAIT_MAX).contains(&wait));
                assert_eq!(why, "one of 1 places for programs and closures");
            }
            _ => panic!("the lane is full"),
        }
        let waiting = lane.enter::<()>(Duration::from_secs(60));
        drop(first);
        assert!(waiting.await.is_ok());
        assert_eq!(lane.0.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_wait_grows_with_those_ahead_and_is_bounded() {
        let lane = Lane::new(2);
        lane.0.usual_ms.store(4_000, Ordering::Relaxed);
        assert_eq!([1, 2, 3, 1_000_000].map(|ahead| lane.wait(ahead).as_secs()), [4, 4, 8, 60]);
    }
}
