//! Runs that sleep: what a million of them cost a process that starts, and whether the first still wakes in time.
//!
//! What comes in: how many. What goes out: a table. What must never happen here: a run that sleeps otherwise than one that the
//! engine put to sleep; the one that wakes shows it, as its code is run from what is on disk.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, sync::Arc, time::Duration};

use bowline::prelude::*;
use bowline_model::{
    BuildId, Clock, Entry, EntryKey, EntryKind, EntryMeta, Family, KeySeed, NewEvent, NewRun, NodeId,
    Position, Run, RunId, RunState, ScopePath, Seq, SystemClock,
};
use bowline_store::{
    Accepted, Batch, Claim, RunWrite, SqliteOptions, SqliteStore, Store, Synchronous, Transition,
};
use bowline_testing::{Program, process::free_port};
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::{
    Result,
    args::{Args, SleepersArgs},
    machine, run,
    server::ServerName,
    usage,
};

/// As whom the bench runs when it is the server.
pub(crate) const SERVER: ServerName = ServerName("bench-sleepers");
const WORKFLOW: &str = "sleeper";
/// Events of one write.
const BATCH: usize = 500;
/// Runs of one claim.
const CLAIM: usize = 256;
/// When the others wake.
const FAR: Duration = Duration::from_secs(30 * 86_400);
/// When the earliest wakes, from when the server is started.
const WAKES_IN: Duration = Duration::from_secs(20);
/// How long after its time it may take until the bench gives up.
const WAKES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct Sleepers;

impl Sleepers {
    /// Sleeps until then; yields when it woke.
    async fn sleep(self: Arc<Self>, cx: Context, until: Timestamp) -> bowline::Result<Timestamp> {
        cx.sleep_until(until).await;
        Ok(cx.now())
    }
}

/// The server.
pub(crate) fn app() -> App<Sleepers> {
    App::new("sleepers", |_| Sleepers).workflow(workflow(WORKFLOW, Sleepers::sleep))
}

struct Found {
    filled_in: Duration,
    store_bytes: u64,
    started_in: Duration,
    resident_bytes: u64,
    late: Duration,
}

