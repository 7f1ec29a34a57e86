//! Nothing grows without bound, and nothing takes longer because much is stored.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_model::{BoxFuture, Clock, NewRun, NodeId, RunState};
use bowline_store::{Batch, Claim, RunFilter, SqliteOptions, SqliteStore, Store, StoreErrorKind, Transition};
use futures_util::future::join_all;
use jiff::Timestamp;
use rusqlite::Connection;

use super::{ask, open, options, place};
use crate::bench::{TestClock, at, done, event, run_of};

fn claim(node: i64, now: Timestamp) -> Claim {
    let workflows = vec![("a".into(), 64), ("full".into(), 0)];
    Claim { node: NodeId(node), now, total_max: 64, workflows, others_max: 64, crashes_min: 0 }
}

fn wal_bytes(path: &Path) -> u64 {
    fs::metadata(format!("{}-wal", path.display())).map_or(0, |file| file.len())
}

#[tokio::test]
async fn polling_an_idle_store_writes_nothing() {
    let (_folder, path) = place();
    let store = open(&path);
    store.start_node(at(0)).await.unwrap();
    store.accept(Batch { events: vec![event("1", vec![])], ..Batch::default() }).await.unwrap();
    let before = (wal_bytes(&path), ask(&path, "SELECT batch FROM ledger"));
    for second in 0..50 {
        assert!(store.claim(claim(1, at(second))).await.unwrap().is_empty());
        store.accept(Batch { events: vec![event("1", vec![])], ..Batch::default() }).await.unwrap();
        assert!(!store.tidy(at(-9), at(second)).await.unwrap());
    }
    assert_eq!((wal_bytes(&path), ask(&path, "SELECT batch FROM ledger")), before);
}

#[tokio::test]
async fn the_log_starts_anew_under_constant_writing() {
    let (_folder, path) = place();
    let store = open(&path);
    let mut largest = 0;
    for round in 0..80 {
        let accepts = (0..40).map(|key| {
            let mut event = event(&format!("{round} {key}"), vec![]);
            event.body = vec![b'x'; 32 * 1024].into();
            store.accept(Batch { events: vec![event], ..Batch::default() })
        });
        for answer in join_all(accepts).await {
            answer.unwrap();
        }
        largest = largest.max(wal_bytes(&path));
    }
    let written = fs::metadata(&path).unwrap().len();
    assert!(written > 70 << 20, "{written} bytes are in the file");
    assert!(largest < 48 << 20, "the log had {largest} bytes");
}

#[tokio::test]
async fn a_log_that_a_long_read_holds_up_is_emptied_afterwards() {
    let (_folder, path) = place();
    let small = SqliteOptions { wal_bytes_alert: 2 << 20, ..options() };
    let store = SqliteStore::open(&path, small, Arc::new(TestClock::default())).unwrap();
    let write = async |key: &str| {
        let mut event = event(key, vec![]);
        event.body = vec![b'x'; 1 << 20].into();
        store.accept(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    };
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM ledger").unwrap();
    for key in 0..30 {
        write(&format!("a{key}")).await;
    }
    let held_up = wal_bytes(&path);
    assert!(held_up > 25 << 20, "the log had {held_up} bytes");
    drop(reader);
    for key in 0..60 {
        write(&format!("b{key}")).await;
    }
    assert!(wal_bytes(&path) <= held_up + (10 << 20), "the log has {} bytes", wal_bytes(&path));
}

#[tokio::test]
async fn old_periods_leave_the_file() {
    let (_folder, path) = place();
    let clock = Arc::new(TestClock::default());
    let daily = SqliteOptions { period_bytes_max: 1 << 20, ..options() };
    let store = SqliteStore::open(&path, daily, Arc::<TestClock>::clone(&clock)).unwrap();
    let mut largest = 0;
    for day in 0..60 {
        let now = clock.now();
        for key in 0..20 {
            let mut event = event(&format!("{day} {key}"), vec![run_of("a")]);
            event.body = vec![b'x'; 64 * 1024].into();
            (event.received_at, event.dedupe_until) = (now, now + Duration::from_secs(86_400));
            store.accept(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
        }
        for run in store.claim(claim(1, now)).await.unwrap() {
            let (entries, transition) = (vec![done(1, "x")], Some(Transition::Complete));
            let write = bowline_store::RunWrite::new(run.id, run.epoch, now, entries, transition);
            store.write(write).await.unwrap();
        }
        clock.advance(Duration::from_secs(86_400));
        while store.tidy(now - Duration::from_secs(3 * 86_400), now).await.unwrap() {}
        largest = largest.max(ask(&path, "SELECT count(*) FROM period"));
    }
    assert!(largest < 12, "{largest} periods");
    assert!(ask(&path, "SELECT count(*) FROM sqlite_schema") < 100);
    assert!(ask(&path, "SELECT count(*) FROM dedupe") <= 60);
    let pages = ask(&path, "SELECT page_count FROM pragma_page_count()");
    assert!(pages * 4096 < 12 << 20, "60 days wrote 75 MiB, {pages} pages are in the file");
}

/// Each look at this clock makes it a second later.
#[derive(Default)]
struct RunningClock(AtomicU64);

impl Clock for RunningClock {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        4
    }
}

#[tokio::test]
async fn a_long_read_ends_at_its_deadline_and_the_next_goes_on() {
    let (_folder, path) = place();
    let one = SqliteOptions { readers: NonZeroUsize::MIN, ..options() };
    let store = SqliteStore::open(&path, one, Arc::new(RunningClock::default())).unwrap();
    let runs = (0..20_000).map(|_| run_of("a")).collect();
    store.accept(Batch { events: vec![event("1", runs)], ..Batch::default() }).await.unwrap();
    store.accept(Batch { events: vec![event("2", vec![run_of("rare")])], ..Batch::default() }).await.unwrap();
    let (rare, dead) = (Some("rare".into()), vec![RunState::Queued]);
    let long = RunFilter { workflow: rare, states: dead, ..RunFilter::default() };
    let refused = store.runs(long).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(refused.to_string().contains("deadline"), "{refused}");
    let short = RunFilter { limit: 1, ..RunFilter::default() };
    assert_eq!(store.runs(short).await.unwrap().len(), 1);
}

#[tokio::test]
async fn looks_at_the_line_are_short_however_long_it_is() {
    let (_folder, path) = place();
    let store = SqliteStore::open(&path, options(), Arc::new(RunningClock::default())).unwrap();
    let runs =
        (0..60_000).map(|n| NewRun { due: (n % 2 == 0).then_some(at(1_000_000 + n)), ..run_of("full") });
    store.accept(Batch { events: vec![event("1", runs.collect())], ..Batch::default() }).await.unwrap();
    let claimed = store.claim(Claim { workflows: vec![], total_max: 3, ..claim(1, at(1)) }).await.unwrap();
    assert_eq!(claimed.len(), 3);
    // Each would pass the deadline if it looked at every run.
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(1_000_000)));
    let counts = store.counts(at(1_000_001)).await.unwrap();
    assert_eq!((counts.by_state[0], counts.oldest_claimable), ((RunState::Queued, 59_997), Some(at(0))));
    let dead = RunFilter { states: vec![RunState::DeadLettered, RunState::Waiting], ..RunFilter::default() };
    assert!(store.runs(dead).await.unwrap().is_empty());
    let running = RunFilter { states: vec![RunState::Running], ..RunFilter::default() };
    assert_eq!(store.runs(running).await.unwrap().len(), 3);
}
