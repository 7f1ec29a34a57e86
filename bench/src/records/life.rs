//! One run of the app: over a CRM of its own, killed on the way or not.

use std::{path::Path, sync::Arc, time::Duration};

use bowline::{RunId, Summary};
use bowline_model::{Clock, SystemClock};
use bowline_store::{SqliteOptions, SqliteStore, Store};
use bowline_testing::{
    CrmChanging, MockCrm, MockCrmOptions, Process, Program, crm::CrmChanges, process::free_port,
};

use super::{app, app::Look, found::Found};
use crate::{Result, args::RecordsArgs, usage};

const API_KEY: &str = "records-key";
/// How often it is looked how far the app is.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often the app is asked whether the run has ended.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long the app may take from one kill to the next, or to the end.
const WITHIN: Duration = Duration::from_secs(600);
/// How long the CRM may take to notice that who asked it is dead.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);
/// One contact in so many changes by itself.
const CHANGED_ONE_IN: usize = 10;
/// A kill comes up to so long after the `PATCH` that it waited for.
const KILL_LATE_MAX: Duration = Duration::from_millis(20);

/// What came of it.
pub(super) struct Life {
    pub(super) took: Duration,
    pub(super) found: Found,
    pub(super) changes: CrmChanges,
    /// The most `PATCH`es at once.
    pub(super) at_once: usize,
    pub(super) summary: Summary,
    /// What is left of its journal.
    pub(super) journal_len: usize,
    /// The most memory that the process which ended it ever had.
    pub(super) peak_bytes: u64,
    pub(super) kills: usize,
}

/// Runs the loop over so many contacts, and kills the app so often on the way.
///
/// # Errors
/// If the app does not start, or the run does not end.
pub(super) fn live(args: &RecordsArgs, contacts: usize, kills: usize, data_dir: &Path) -> Result<Life> {
    let dir = tempfile::Builder::new().prefix("bench-records-").tempdir_in(data_dir)?;
    let log = dir.path().join("crm.log");
    let most = u64::try_from(contacts / CHANGED_ONE_IN)?;
    let mut options = MockCrmOptions::default();
    options.log = Some(log.clone());
    options.api_key = Some(API_KEY.to_owned());
    options.latency = Duration::from_millis(args.crm_latency_ms);
    options.contacts = u64::try_from(contacts)?;
    // Spread over the first nine tenths: the rest goes over what moved and what is new.
    options.changing = Some(CrmChanging { every: 9, most, seed: args.seed });
    let crm = MockCrm::start(options)?;

    let (port, admin_port) = (free_port(), free_port());
    let mut server = program(dir.path(), &crm.url(), port, admin_port)?.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began_at = SystemClock.monotonic();
    let run = runtime.block_on(start(port, Look { page: args.page, in_flight: args.in_flight }))?;
    for kill in kill_times(contacts, kills, args.seed) {
        runtime.block_on(patched(&crm, &server, kill))?;
        // SIGKILL: nothing of it is asked whether it is ready.
        server.kill();
        runtime.block_on(forgotten(&crm))?;
        server.restart()?;
    }
    runtime.block_on(completed(&server, admin_port, run))?;
    let took = SystemClock.monotonic() - began_at;
    let peak_bytes = usage::memory_peak_bytes(server.id().ok_or("the app died")?)?;
    drop(server);
    let (summary, journal_len) = runtime.block_on(recorded(dir.path(), run))?;
    let stayed: Vec<u64> = crm.contacts().into_iter().filter(|id| *id <= contacts as u64).collect();
    Ok(Life {
        took,
        found: Found::of(&MockCrm::read_log(&log)?, &stayed),
        changes: crm.changes(),
        at_once: crm.patches_under_way().1,
        summary,
        journal_len,
        peak_bytes,
        kills,
    })
}

