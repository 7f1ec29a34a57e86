//! Whether anything on this node goes on by itself: who is at work, and how many attempts are under way.
//!
//! What comes in: tasks that begin, and their waits. What goes out: one look at both counts. What must never happen here:
//! a look that finds nobody at work while something is about to go on: who is woken is at work from the call that woke
//! it, not from its next poll.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// The counts of one node, in one number, so that a look at both is of one moment.
#[derive(Default)]
pub(crate) struct Activity(AtomicU64);

const ONE_AT_WORK: u64 = 1;
const ONE_ATTEMPT: u64 = 1 << 32;

/// A look at the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) at_work: usize,
    pub(crate) attempts: usize,
}

impl Activity {
    pub(crate) fn look(&self) -> Look {
        let counts = self.0.load(Ordering::SeqCst);
        let half = |counts: u64| usize::try_from(counts & u64::from(u32::MAX)).expect("32 bits");
        Look { at_work: half(counts), attempts: half(counts >> 32) }
    }

    fn add(&self, one: u64) {
        self.0.fetch_add(one, Ordering::SeqCst);
    }

    fn take(&self, one: u64) {
        self.0.fetch_sub(one, Ordering::SeqCst);
    }

    /// A task is at work until the guard is dropped, but for what it [awaits](Self::idle). Taken before it is spawned.
    pub(crate) fn work(self: &Arc<Self>) -> Counted {
        Counted::new(self, ONE_AT_WORK)
    }

    /// An attempt is under way until the guard is dropped.
    pub(crate) fn attempt(self: &Arc<Self>) -> Counted {
        Counted::new(self, ONE_ATTEMPT)
    }

    /// Awaits what a task that is at work waits for; until that wakes it, it is not at work.
    pub(crate) async fn idle<T>(self: &Arc<Self>, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        let mut idler = Idler::new(self);
        poll_fn(|cx| idler.poll(wait.as_mut(), cx)).await
    }
}

/// Counts one while it lives.
pub(crate) struct Counted {
    activity: Arc<Activity>,
    one: u64,
}

impl Counted {
    fn new(activity: &Arc<Activity>, one: u64) -> Self {
        activity.add(one);
        Self { activity: activity.clone(), one }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.activity.take(self.one);
    }
}

/// Being polled: at work.
const POLLED: u8 = 0;
/// Waits: not at work.
const WAITS: u8 = 1;
/// Will be polled: at work.
const WOKEN: u8 = 2;
/// The wait is over: whoever still holds its waker changes nothing.
const OVER: u8 = 3;

/// One wait of one task, as its waker sees it.
struct Wait {
    activity: Arc<Activity>,
    stage: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wait {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Counted before it shows as woken: else it could be polled, and end, uncounted.
        self.activity.add(ONE_AT_WORK);
        let woken = self.stage.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |stage| {
            matches!(stage, POLLED | WAITS).then_some(WOKEN)
        });
        if woken != Ok(WAITS) {
            self.activity.take(ONE_AT_WORK);
        }
        self.task.wake();
    }
}

/// The task's side of a wait.
struct Idler {
    wait: Arc<Wait>,
    waker: Waker,
}

impl Idler {
    fn new(activity: &Arc<Activity>) -> Self {
        let (activity, stage) = (activity.clone(), AtomicU8::new(POLLED));
        let wait = Arc::new(Wait { activity, stage, task: AtomicWaker::new() });
        Self { waker: Waker::from(wait.clone()), wait }
    }

    fn poll<T>(&mut self, wait: Pin<&mut impl Future<Output = T>>, cx: &mut Context<'_>) -> Poll<T> {
        let Wait { activity, stage, task } = &*self.wait;
        if stage.swap(POLLED, Ordering::SeqCst) == WAITS {
            // The task was polled for another reason.
            activity.add(ONE_AT_WORK);
        }
        task.register(cx.waker());
        let polled = wait.poll(&mut Context::from_waker(&self.waker));
        if polled.is_pending()
            && stage.compare_exchange(POLLED, WAITS, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            activity.take(ONE_AT_WORK);
        }
        polled
    }
}

