//! A run is ended from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bowline_engine::{Cancel, Context, Engine, Workflow};
use bowline_model::{EntryKind, RunId, RunState};
use bowline_store::{Store, StoreError, StoreErrorKind};
use serde_json::Value;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

const WHY: &str = "replaced by a newer one";
const LONG: Duration = Duration::from_secs(20 * 24 * 3600);

/// Two calls, and a mark when the code is dropped or ends.
fn two_calls(remote: &Arc<Remote>, left: &Arc<AtomicUsize>) -> Workflow {
    let (remote, left) = (remote.clone(), left.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, guard) = (remote.clone(), Left(left.clone()));
        async move {
            let _guard = guard;
            cx.step("a", remote.post("/a")).attempt_timeout(LONG).await?;
            cx.step("b", remote.post("/b")).attempt_timeout(LONG).await
        }
    })
}

struct Left(Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[track_caller]
fn cancel(host: &Host, node: &Node, run: RunId) -> Result<Cancel, StoreErrorKind> {
    cancel_by(host, &node.engine, run)
}

#[track_caller]
fn cancel_by(host: &Host, engine: &Engine, run: RunId) -> Result<Cancel, StoreErrorKind> {
    host.block_on("the cancel", engine.cancel(run, WHY)).map_err(|error| error.kind())
}

/// For when it cannot end before the test did something.
fn cancel_on_a_thread(node: &Node, run: RunId) -> std::thread::JoinHandle<Result<Cancel, StoreError>> {
    let engine = node.engine.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(engine.cancel(run, WHY))
    })
}

#[track_caller]
fn is_cancelled(host: &Host, run: RunId, kinds: &[EntryKind]) {
    let found = host.run(run);
    assert_eq!((found.state, found.summary.as_deref()), (RunState::Cancelled, Some(WHY)));
    assert_eq!(host.kinds(run), kinds);
    let last = host.journal(run).pop().unwrap();
    assert_eq!(last.meta.note.as_deref(), Some(WHY));
}

#[test]
fn a_queued_run_never_begins() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![two_calls(&remote, &Arc::default())]);
    host.let_another_pass(&node);
    // Nobody tells the engine of it.
    let run = host.accept(&["flow"], "null")[0];
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    host.let_another_pass(&node);
    is_cancelled(&host, run, &[EntryKind::Cancelled]);
    assert!(remote.keys("/a").is_empty());
}

#[test]
fn a_run_that_waits_for_a_retry_is_dropped_with_its_code() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(600))]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    until(|| left.load(Ordering::SeqCst) == 1);
    host.clock.advance(Duration::from_secs(3600));
    host.let_another_pass(&node);
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
    assert_eq!(remote.keys("/a").len(), 1, "nothing is tried again");
    until(|| node.engine.progress().resting == 0);
}

#[test]
fn a_call_under_way_is_dropped_at_once_and_its_outcome_changes_nothing() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/b", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/b"));
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    assert_eq!(left.load(Ordering::SeqCst), 1);
    let kinds = [EntryKind::StepDone, EntryKind::AttemptFailed, EntryKind::Cancelled];
    is_cancelled(&host, run, &kinds);
    let dropped = host.journal(run).remove(1).meta;
    assert!(dropped.unknown_since.is_some(), "it may have had its effect");
    remote.gate.add_permits(1);
    host.let_another_pass(&node);
    is_cancelled(&host, run, &kinds);
    assert_eq!(node.engine.progress().attempts, 0);
    // Another's end is on disk a moment before its slot is free.
    until(|| node.engine.progress().slots_free == node.engine.progress().slots);
}

#[test]
fn control_never_reaches_the_code() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    let went_on = Arc::new(AtomicBool::new(false));
    let (calls, told) = (remote.clone(), went_on.clone());
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, told) = (calls.clone(), told.clone());
        async move {
            let called = cx.step("a", remote.post("/a")).attempt_timeout(LONG).await;
            told.store(true, Ordering::SeqCst);
            called
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    host.let_another_pass(&node);
    assert!(!went_on.load(Ordering::SeqCst));
}

#[test]
fn a_run_that_is_just_completing_stays_completed() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/b", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/b"));
    host.store.before_write.arm();
    remote.gate.add_permits(1);
    host.block_on("its last write", host.store.before_write.holds());
    let cancelling = cancel_on_a_thread(&node, run);
    // The end is on its way, and nobody can overtake it.
    host.store.before_write.release();
    host.wait_for(run, RunState::Completed);
    assert_eq!(cancelling.join().unwrap().unwrap(), Cancel::Ended(RunState::Completed));
    assert_eq!(host.kinds(run), [EntryKind::StepDone, EntryKind::StepDone, EntryKind::Completed]);
}