/// Measures, and prints a table.
///
/// # Errors
/// If the store cannot be filled, the server does not start, or the earliest run does not wake.
pub(crate) fn run(args: &Args, sleepers: &SleepersArgs) -> Result {
    let data_dir = run::data_dir(args)?;
    let machine = machine::describe(&data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let found = runtime.block_on(measure(sleepers.runs, dir.path()))?;
    let report = report(sleepers.runs, &machine, &found)?;
    std::io::stdout().write_all(report.as_bytes())?;
    if args.write {
        OpenOptions::new().create(true).append(true).open(run::RESULTS)?.write_all(report.as_bytes())?;
    }
    Ok(())
}

async fn measure(runs: usize, dir: &Path) -> Result<Found> {
    let path = dir.join("bowline.db");
    let began_at = SystemClock.monotonic();
    let (first, wakes_at) = fill(&path, runs).await?;
    let filled_in = SystemClock.monotonic() - began_at;
    let store_bytes = std::fs::metadata(&path)?.len();

    let (port, admin_port) = (free_port(), free_port());
    let program = Program::new("/bin/sh")
        .args(["-c", "exec \"$0\" sleepers-server >server.log 2>&1"])
        .arg(std::env::current_exe()?)
        .dir(dir)
        .env("BOWLINE_STORE", format!("sqlite:{}", path.display()))
        .env("BOWLINE_LISTEN", format!("127.0.0.1:{port}"))
        .env("BOWLINE_ADMIN", format!("127.0.0.1:{admin_port}"))
        .env("BOWLINE_LOG", "json")
        .ready_on_http(format!("http://127.0.0.1:{admin_port}/health/ready"));
    let began_at = SystemClock.monotonic();
    let process = tokio::task::block_in_place(|| program.start())?;
    let started_in = SystemClock.monotonic() - began_at;
    woken(admin_port, first, wakes_at).await?;
    let resident_bytes = usage::memory_peak_bytes(process.id().ok_or("the server died")?)?;
    drop(process);
    let store = SqliteStore::open(&path, SqliteOptions::default(), Arc::new(SystemClock))?;
    let woke_at: Timestamp = store.output(first).await?.ok_or("the run yielded nothing")?.decode()?;
    store.close().await?;
    let late = Duration::try_from(woke_at.duration_since(wakes_at)).unwrap_or_default();
    Ok(Found { filled_in, store_bytes, started_in, resident_bytes, late })
}

/// Waits until that run is completed.
async fn woken(admin_port: u16, run: RunId, wakes_at: Timestamp) -> Result {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://127.0.0.1:{admin_port}/api/runs/{run}");
    let until = wakes_at.checked_add(WAKES_WITHIN)?;
    loop {
        let shown: serde_json::Value = client.get(&url).send().await?.json().await?;
        if shown["state"] == RunState::Completed.as_str()
            || shown["run"]["state"] == RunState::Completed.as_str()
        {
            return Ok(());
        }
        if SystemClock.now() > until {
            return Err(format!("run {run} should have woken at {wakes_at}: {shown}").into());
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
}

/// Fills a new store. Which run wakes first, and when.
async fn fill(path: &Path, runs: usize) -> Result<(RunId, Timestamp)> {
    // What is filled in need not survive a power cut.
    let options = SqliteOptions { synchronous: Synchronous::Off, ..SqliteOptions::default() };
    let store = SqliteStore::open(path, options, Arc::new(SystemClock))?;
    let node = store.start_node(SystemClock.now()).await?.node;
    let far = SystemClock.now().checked_add(FAR)?;
    let mut filled = 0;
    while filled < runs - 1 {
        let batch = BATCH.min(runs - 1 - filled);
        let due = |nth: usize| far.checked_add(Duration::from_millis(nth as u64));
        let dues: Vec<Timestamp> = (filled..filled + batch).map(due).collect::<Result<_, _>>()?;
        put_to_sleep(&store, node, filled, &dues).await?;
        filled += batch;
    }
    let wakes_at = SystemClock.now().checked_add(WAKES_IN)?;
    let last = put_to_sleep(&store, node, filled, &[wakes_at]).await?;
    store.close().await?;
    Ok((last, wakes_at))
}

/// Accepts runs, and lets each sleep as the engine would. The last of them.
async fn put_to_sleep(store: &SqliteStore, node: NodeId, filled: usize, dues: &[Timestamp]) -> Result<RunId> {
    let now = SystemClock.now();
    let events = (filled..).zip(dues).map(|(nth, due)| event(nth, *due, now)).collect();
    let accepted = store.accept(Batch { events, ..Batch::default() }).await?;
    let mut left = dues.len();
    while left > 0 {
        let workflows = vec![(WORKFLOW.into(), CLAIM)];
        let claim = Claim { node, now, total_max: CLAIM, workflows, others_max: 0, crashes_min: 0 };
        let claimed = store.claim(claim).await?;
        if claimed.is_empty() {
            return Err("the store has less than was put in".into());
        }
        left -= claimed.len();
        let first = runs_of(&accepted)?;
        let sleeps = claimed.iter().map(|run| {
            let nth = usize::try_from(run.id.0 - first.0).unwrap_or_default();
            store.write(asleep(run, dues[nth], now))
        });
        try_join_all(sleeps).await?;
    }
    let last = accepted.last().ok_or("nothing was put in")?;
    runs_of(std::slice::from_ref(last))
}

fn runs_of(accepted: &[Accepted]) -> Result<RunId> {
    match accepted.first() {
        Some(Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. }) => {
            runs.first().copied().ok_or_else(|| "an event without a run".into())
        }
        None => Err("nothing was accepted".into()),
    }
}

fn event(nth: usize, due: Timestamp, now: Timestamp) -> NewEvent {
    let run = NewRun {
        workflow: WORKFLOW.into(),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: BuildId::from("bench"),
        key_seed: KeySeed(nth as u128),
        due: None,
        flow: bowline_model::RunFlow::default(),
        journal: vec![],
    };
    NewEvent {
        source: "bench".to_owned(),
        provider: "bench".to_owned(),
        kind: WORKFLOW.to_owned(),
        dedupe_key: nth.to_string(),
        dedupe_until: now,
        received_at: now,
        headers: vec![],
        body: format!("\"{due}\"").into(),
        input_pointer: String::new(),
        runs: vec![run],
    }
}

fn asleep(run: &Run, due: Timestamp, now: Timestamp) -> RunWrite {
    let key = EntryKey {
        family: Family::Timer,
        scope: ScopePath::root(),
        name: "sleep".to_owned(),
        position: Position::Nth(1),
    };
    let meta =
        EntryMeta { next_at: Some(due), note: Some(format!("sleeps until {due}")), ..EntryMeta::default() };
    let entry = Entry {
        seq: Seq(1),
        kind: EntryKind::Awaited,
        key,
        at: now,
        build: BuildId::from("bench"),
        meta,
        payload: None,
    };
    let transition = Some(Transition::Wait { due: Some(due), seen: None });
    RunWrite::new(run.id, run.epoch, now, vec![entry], transition)
}

fn report(runs: usize, machine: &str, found: &Found) -> Result<String> {
    let mut out = String::new();
    let today = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(out, "\n## {today}: {runs} runs that sleep\n\n{machine}")?;
    writeln!(
        out,
        "A new process finds them in its store (SQLite, {:.0} MiB, filled in {:.0} s without syncs); one of them wakes {} s \
         after its start, the others in a month.\n",
        mib(found.store_bytes),
        found.filled_in.as_secs_f64(),
        WAKES_IN.as_secs(),
    )?;
    writeln!(out, "| | |\n| --- | ---: |")?;
    writeln!(out, "| ready after, s | {:.2} |", found.started_in.as_secs_f64())?;
    writeln!(out, "| peak MiB | {:.0} |", mib(found.resident_bytes))?;
    writeln!(out, "| the earliest woke late by, ms | {:.0} |", found.late.as_secs_f64() * 1e3)?;
    Ok(out)
}