/// Who stops waiting is at work again, also when the wait is dropped half way.
impl Drop for Idler {
    fn drop(&mut self) {
        if self.wait.stage.swap(OVER, Ordering::SeqCst) == WAITS {
            self.wait.activity.add(ONE_AT_WORK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures_util::{FutureExt, future::select, task::noop_waker_ref};
    use tokio::sync::{Notify, oneshot};

    use super::*;

    fn at_work(activity: &Activity) -> usize {
        activity.look().at_work
    }

    /// Polls once, as an executor that was woken would.
    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        future.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn who_is_woken_is_at_work_before_the_poll() {
        let (activity, poked) = (Arc::new(Activity::default()), Notify::new());
        let task = activity.work();
        let mut wait = Box::pin(activity.idle(poked.notified()));
        assert_eq!(at_work(&activity), 1, "a wait that was never polled is work");
        assert!(poll(&mut wait).is_pending());
        assert_eq!(at_work(&activity), 0);
        poked.notify_one();
        assert_eq!(at_work(&activity), 1, "woken, and not polled yet");
        assert!(poll(&mut wait).is_ready());
        assert_eq!(at_work(&activity), 1, "it goes on");
        drop((wait, task));
        assert_eq!(at_work(&activity), 0);
    }

    #[test]
    fn a_wake_that_comes_during_the_poll_is_not_lost() {
        let activity = Arc::new(Activity::default());
        let _task = activity.work();
        let first = AtomicBool::new(true);
        let mut wait = Box::pin(activity.idle(poll_fn(|cx| {
            if first.swap(false, Ordering::SeqCst) {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })));
        assert!(poll(&mut wait).is_pending());
        assert_eq!(at_work(&activity), 1);
        assert!(poll(&mut wait).is_pending());
        assert_eq!(at_work(&activity), 0);
    }

    #[test]
    fn a_wake_reaches_the_task_that_polled_last() {
        struct Told(AtomicBool);
        impl Wake for Told {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (activity, poked) = (Arc::new(Activity::default()), Notify::new());
        let _task = activity.work();
        let mut wait = Box::pin(activity.idle(poked.notified()));
        let tasks = [(); 2].map(|()| Arc::new(Told(AtomicBool::new(false))));
        for task in &tasks {
            assert!(wait.poll_unpin(&mut Context::from_waker(&Waker::from(task.clone()))).is_pending());
        }
        poked.notify_one();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::SeqCst)), [false, true]);
    }

    #[test]
    fn a_poll_without_a_wake_and_a_second_wake_count_once() {
        let (activity, poked) = (Arc::new(Activity::default()), Notify::new());
        let _task = activity.work();
        let (told, mut telling) = (Notify::new(), Box::pin(poked.notified()));
        let mut wait = Box::pin(activity.idle(select(telling.as_mut(), Box::pin(told.notified()))));
        for _ in 0..3 {
            assert!(poll(&mut wait).is_pending());
            assert_eq!(at_work(&activity), 0);
        }
        poked.notify_one();
        told.notify_one();
        assert_eq!(at_work(&activity), 1);
    }

    #[test]
    fn a_dropped_wait_is_work_again_and_its_waker_means_nothing() {
        let activity = Arc::new(Activity::default());
        let task = activity.work();
        let kept = AtomicWaker::new();
        let mut wait = Box::pin(activity.idle(poll_fn(|cx| {
            kept.register(cx.waker());
            Poll::<()>::Pending
        })));
        assert!(poll(&mut wait).is_pending());
        drop(wait);
        assert_eq!(at_work(&activity), 1);
        kept.wake();
        assert_eq!(at_work(&activity), 1);
        drop(task);
        assert_eq!(at_work(&activity), 0);
    }

    /// Wakers and polls on two threads, in whatever order they come: in the end nobody is at work, and nothing is lost.
    #[test]
    fn counts_right_whatever_the_order() {
        let activity = Arc::new(Activity::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            for _ in 0..2000 {
                let ((first, one), (second, two)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
                let (counted, shared) = (activity.work(), activity.clone());
                let waiting = tokio::spawn(async move {
                    let _counted = counted;
                    let _ = shared.idle(select(one, two)).await;
                    assert!(shared.look().at_work >= 1, "whoever runs is at work");
                });
                let telling = tokio::spawn(async move { first.send(()) });
                let _ = second.send(());
                let _ = telling.await.unwrap();
                waiting.await.unwrap();
                assert_eq!(activity.look(), Look { at_work: 0, attempts: 0 });
            }
        });
    }
}
