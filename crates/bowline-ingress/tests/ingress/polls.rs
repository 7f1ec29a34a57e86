//! Polls, on a real store: what keeps a cursor where it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_ingress::{
    Intake, TriggerBoard, TriggerKind, TriggerState,
    poll::{Asking, Every, Found, Poll, PollSpec, run},
};
use bowline_model::{BuildId, Clock, Error, Failure, Result, SystemClock};
use bowline_store::{Batch, CursorMove, RunFilter, SqliteOptions, SqliteStore, Store};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{site::memory, wire::PATIENCE};

const EVERY: Duration = Duration::from_millis(10);
const CURSOR: &str = "poll/orders";

/// A poll that runs until it is dropped.
struct Running {
    store: Arc<dyn Store>,
    board: TriggerBoard,
    turned: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: Arc<dyn Store>, asking: Asking, turned: Arc<Notify>) -> Self {
        Self::start_every(Every::new(EVERY), store, asking, turned)
    }

    fn start_every(every: Every, store: Arc<dyn Store>, asking: Asking, turned: Arc<Notify>) -> Self {
        let intake =
            Intake::new(store.clone(), Arc::new(SystemClock), BuildId::from("test"), Arc::new(|| {}));
        let (board, stop) = (TriggerBoard::default(), watch::Sender::new(false));
        let line = board.add(TriggerKind::Poll, "orders");
        let spec = PollSpec::new("orders", every, asking, "import".into());
        let task = tokio::spawn(run(spec, intake, line, stop.subscribe()));
        Self { store, board, turned, stop, task }
    }

    fn shown(&self) -> TriggerState {
        self.board.all().remove(0)
    }

    /// Waits until the board is as wanted: looked at whenever the poll asked again.
    async fn until(&self, wanted: impl Fn(&TriggerState) -> bool) -> TriggerState {
        let found = async {
            loop {
                let shown = self.shown();
                if wanted(&shown) {
                    return shown;
                }
                let _ = timeout(EVERY, self.turned.notified()).await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never: {:?}", self.shown()))
    }

    async fn cursor(&self) -> Option<String> {
        self.store.cursor(CURSOR).await.unwrap()
    }

    async fn inputs(&self) -> Vec<u64> {
        let mut runs = self.store.runs(RunFilter::default()).await.unwrap();
        runs.reverse();
        let mut inputs = vec![];
        for run in runs {
            let event = self.store.event(run.event).await.unwrap().unwrap();
            inputs.push(event.input().unwrap().as_u64().unwrap());
        }
        inputs
    }

    async fn end(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.task).await.expect("it ends when it is told").unwrap();
    }
}

