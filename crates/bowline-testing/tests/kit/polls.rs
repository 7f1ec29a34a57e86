//! Polls under a clock that stands still: what they find, when they ask, and what becomes of it when a process dies.

use std::sync::atomic::{AtomicU32, Ordering};

use bowline::prelude::*;
use bowline_model::RunState;
use bowline_testing::{Answer, Match, Recorded, TestApp, every_crash_point};
use serde_json::{Value, json};

pub(crate) struct Shop {
    shop: Api,
    polled: AtomicU32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[derive(Serialize, Deserialize)]
struct Orders {
    orders: Vec<Order>,
    cursor: u64,
    has_more: bool,
}

impl Shop {
    async fn page(&self, poll: &Poll, since: Option<u64>) -> Result<Orders> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        poll.send(self.shop.get("/orders").query("since", since.unwrap_or_default()).decode()).await
    }

    /// By the cursor alone.
    async fn by_cursor(self: Arc<Self>, poll: Poll, since: Option<u64>) -> Result<Found<Order, u64>> {
        let page = self.page(&poll, since).await?;
        Ok(Found::items(page.orders).next(page.cursor).more(page.has_more))
    }

    /// By keys alone: the remote knows no cursor, and shows what it showed before.
    async fn by_key(self: Arc<Self>, poll: Poll, _: Option<()>) -> Result<Found<Order>> {
        let page = self.page(&poll, None).await?;
        Ok(Found::items(page.orders).keyed(|order| order.id))
    }

    async fn in_twos(self: Arc<Self>, poll: Poll, since: Option<u64>) -> Result<Found<Vec<Order>, u64>> {
        let page = self.page(&poll, since).await?;
        Ok(Found::items(page.orders).next(page.cursor).in_batches(2))
    }

    async fn import(self: Arc<Self>, cx: Context, order: Order) -> Result<u64> {
        cx.step("import", async || Ok(order.id)).await
    }

    async fn import_all(self: Arc<Self>, cx: Context, orders: Vec<Order>) -> Result<Vec<u64>> {
        cx.step("import", async || Ok(orders.iter().map(|order| order.id).collect())).await
    }
}

fn shop() -> App<Shop> {
    App::new("shop", |setup| Shop {
        shop: setup.api("shop").base_url("https://shop.example.com"),
        polled: AtomicU32::new(0),
    })
}

fn by_cursor() -> App<Shop> {
    shop().poll("new orders", secs(30), Shop::by_cursor, workflow("import", Shop::import))
}

fn by_key() -> App<Shop> {
    shop().poll("new orders", secs(30), Shop::by_key, workflow("import", Shop::import))
}

/// What was asked for.
fn since(query: &str) -> Option<u64> {
    query.strip_prefix("since=")?.parse().ok()
}

/// The orders after the cursor, at most `page` of them, of a shop that has `last`.
fn orders(request: &Recorded, last: u64, page: u64) -> Answer {
    let since: u64 = request.query.as_deref().and_then(since).unwrap_or_default();
    let until = last.min(since + page);
    let orders: Vec<Value> = (since + 1..=until).map(|id| json!({ "id": id })).collect();
    Answer::ok(json!({ "orders": orders, "cursor": until, "has_more": until < last }))
}

fn has_orders(app: &TestApp<Shop>, last: u64, page: u64) {
    app.mock("shop").answer_with(move |request| orders(request, last, page));
}

/// The orders that were imported, in the order of their runs.
fn imported(app: &TestApp<Shop>) -> Vec<u64> {
    app.runs().into_iter().map(|run| run.end().output()).collect()
}

#[test]
fn each_item_starts_one_run_and_the_next_poll_goes_on_where_the_last_one_ended() {
    let app = TestApp::new(by_cursor());
    has_orders(&app, 3, 100);
    app.advance(secs(5));
    assert_eq!(imported(&app), [1, 2, 3]);
    has_orders(&app, 5, 100);
    app.advance(secs(60));
    assert_eq!(imported(&app), [1, 2, 3, 4, 5]);
    let asked: Vec<_> = app
        .mock("shop")
        .requests()
        .into_iter()
        .filter_map(|request| since(request.query.as_deref()?))
        .collect();
    assert_eq!(asked, [0, 3, 5]);
    let event = app.runs()[0].event();
    assert_eq!((&*event.source, &*event.kind), ("poll/new orders", "new orders"));
}

