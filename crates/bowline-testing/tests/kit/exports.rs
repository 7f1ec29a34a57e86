//! Loops over exports that are too large to hold.

use std::collections::BTreeMap;

use bowline::{Workflow, client::stream::CsvRecords, prelude::*};
use bowline_testing::{Answer, Match, TestApp, every_crash_point};
use serde_json::{Value, json};

#[derive(Clone, Serialize, Deserialize)]
struct Price {
    sku: String,
    price: u64,
}

struct Shop {
    shop: Api,
}

impl Shop {
    /// Takes the prices of an export over, two at a time.
    async fn import(self: Arc<Self>, cx: Context, _: Value) -> Result<u64> {
        let prices = self.shop.get("/prices.csv").streaming::<Price, _>(CsvRecords::new());
        let taken = cx
            .for_each("import", prices, 2, async |cx, price: Price| {
                let call = self.shop.post(&format!("/prices/{}", price.sku)).json(&json!(price.price));
                cx.step("price", call).await?;
                Ok(())
            })
            .keyed(|price| price.sku.clone())
            .await?;
        Ok(taken.done)
    }
}

/// It takes no time at all. An export that keeps its items from being sent would be waited for through all of its asks for
/// room, in 60 days of them.
fn import() -> Workflow<Shop, Value, u64> {
    workflow("import", Shop::import).deadline(hours(1))
}

fn shop() -> App<Shop> {
    // One call at a time: the export must not keep its items from making theirs.
    App::new("shop", |setup| Shop { shop: setup.api("shop").base_url_env("SHOP_BASE_URL").concurrency(1) })
        .workflow(import())
}

fn prices(app: &TestApp<Shop>, count: usize, padding: usize) {
    let mut csv = "sku,price,text\n".to_owned();
    for nth in 0..count {
        csv.push_str(&format!("A-{nth},{nth},{}\n", "x".repeat(padding)));
    }
    app.mock("shop").when(Match::call("GET", "/prices.csv")).answer(Answer::raw(200, "text/csv", csv));
    app.mock("shop").remember_keys();
    app.mock("shop").answer(Answer::ok(json!({})));
}

#[test]
fn every_price_of_an_export_is_sent_under_one_key_wherever_the_process_dies() {
    let tried = every_crash_point(shop, |app| {
        prices(app, 5, 0);
        let run = app.start(&import(), &json!(null)).end();
        let mut sent = BTreeMap::<String, usize>::new();
        for requests in app.mock("shop").requests_by_key().values() {
            if requests[0].method == "POST" {
                *sent.entry(requests[0].path.clone()).or_default() += 1;
            }
        }
        assert!(sent.values().all(|keys| *keys == 1), "{sent:?}");
        (run.output::<u64>(), sent)
    });
    assert!(tried.moments >= 8, "{tried:?}");
}

#[test]
fn an_export_that_is_still_arriving_does_not_count_among_its_items_calls() {
    let app = TestApp::new(shop());
    // Far more than sockets hold.
    prices(&app, 400, 40_000);
    let run = app.start(&import(), &json!(null)).end();
    assert_eq!(run.output::<u64>(), 400);
    let reads = app.mock("shop").requests().iter().filter(|request| request.method == "GET").count();
    assert_eq!(reads, 1, "read as it goes, once");
}