/// Asks with that function, and says so.
fn asking<F, Fut>(turned: &Arc<Notify>, ask: F) -> Asking
where
    F: Fn(Poll, Option<u64>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Found<u64, u64>>> + Send + 'static,
{
    let turned = turned.clone();
    Asking::new(move |poll, since| {
        turned.notify_one();
        ask(poll, since)
    })
}

/// One item after the cursor, until there are three.
async fn three(_: Poll, since: Option<u64>) -> Result<Found<u64, u64>> {
    let next = since.unwrap_or_default() + 1;
    Ok(if next > 3 { Found::nothing() } else { Found::items([next]).next(next).more(true) })
}

fn in_memory() -> Arc<dyn Store> {
    Arc::new(memory(Arc::new(SystemClock)))
}

#[tokio::test]
async fn each_step_of_the_cursor_brings_its_item() {
    let turned = Arc::default();
    let poll = Running::start(in_memory(), asking(&turned, three), turned);
    poll.until(|shown| shown.started == 3).await;
    assert_eq!(
        (poll.inputs().await, poll.cursor().await.as_deref()),
        (vec![1, 2, 3], Some(r#"{"step":3,"cursor":3}"#))
    );
    poll.end().await;
}

#[tokio::test]
async fn a_cursor_that_no_longer_fits_stops_the_poll_and_nothing_is_asked() {
    for row in [r#"{"step":7,"cursor":"2026-09-21"}"#, "2026-09-21"] {
        let store = in_memory();
        let cursor = CursorMove { name: CURSOR.to_owned(), from: None, to: row.to_owned() };
        store.accept(Batch { cursor: Some(cursor), ..Batch::default() }).await.unwrap();
        let (turned, asked) = (Arc::default(), Arc::new(AtomicU64::new(0)));
        let count = asked.clone();
        let ask = move |poll, since| {
            count.fetch_add(1, Ordering::Relaxed);
            three(poll, since)
        };
        let poll = Running::start(store, asking(&turned, ask), turned);
        let shown = poll.until(|shown| shown.next.is_none() && shown.last_error.is_some()).await;
        let error = shown.last_error.unwrap();
        assert!(error.starts_with(r#"stopped: the cursor "poll/orders" on disk "#), "{error}");
        assert!(!error.contains("2026-09-21"), "a cursor's value is not shown: {error}");
        assert_eq!((asked.load(Ordering::Relaxed), poll.cursor().await.as_deref()), (0, Some(row)));
        poll.end().await;
    }
}

#[tokio::test]
async fn a_panic_is_shown_and_the_poll_goes_on() {
    let (turned, first) = (Arc::default(), AtomicU64::new(0));
    let ask = move |poll, since| {
        let nth = first.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(nth > 0, "no orders on a Sunday");
            three(poll, since).await
        }
    };
    let poll = Running::start(in_memory(), asking(&turned, ask), turned);
    let shown = poll.until(|shown| shown.failures_in_a_row == 1).await;
    assert_eq!(shown.last_error.as_deref(), Some("the poll's function panicked: no orders on a Sunday"));
    poll.until(|shown| shown.started == 3 && shown.last_error.is_none()).await;
    poll.end().await;
}

#[tokio::test]
async fn what_another_node_found_first_is_left_to_it() {
    let (turned, store, first) = (Arc::default(), in_memory(), AtomicU64::new(0));
    let other = store.clone();
    let ask = move |poll, since| {
        let (other, nth) = (other.clone(), first.fetch_add(1, Ordering::Relaxed));
        async move {
            if nth == 0 {
                let to = r#"{"step":2,"cursor":2}"#.to_owned();
                let cursor = CursorMove { name: CURSOR.to_owned(), from: None, to };
                other.accept(Batch { cursor: Some(cursor), ..Batch::default() }).await.unwrap();
            }
            three(poll, since).await
        }
    };
    let poll = Running::start(store, asking(&turned, ask), turned);
    let shown = poll.until(|shown| shown.started == 1).await;
    assert_eq!(
        (poll.inputs().await, shown.failures_in_a_row),
        (vec![3], 0),
        "from the cursor of the other one"
    );
    poll.end().await;
}

#[tokio::test]
async fn a_full_store_keeps_the_cursor_and_the_poll_begins_again_there() {
    let folder = tempfile::tempdir().unwrap();
    let open = |reserve| {
        let options = SqliteOptions { disk_free_bytes_min: reserve, ..SqliteOptions::default() };
        SqliteStore::open(folder.path().join("store.db"), options, Arc::new(SystemClock)).unwrap()
    };
    let full: Arc<dyn Store> = Arc::new(open(u64::MAX / 2));
    let turned = Arc::<Notify>::default();
    let poll = Running::start(full.clone(), asking(&turned, three), turned.clone());
    let shown = poll.until(|shown| shown.failures_in_a_row == 1).await;
    assert!(shown.last_error.is_some_and(|error| error.contains("disk")));
    assert_eq!((poll.cursor().await, poll.inputs().await), (None, vec![]));
    let shown = poll.until(|shown| shown.next.is_some_and(|next| next > SystemClock.now())).await;
    let wait = shown.next.unwrap().duration_since(SystemClock.now()).as_secs();
    assert!((25..=30).contains(&wait), "asked again after {wait} s, as the store says");
    poll.end().await;
    full.close().await.unwrap();
    drop(full);
    let poll = Running::start(Arc::new(open(0)), asking(&turned, three), turned);
    poll.until(|shown| shown.started == 3).await;
    assert_eq!(poll.inputs().await, [1, 2, 3]);
    poll.end().await;
}

#[tokio::test]
async fn a_poll_that_takes_too_long_has_failed_and_one_that_is_told_to_stop_does() {
    let turned = Arc::<Notify>::default();
    let hang = async |_: Poll, _: Option<u64>| std::future::pending().await;
    let short = Every::new(EVERY).within(EVERY);
    let poll = Running::start_every(short, in_memory(), asking(&turned, hang), turned.clone());
    let shown = poll.until(|shown| shown.failures_in_a_row > 0).await;
    assert!(shown.last_error.unwrap().starts_with("was not done within 10ms; ask for less at once"));
    poll.end().await;
    let hang = async |_: Poll, _: Option<u64>| std::future::pending().await;
    let poll = Running::start(in_memory(), asking(&turned, hang), turned.clone());
    turned.notified().await;
    poll.end().await;
}

#[tokio::test]
async fn a_poll_does_not_overlap_with_itself() {
    let (turned, under_way) = (Arc::<Notify>::default(), Arc::new(AtomicU64::new(0)));
    let count = under_way.clone();
    let ask = move |poll, since| {
        let count = count.clone();
        async move {
            assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            SystemClock.sleep(3 * EVERY).await;
            count.fetch_sub(1, Ordering::SeqCst);
            three(poll, since).await
        }
    };
    let poll = Running::start(in_memory(), asking(&turned, ask), turned);
    let shown = poll.until(|shown| shown.started == 3).await;
    assert_eq!(shown.failures_in_a_row, 0);
    poll.end().await;
}

#[tokio::test]
async fn an_errors_wait_puts_the_next_poll_off() {
    let turned = Arc::<Notify>::default();
    let limited = |_: Poll, _: Option<u64>| async {
        let failure = Failure::refused("GET shop /orders answered 429");
        Err(Error::from(failure.retry_after(Some(Duration::from_secs(3600)))))
    };
    let poll = Running::start(in_memory(), asking(&turned, limited), turned);
    let shown = poll
        .until(|shown| {
            shown.failures_in_a_row == 1 && shown.next.is_some_and(|next| next > SystemClock.now())
        })
        .await;
    let wait = shown.next.unwrap().duration_since(SystemClock.now()).as_secs();
    assert!((3590..=3960).contains(&wait), "{wait} s");
    poll.end().await;
}
