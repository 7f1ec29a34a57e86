//! Waiting on the test's own thread, inside an async test or not: never longer than the patience allows.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use bowline_model::{Clock, SystemClock};

/// How long, in real time, anything may take that a test waits for. Long, as it is only waited for where something is wrong,
/// and machines may be slow or busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The future's output; `None` if it takes longer than `longest`. The thread sleeps meanwhile.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>, longest: Duration) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let end = SystemClock.monotonic() + longest;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let now = SystemClock.monotonic();
        if now >= end {
            return None;
        }
        thread::park_timeout(end - now);
    }
}
