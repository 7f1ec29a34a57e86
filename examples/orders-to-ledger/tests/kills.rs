//! The real program, killed again and again, while orders keep coming and files lie in its inbox.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bowline_model::{Clock, SystemClock};
use bowline_testing::{Answer, Match, MockSystem, Process, Program, Recorded};
use orders_to_ledger::RUNS_MAX;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

/// How long anything may take that must happen by itself. Long: it is only waited for where it fails.
const WITHIN: Duration = Duration::from_secs(240);
/// How often the admin API is asked while something is waited for.
const ASK_EVERY: Duration = Duration::from_millis(20);
const LISTENING: &str = "listening on http://";
const PAGE: u64 = 10;

/// The program with the systems around it.
struct Office {
    shop: MockSystem,
    ledger: MockSystem,
    process: Process,
    folder: TempDir,
}

impl Office {
    /// A shop that gets up to 20 orders more each time it is asked, up to `orders` of them.
    fn start(orders: u64) -> Self {
        let (shop, ledger, folder) = (MockSystem::start(), MockSystem::start(), tempfile::tempdir().unwrap());
        let there = Arc::new(AtomicU64::new(0));
        shop.answer_with(move |request| {
            let more = 5 + SystemClock.random() % 16;
            let there = orders.min(there.fetch_add(more, Ordering::Relaxed) + more);
            page(request, there)
        });
        ledger.answer(Answer::status(201).after(Duration::from_millis(2)));
        fs::create_dir(folder.path().join("in")).unwrap();
        let process = Program::new(env!("CARGO_BIN_EXE_orders-to-ledger"))
            .env("SHOP_BASE_URL", shop.url())
            .env("LEDGER_BASE_URL", ledger.url())
            .env("STATEMENTS_FOLDER", folder.path().join("in"))
            .env("BOWLINE_LISTEN", "127.0.0.1:0")
            .env("BOWLINE_ADMIN", "127.0.0.1:0")
            .env("BOWLINE_LOG", "json")
            .env("BOWLINE_STORE", format!("sqlite:{}", folder.path().join("office.db").display()))
            .ready_on_line(LISTENING)
            .start()
            .unwrap();
        Self { shop, ledger, process, folder }
    }

    /// Kills it at some moment, after this life has booked enough that no run is suspected of the kills, and starts it
    /// again.
    async fn kill_somewhere(&mut self, nth: u64) {
        // What the last kill left goes first, is at most `RUNS_MAX`, and has ended when twice as many came after it.
        let (booked, asked) = (self.ledger.count(), self.shop.count());
        self.ledger
            .wait_for(booked + 3 * RUNS_MAX + usize::try_from(SystemClock.random() % 12).unwrap())
            .await;
        if nth.is_multiple_of(2) {
            self.shop.wait_until(move |requests| requests.len() > asked).await;
        }
        // At any moment: while a page is on its way, is written, or its runs begin.
        SystemClock.sleep(Duration::from_micros(SystemClock.random() % 6_000)).await;
        block_in_place(|| self.process.kill());
        block_in_place(|| self.process.restart()).unwrap();
    }

    async fn runs(&mut self) -> Value {
        let line = block_in_place(|| self.process.wait_for_line(LISTENING, WITHIN)).unwrap();
        let rest = &line[line.find("admin on http://").unwrap() + "admin on http://".len()..];
        let end = rest
            .find(|char: char| char != ':' && char != '.' && !char.is_ascii_digit())
            .unwrap_or(rest.len());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let answer = client.get(format!("http://{}/api/status", &rest[..end])).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["runs"].clone()
    }

    /// Waits until there are that many completed runs and no others.
    async fn until_all_completed(&mut self, expected: u64) {
        let deadline = SystemClock.monotonic() + WITHIN;
        loop {
            let runs = self.runs().await;
            let of = |state: &str| runs[state].as_u64().unwrap_or_default();
            let open = of("queued") + of("running") + of("waiting");
            if open == 0 && of("completed") >= expected {
                assert_eq!((of("completed"), of("dead"), of("cancelled")), (expected, 0, 0), "{runs}");
                return;
            }
            let written = || self.process.output();
            assert!(SystemClock.monotonic() < deadline, "runs: {runs}; it wrote:\n{}", written());
            SystemClock.sleep(ASK_EVERY).await;
        }
    }
}

fn page(request: &Recorded, there: u64) -> Answer {
    let since = request.query.as_deref().and_then(|query| query.strip_prefix("since=")?.parse::<u64>().ok());
    let since = since.unwrap_or_default();
    let until = there.min(since + PAGE);
    let orders: Vec<Value> = (since + 1..=until).map(|id| json!({ "id": id, "cents": id * 100 })).collect();
    Answer::ok(json!({ "orders": orders, "cursor": until.to_string(), "has_more": until < there }))
}

/// The idempotency keys under which each entry was booked, by what it is about.
fn keys(ledger: &MockSystem, of: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys = BTreeMap::<String, BTreeSet<String>>::new();
    for request in ledger.requests() {
        if let Some(about) = request.json().get(of) {
            let key = request.idempotency_key().unwrap().to_owned();
            keys.entry(about.to_string()).or_default().insert(key);
        }
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_order_has_exactly_one_run_through_twenty_kills() {
    const ORDERS: u64 = 900;
    const KILLS: u64 = 20;
    let mut office = Office::start(ORDERS);
    for nth in 0..KILLS {
        office.kill_somewhere(nth).await;
    }
    let booked = office.ledger.count();
    assert!(booked < usize::try_from(ORDERS).unwrap(), "orders kept coming until the last kill");
    office.until_all_completed(ORDERS).await;
    let keys = keys(&office.ledger, "id");
    let all: BTreeSet<String> = (1..=ORDERS).map(|id| id.to_string()).collect();
    assert_eq!(keys.keys().cloned().collect::<BTreeSet<_>>(), all);
    let twice: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(twice.is_empty(), "booked by two runs: {twice:?}");
    let polls = office.shop.requests();
    let asked_again = polls.len() - polls.iter().map(|poll| &poll.query).collect::<BTreeSet<_>>().len();
    println!(
        "{ORDERS} orders, {} polls ({asked_again} repeated), {} entries sent, {booked} of them until the last kill",
        polls.len(),
        office.ledger.count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_file_has_exactly_one_run_and_its_place_through_ten_kills() {
    const FILES: usize = 500;
    const KILLS: u64 = 10;
    let mut office = Office::start(0);
    let inbox = office.folder.path().join("in");
    office.ledger.when(Match::any()).answer(Answer::status(201).after(Duration::from_millis(20)));
    for nth in 0..FILES {
        fs::write(inbox.join(format!("{nth:03}.csv")), "a;1\nb;2\n").unwrap();
    }
    for _ in 0..KILLS {
        office.kill_somewhere(1).await;
    }
    office.until_all_completed(u64::try_from(FILES).unwrap()).await;
    let keys = keys(&office.ledger, "statement");
    assert_eq!((keys.len(), keys.values().all(|keys| keys.len() == 1)), (FILES, true));
    let done = || fs::read_dir(inbox.join("done")).map_or(0, Iterator::count);
    let deadline = SystemClock.monotonic() + WITHIN;
    while done() < FILES {
        assert!(SystemClock.monotonic() < deadline, "{} files were moved", done());
        SystemClock.sleep(ASK_EVERY).await;
    }
    let left: Vec<_> = fs::read_dir(&inbox).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((done(), left), (FILES, vec!["done".into()]));
}