fn program(dir: &Path, crm_url: &str, port: u16, admin_port: u16) -> Result<Program> {
    let program = Program::new("/bin/sh")
        .args(["-c", "exec \"$0\" records-server >>server.log 2>&1"])
        .arg(std::env::current_exe()?)
        .dir(dir)
        .env("BOWLINE_STORE", format!("sqlite:{}", dir.join("bowline.db").display()))
        .env("BOWLINE_LISTEN", format!("127.0.0.1:{port}"))
        .env("BOWLINE_ADMIN", format!("127.0.0.1:{admin_port}"))
        .env("BOWLINE_LOG", "json")
        .env("CRM_BASE_URL", crm_url)
        .env("CRM_API_KEY", API_KEY)
        .ready_on_http(format!("http://127.0.0.1:{admin_port}/health/ready"));
    Ok(program)
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn start(port: u16, look: Look) -> Result<RunId> {
    let url = format!("http://127.0.0.1:{port}{}", app::PATH);
    let answer: serde_json::Value = client()?.post(url).json(&look).send().await?.json().await?;
    let run = answer["runs"][0].as_i64().ok_or_else(|| format!("no run was begun: {answer}"))?;
    Ok(RunId(run))
}

/// When it is killed: each time how many `PATCH`es the CRM has seen, and how long after that.
fn kill_times(contacts: usize, kills: usize, seed: u64) -> Vec<(u64, Duration)> {
    let mut chance = seed;
    // What is deleted is never sent: the last kill is early enough to come in any case.
    let slice = (contacts * 4 / 5 / kills.max(1)).max(1) as u64;
    let times = (0..kills as u64).map(|kill| {
        let after = kill * slice + draw(&mut chance) % slice;
        let late = KILL_LATE_MAX.mul_f64(draw(&mut chance) as f64 / u64::MAX as f64);
        (after.max(1), late)
    });
    times.collect()
}

/// splitmix64: <https://prng.di.unimi.it/splitmix64.c>
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut drawn = *state;
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    drawn ^ (drawn >> 31)
}

/// Waits until the CRM has seen so many `PATCH`es, and so long after that.
async fn patched(crm: &MockCrm, server: &Process, (patches, late): (u64, Duration)) -> Result {
    let deadline = SystemClock.monotonic() + WITHIN;
    while crm.patches() < patches {
        if !server.is_running() || SystemClock.monotonic() > deadline {
            let seen = crm.patches();
            return Err(said(
                server.dir(),
                &format!("the CRM saw {seen} of {patches} PATCHes until the kill"),
            ));
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
    SystemClock.sleep(late).await;
    Ok(())
}

/// Waits until the CRM has let go of what a dead process had asked: it is not under way beside what the next one asks.
async fn forgotten(crm: &MockCrm) -> Result {
    let deadline = SystemClock.monotonic() + NOTICED_WITHIN;
    while crm.patches_under_way().0 > 0 {
        if SystemClock.monotonic() > deadline {
            return Err("the CRM still works for a dead process".into());
        }
        SystemClock.sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn completed(server: &Process, admin_port: u16, run: RunId) -> Result {
    let (client, deadline) = (client()?, SystemClock.monotonic() + WITHIN);
    let url = format!("http://127.0.0.1:{admin_port}/api/status");
    loop {
        let status: serde_json::Value = client.get(&url).send().await?.json().await?;
        if status["runs"]["completed"] == 1 {
            return Ok(());
        }
        let is_dead = status["runs"]["dead_lettered"].as_u64().is_some_and(|dead| dead > 0);
        if is_dead || SystemClock.monotonic() > deadline {
            return Err(said(server.dir(), &format!("run {run} does not complete: {status}")));
        }
        SystemClock.sleep(ASK_EVERY).await;
    }
}

/// What the run yielded, and how many entries are left of its journal.
async fn recorded(dir: &Path, run: RunId) -> Result<(Summary, usize)> {
    let store = SqliteStore::open(dir.join("bowline.db"), SqliteOptions::default(), Arc::new(SystemClock))?;
    let summary = store.output(run).await?.ok_or("the run yielded nothing")?.decode()?;
    let journal_len = store.journal(run).await?.len();
    store.close().await?;
    Ok((summary, journal_len))
}

/// An error with the end of the app's log.
fn said(dir: &Path, error: &str) -> crate::Error {
    const LINES_MAX: usize = 20;
    let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    format!(
        "{error}\nthe app's log ends with:\n{}",
        lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_come_in_their_order_and_before_the_end() {
        for seed in 0..100 {
            let times: Vec<u64> = kill_times(300, 3, seed).into_iter().map(|(after, _)| after).collect();
            assert!(times.is_sorted() && times[2] < 250, "{times:?}");
        }
    }
}