#[test]
fn a_second_cancel_finds_the_first_and_writes_nothing() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    let (first, second) = host
        .block_on("both", async { tokio::join!(node.engine.cancel(run, WHY), node.engine.cancel(run, WHY)) });
    let (first, second) = (first.unwrap(), second.unwrap());
    let (done, found) = (Cancel::Cancelled, Cancel::Ended(RunState::Cancelled));
    assert!((first, second) == (done, found) || (first, second) == (found, done), "{first:?} {second:?}");
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Ended(RunState::Cancelled)));
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
}

#[test]
fn a_run_is_cancelled_after_a_shutdown_too() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    let engine = node.engine.clone();
    let stop = node.begin_stop();
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(run).state == RunState::Queued
    });
    stop.end();
    assert_eq!(cancel_by(&host, &engine, run), Ok(Cancel::Cancelled));
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
}

#[test]
fn a_run_is_cancelled_while_the_process_stops() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    let engine = node.engine.clone();
    let stop = node.begin_stop();
    assert_eq!(cancel_by(&host, &engine, run), Ok(Cancel::Cancelled));
    stop.end();
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
}

#[test]
fn a_cancelled_run_stays_so_after_a_crash_right_behind_it() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    node.kill();
    let node = host.start(vec![two_calls(&remote, &left)]);
    host.let_another_pass(&node);
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
    assert_eq!(remote.keys("/a").len(), 1);
}

/// The other order: the process dies when the cancel was asked for and is not on disk yet.
#[test]
fn a_crash_before_the_cancel_is_on_disk_leaves_a_run_that_goes_on_and_can_be_cancelled() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    host.store.before_write.arm();
    let mut cancelling = Box::pin(node.engine.cancel(run, WHY));
    host.block_on("the driver's write", async {
        tokio::select! {
            _ = &mut cancelling => panic!("nothing is on disk yet"),
            () = host.store.before_write.holds() => {}
        }
    });
    drop(cancelling);
    node.kill();
    let node = host.start(vec![two_calls(&remote, &left)]);
    host.block_on("the call again", remote.arrival_at("/a"));
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Cancelled));
    assert_eq!(host.run(run).state, RunState::Cancelled);
    let keys = remote.keys("/a");
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_claimed_run_that_nobody_drives_yet_is_cancelled_as_soon_as_somebody_does() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    host.store.after_claim.arm();
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the claim", host.store.after_claim.holds());
    assert_eq!(host.run(run).state, RunState::Running);
    let mut cancelling = Box::pin(node.engine.cancel(run, WHY));
    host.block_on("a look at the run, and more", async {
        for _ in 0..50 {
            assert!(futures_util::poll!(&mut cancelling).is_pending());
            host.store.run(run).await.unwrap();
        }
    });
    host.store.after_claim.release();
    let cancelled = host.block_on("the cancel", cancelling).unwrap();
    assert_eq!(cancelled, Cancel::Cancelled);
    is_cancelled(&host, run, &[EntryKind::Cancelled]);
    assert!(remote.keys("/a").is_empty());
}

#[test]
fn what_cannot_be_cancelled_is_told() {
    let host = Host::new();
    let node = host.start(vec![]);
    assert_eq!(cancel(&host, &node, RunId(99)), Err(StoreErrorKind::NotFound));
    let run = host.accept(&["another"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!(cancel(&host, &node, run), Ok(Cancel::Ended(RunState::Completed)));
    let queued = host.accept(&["nobodys"], "null")[0];
    host.store.broken.store(true, Ordering::SeqCst);
    assert_eq!(cancel(&host, &node, queued), Err(StoreErrorKind::Unavailable));
    assert_eq!(host.run(queued).state, RunState::Queued);
}

#[test]
fn a_cancel_waits_for_a_store_that_takes_nothing() {
    let (host, remote, left) = (Host::new(), Remote::new(), Arc::default());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote, &left)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/a"));
    host.store.broken.store(true, Ordering::SeqCst);
    let cancelling = cancel_on_a_thread(&node, run);
    until(|| host.store.refusals.load(Ordering::SeqCst) > 0);
    // The code goes although the store takes nothing.
    until(|| left.load(Ordering::SeqCst) == 1);
    host.store.broken.store(false, Ordering::SeqCst);
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(run).state == RunState::Cancelled
    });
    assert_eq!(cancelling.join().unwrap().unwrap(), Cancel::Cancelled);
    is_cancelled(&host, run, &[EntryKind::AttemptFailed, EntryKind::Cancelled]);
}
