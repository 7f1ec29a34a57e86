//! The store's threads, and how they end.

use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::{StoreError, StoreErrorKind};

/// Threads to wait for, once they were told to end.
#[derive(Default)]
pub(super) struct Threads {
    all: Vec<Running>,
}

struct Running {
    handle: JoinHandle<()>,
    /// Errs when the thread's work, and with it its connection, is gone.
    is_done: oneshot::Receiver<()>,
}

impl Threads {
    /// Starts one.
    pub(super) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), StoreError> {
        let (done, is_done) = oneshot::channel::<()>();
        let run = move || {
            work();
            drop(done);
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|e| {
            let message =
                format!("cannot start a thread for the store: {e}; check the limits of this process");
            StoreError::new(StoreErrorKind::Unavailable, message)
        })?;
        self.all.push(Running { handle, is_done });
        Ok(())
    }

    /// Waits until all have let go of the file.
    pub(super) async fn wait(self) {
        for thread in self.all {
            // An error says that its end was dropped, which is what it is for.
            let _ = thread.is_done.await;
        }
    }

    /// The same, where nothing can be awaited.
    pub(super) fn join(self) {
        for thread in self.all {
            // One that panicked has said so already.
            let _ = thread.handle.join();
        }
    }
}
