//! The waker of one run: says that it was woken, and by its count of clones whether somebody the engine does not know
//! may still wake it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Tells a run's driver that the run was woken.
#[derive(Default)]
pub(crate) struct RunWaker {
    woken: AtomicBool,
    driver: AtomicWaker,
}

impl RunWaker {
    /// Marks the run as woken and wakes its driver.
    fn signal(&self) {
        self.woken.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Whether the run was woken since this was last asked.
    pub(crate) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether the run was woken; leaves the mark.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Ready when the run was woken; leaves the mark for [`take`](Self::take).
    pub(crate) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.register(cx.waker());
        if self.woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What is behind the wakers that the run's code holds: counted, while [`RunWaker`] is not.
struct CodeWaker {
    run: Arc<RunWaker>,
}

impl Wake for CodeWaker {
    fn wake(self: Arc<Self>) {
        let run = self.run.clone();
        // First, so that whoever is woken does not count a waker that is spent.
        drop(self);
        run.signal();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.run.signal();
    }
}

/// A run's waker as the machine holds it.
pub(crate) struct OwnWaker {
    run: Arc<RunWaker>,
    code: Arc<CodeWaker>,
    waker: Waker,
}

/// Clones that [`OwnWaker`] itself holds.
const OWN_CLONES: usize = 2;

impl OwnWaker {
    pub(crate) fn new() -> Self {
        let run = Arc::new(RunWaker::default());
        let code = Arc::new(CodeWaker { run: run.clone() });
        Self { run, waker: Waker::from(code.clone()), code }
    }

    pub(crate) fn run(&self) -> &Arc<RunWaker> {
        &self.run
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Clones held elsewhere: by leaves, by combinators such as `FuturesUnordered`, by strangers.
    pub(crate) fn clones_elsewhere(&self) -> usize {
        Arc::strong_count(&self.code) - OWN_CLONES
    }
}
