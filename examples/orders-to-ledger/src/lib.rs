//! A shop without webhooks is polled for its orders, and a bank puts statements into a folder: both become entries of a
//! ledger. Each order and each file once, whenever the process dies.

use std::time::Duration;

use bowline::prelude::*;

/// What is called.
#[derive(Debug)]
pub struct Office {
    shop: Api,
    ledger: Api,
}

/// An order, as the shop gives it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    id: u64,
    cents: u64,
}

/// A page of orders, the older first.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    orders: Vec<Order>,
    cursor: String,
    has_more: bool,
}

/// An entry that books a statement.
#[derive(Debug, Serialize)]
struct Statement<'a> {
    statement: &'a str,
    lines: usize,
}

/// The largest statement.
const STATEMENT_BYTES_MAX: u64 = 16 << 20;
/// Runs at work at a time. Few, as the ledger is slow; and what a crash interrupts is soon made good.
pub const RUNS_MAX: usize = 8;

impl Office {
    /// The orders since the last poll.
    async fn new_orders(self: Arc<Self>, poll: Poll, since: Option<String>) -> Result<Found<Order, String>> {
        let call = self.shop.get("/orders").query("since", since.unwrap_or_default());
        let page: Orders = poll.send(call.decode()).await?;
        Ok(Found::items(page.orders).next(page.cursor).more(page.has_more))
    }

    async fn book_order(self: Arc<Self>, cx: Context, order: Order) -> Result {
        cx.step("book", self.ledger.post("/entries").json(&order)).await?;
        Ok(())
    }

    async fn book_statement(self: Arc<Self>, cx: Context, file: InboxFile) -> Result {
        let lines = cx
            .step("count", async || Ok(String::from_utf8(file.read(STATEMENT_BYTES_MAX)?)?.lines().count()))
            .await?;
        let entry = Statement { statement: &file.name, lines };
        cx.step("book", self.ledger.post("/entries").json(&entry)).await?;
        Ok(())
    }
}

/// The app: `main` serves it, tests open it.
pub fn app() -> App<Office> {
    App::new("orders-to-ledger", |setup| Office {
        shop: setup.api("shop").base_url_env("SHOP_BASE_URL"),
        ledger: setup.api("ledger").base_url_env("LEDGER_BASE_URL"),
    })
    .concurrency(RUNS_MAX)
    .poll("new orders", secs(1), Office::new_orders, workflow("book order", Office::book_order))
    .inbox(
        "statements",
        Inbox::folder_env("STATEMENTS_FOLDER")
            .pattern("*.csv")
            .stable_for(secs(1))
            .every(Duration::from_millis(200)),
        workflow("book statement", Office::book_statement),
    )
}
