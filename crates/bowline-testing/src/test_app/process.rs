//! The process of an app under test: a thread with a runtime that can be killed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle as Thread,
    time::Duration,
};

use axum::Router;
use bowline::{App, OpenApp, OpenError, OpenOptions};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::yield_now,
};

use super::{
    waiting::{PATIENCE, wait_for},
    wall::Wall,
};

/// What panics call the thread of an app.
const NAME: &str = "bowline-app";

/// One life of an app's process. What it knows beside its store is gone when it is killed.
pub(crate) struct Process<S> {
    handle: Handle,
    app: OpenApp<S>,
    router: Router,
    life: Mutex<Option<Life>>,
}

/// The thread that a process is.
struct Life {
    kill: oneshot::Sender<()>,
    died: Receiver<()>,
    thread: Thread<()>,
}

/// Why a call to a process has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It took too long.
    Late,
    /// The process ended, or the call panicked.
    Gone,
}

impl<S: Send + Sync + 'static> Process<S> {
    /// Starts a process with that wall clock and opens the app in it.
    pub(crate) fn start(
        wall: &Arc<Wall>,
        app: &Arc<App<S>>,
        options: OpenOptions,
    ) -> Result<Result<Self, OpenError>, NoAnswer> {
        let (handle, life) = start_runtime(wall);
        let app = app.clone();
        let opened = call_on(&handle, async move { app.open_with(options).await }, PATIENCE)?;
        Ok(opened.map(|app| {
            let router = app.clone().into_router();
            Self { handle, app, router, life: Mutex::new(Some(life)) }
        }))
    }

    pub(crate) fn app(&self) -> &OpenApp<S> {
        &self.app
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl<S> Process<S> {
    /// As `kill -9`: nothing is told to anybody. Returns whether it is dead: code that never yields cannot be killed.
    pub(crate) fn kill(&self) -> bool {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Life { kill, died, thread }) = life else { return true };
        let _ = kill.send(());
        let is_dead = died.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout);
        if is_dead {
            let _ = thread.join();
        }
        is_dead
    }
}

impl<S> Drop for Process<S> {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start_runtime(wall: &Arc<Wall>) -> (Handle, Life) {
    let (kill, killed) = oneshot::channel();
    let (alive, died): (Sender<()>, _) = channel();
    let runtime = Builder::new_current_thread()
        .thread_name(NAME)
        .on_thread_start({
            let wall = wall.clone();
            move || wall.join()
        })
        .enable_all()
        .build()
        .expect("the machine has descriptors for a runtime");
    let handle = runtime.handle().clone();
    let wall = wall.clone();
    let run = move || {
        wall.join();
        let _ = runtime.block_on(killed);
        // Not a plain drop: it would wait for what the app left on blocking threads.
        runtime.shutdown_background();
        drop(alive);
    };
    let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(run);
    let thread = thread.expect("the machine has a thread for the app");
    (handle, Life { kill, died, thread })
}

/// Runs the future on that runtime and waits for it on this thread.
pub(crate) fn call_on<T: Send + 'static>(
    handle: &Handle,
    future: impl Future<Output = T> + Send + 'static,
    longest: Duration,
) -> Result<T, NoAnswer> {
    match wait_for(handle.spawn(future), longest) {
        Some(Ok(output)) => Ok(output),
        Some(Err(_ended)) => Err(NoAnswer::Gone),
        None => Err(NoAnswer::Late),
    }
}

/// Yields within one ping: at each of them the runtime looks at its sockets and runs all that is ready.
const PING_YIELDS: usize = 3;

/// Lets everything on that runtime run that is ready now.
pub(crate) fn ping(handle: &Handle) -> Result<(), NoAnswer> {
    let all_that_is_ready = async {
        for _ in 0..PING_YIELDS {
            yield_now().await;
        }
    };
    call_on(handle, all_that_is_ready, PATIENCE)
}