#[test]
fn more_is_asked_for_at_once_and_less_is_not() {
    let app = TestApp::new(by_cursor());
    has_orders(&app, 10, 3);
    app.advance(secs(2));
    assert_eq!((imported(&app).len(), app.mock("shop").count()), (10, 4));
    app.advance(secs(25));
    assert_eq!(app.mock("shop").count(), 4);
}

#[test]
fn items_with_keys_start_nothing_again() {
    let app = TestApp::new(by_key());
    has_orders(&app, 3, 100);
    app.advance(secs(100));
    assert_eq!((imported(&app), app.mock("shop").count()), (vec![1, 2, 3], 4));
    has_orders(&app, 4, 100);
    app.advance(secs(30));
    assert_eq!(imported(&app), [1, 2, 3, 4]);
    let shown = app.triggers().remove(0);
    assert_eq!((shown.started, shown.failures_in_a_row, shown.last_error), (4, 0, None));
}

#[test]
fn a_batch_is_one_run() {
    let app = TestApp::new(shop().poll(
        "new orders",
        secs(30),
        Shop::in_twos,
        workflow("import", Shop::import_all),
    ));
    has_orders(&app, 5, 100);
    app.advance(secs(60));
    let batches: Vec<Vec<u64>> = app.runs().into_iter().map(|run| run.end().output()).collect();
    assert_eq!(batches, [vec![1, 2], vec![3, 4], vec![5]]);
}

#[test]
fn the_remotes_limit_is_waited_for_and_the_interval_widens_and_narrows() {
    let app = TestApp::new(by_key());
    has_orders(&app, 1, 100);
    let shop = app.mock("shop");
    shop.when(Match::any()).times(1).answer(Answer::status(429).header("retry-after", "100"));
    app.advance(secs(1 + 99));
    assert_eq!((shop.count(), app.runs().len()), (1, 0));
    let shown = app.triggers().remove(0);
    assert_eq!(shown.failures_in_a_row, 1);
    assert!(shown.last_error.as_ref().unwrap().contains("429"), "{shown:?}");
    app.advance(secs(12));
    assert_eq!((shop.count(), imported(&app).len()), (2, 1));
    // Again and again: it asks less and less.
    shop.when(Match::any()).times(4).answer(Answer::status(429).header("retry-after", "1"));
    app.advance(minutes(90));
    let limited = shop.requests();
    let gaps: Vec<u64> = limited.windows(2).map(|two| (two[1].elapsed - two[0].elapsed).as_secs()).collect();
    assert!(gaps.iter().any(|gap| *gap >= 240), "{gaps:?}");
    assert_eq!(gaps.last(), Some(&30), "{gaps:?}");
}

#[test]
fn a_failure_is_shown_tried_again_and_forgotten() {
    let app = TestApp::new(by_cursor());
    has_orders(&app, 2, 100);
    app.mock("shop").fail_next(3, 500);
    app.advance(secs(1));
    let shown = app.triggers().remove(0);
    assert_eq!(shown.failures_in_a_row, 1);
    assert!(shown.last_error.unwrap().contains("500") && shown.next.is_some());
    app.advance(secs(20));
    let shown = app.triggers().remove(0);
    assert_eq!((shown.failures_in_a_row, shown.last_error, shown.started), (0, None, 2));
    assert_eq!(imported(&app), [1, 2]);
}

#[test]
fn every_moment_of_death_leaves_one_run_for_each_item() {
    for (name, app) in [("cursor", by_cursor as fn() -> App<Shop>), ("key", by_key)] {
        let tried = every_crash_point(app, |app| {
            has_orders(app, 2, 100);
            app.advance(secs(40));
            has_orders(app, 5, if name == "cursor" { 2 } else { 100 });
            app.advance(secs(80));
            assert!(app.runs().iter().all(|run| run.state() == RunState::Completed), "{}", app.timelines());
            let mut imported = imported(app);
            imported.sort();
            assert_eq!(imported, [1, 2, 3, 4, 5]);
        });
        assert!(tried.moments >= 13, "{name}: {tried:?}");
    }
}
