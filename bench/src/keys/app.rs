//! The app that is killed: one workflow, ordered per key, whose steps are lines in a file.

use std::{fs::File, io::Write as _, path::PathBuf, sync::Arc, time::Duration};

use bowline::{
    Attempt, Context, Error, OnDead, OpenApp, OpenOptions, Result as RunResult, StartError, Workflow,
    workflow,
};
use bowline_model::{Clock, RunState, SystemClock};
use bowline_store::{SqliteOptions, SqliteStore, Store};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{BLOCKED_KEY, LOG};
use crate::{Result, args::KeysArgs};

/// Starts under way at a time, each of another key.
const STARTS_MAX: usize = 256;
/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// One attempt in so many fails.
const FAILS_ONE_IN: u64 = 10;

struct Bench {
    log: File,
    seed: u64,
}

/// The n-th run of its key, from 1.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Piece {
    key: usize,
    n: usize,
}

impl Bench {
    /// One write, so that lines of others do not mix with it.
    fn note(&self, what: char, piece: Piece) -> RunResult {
        let line = format!("{what} {} {}\n", piece.key, piece.n);
        (&self.log).write_all(line.as_bytes()).map_err(Error::permanent)
    }

    fn begin(&self, piece: Piece, attempt: u32) -> RunResult {
        self.note('B', piece)?;
        if piece.key == BLOCKED_KEY {
            return Err(Error::permanent("this key is blocked"));
        }
        if self.fails(piece, attempt) {
            self.note('F', piece)?;
            return Err(Error::retryable("this attempt fails"));
        }
        Ok(())
    }

    fn fails(&self, piece: Piece, attempt: u32) -> bool {
        let drawn =
            [piece.key as u64, piece.n as u64, u64::from(attempt)].iter().fold(self.seed, |drawn, part| {
                (drawn ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
            });
        drawn.is_multiple_of(FAILS_ONE_IN)
    }
}

async fn work(bench: Arc<Bench>, cx: Context, piece: Piece) -> RunResult {
    let (first, last) = (bench.clone(), bench);
    cx.step("begin", move |attempt: Attempt| {
        let begun = first.begin(piece, attempt.number());
        async move { begun }
    })
    .await?;
    cx.step("end", move || {
        let ended = last.note('E', piece);
        async move { ended }
    })
    .await
}

/// Starts all runs that are not started yet, and ends when all are done that can be.
///
/// # Errors
/// If the store or a start fails.
pub(crate) fn serve(keys: &KeysArgs) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(drive(keys))
}

async fn drive(keys: &KeysArgs) -> Result {
    let dir = PathBuf::from(std::env::var("DIR")?);
    let log = File::options().create(true).append(true).open(dir.join(LOG))?;
    let store = SqliteStore::open(dir.join("bowline.db"), SqliteOptions::default(), Arc::new(SystemClock))?;
    let store: Arc<dyn Store> = Arc::new(store);
    let work = workflow("work", work).key(|piece: &Piece| piece.key).on_dead(OnDead::Block);
    let bench = std::sync::Mutex::new(Some(Bench { log, seed: keys.seed }));
    let systems = move |_: &mut bowline::Setup| {
        bench.lock().expect("nobody panics with it").take().expect("the app is built once")
    };
    let app = bowline::App::new("keys", systems).workflow(work.clone());
    let app = app.open_with(OpenOptions::default().store(store.clone()).without_housekeeping()).await?;
    start_all(&app, &work, keys).await?;
    // What the dead letter holds back stays queued; all else ends.
    let held = u64::try_from(keys.runs / keys.keys - 1)?;
    loop {
        let counts = store.counts(SystemClock.now()).await?;
        let open = counts.by_state.iter().filter(|(state, _)| state.is_open());
        let dead = counts.by_state.iter().any(|(state, _)| *state == RunState::DeadLettered);
        if dead && open.map(|(_, count)| count).sum::<u64>() == held {
            break;
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
    app.shutdown().await;
    store.close().await?;
    Ok(())
}

/// The first of each key, then the second of each: a start that was made before a kill is recognised.
async fn start_all(app: &OpenApp<Bench>, work: &Workflow<Bench, Piece, ()>, keys: &KeysArgs) -> Result {
    for n in 1..=keys.runs / keys.keys {
        let mut starts: JoinSet<Result<(), StartError>> = JoinSet::new();
        for key in 0..keys.keys {
            if starts.len() >= STARTS_MAX
                && let Some(started) = starts.join_next().await
            {
                started?.map_err(|error| error.to_string())?;
            }
            let start = app.start(work, &Piece { key, n }).dedupe(format!("{key}/{n}"));
            starts.spawn(async move { start.await.map(|_| ()) });
        }
        while let Some(started) = starts.join_next().await {
            started?.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
