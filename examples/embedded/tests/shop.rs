//! The shop as its customers meet it: real HTTP on both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use bowline::{OpenApp, OpenOptions, RunState};
use bowline_model::{Clock, SystemClock, Variables};
use bowline_signature::{SigningSecret, Stripe};
use bowline_testing::{Answer, MockSystem};
use embedded::{Fulfilment, automations, order, router};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};

const STRIPE_SECRET: &str = "whsec_shop";

/// The systems around the shop.
struct World {
    stock: MockSystem,
    mailer: MockSystem,
}

impl World {
    fn new() -> Self {
        let (stock, mailer) = (MockSystem::start(), MockSystem::start());
        stock.answer(Answer::json(201, json!({ "reservation": 41 })));
        Self { stock, mailer }
    }

    fn options(&self, store: &Path) -> OpenOptions {
        let (stock, mailer) = (self.stock.url(), self.mailer.url());
        let variables = Variables::new(move |name| match name {
            "STOCK_BASE_URL" => Some(stock.clone()),
            "MAILER_BASE_URL" => Some(mailer.clone()),
            "STOCK_TOKEN" | "MAILER_TOKEN" => Some("a-token-of-the-shop".to_owned()),
            "STRIPE_WEBHOOK_SECRET" => Some(STRIPE_SECRET.to_owned()),
            _ => None,
        });
        OpenOptions::default().variables(variables).store_file(store)
    }
}

/// The shop's program, on a port of its own.
struct Shop {
    app: OpenApp<Fulfilment>,
    url: String,
    server: JoinHandle<()>,
}

impl Shop {
    async fn open(world: &World, store: &Path) -> Self {
        let app = automations().open_with(world.options(store)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = router(app.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { app, url, server }
    }

    async fn order(&self, number: &str) -> reqwest::Response {
        let order = json!({ "number": number, "email": "ada@example.com", "item": "rope" });
        let request = reqwest::Client::new().post(format!("{}/orders", self.url)).json(&order);
        request.send().await.unwrap()
    }

    async fn close(self) {
        self.server.abort();
        self.app.shutdown().await;
    }
}

#[tokio::test]
async fn an_order_is_through_once_however_often_it_is_sent() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let shop = Shop::open(&world, &folder.path().join("shop.db")).await;
    for _ in 0..3 {
        let answer = shop.order("A-1").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "reservation": 41 }));
    }
    assert_eq!((world.stock.count(), world.mailer.count()), (1, 1));
    let status = reqwest::get(format!("{}/orders/runs/1", shop.url)).await.unwrap();
    assert_eq!(status.text().await.unwrap(), "completed");
    let unknown = reqwest::get(format!("{}/orders/runs/99", shop.url)).await.unwrap();
    assert_eq!(unknown.status(), 404);
    shop.close().await;
}

#[tokio::test]
async fn the_shops_own_routes_and_the_webhooks_share_one_router() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let shop = Shop::open(&world, &folder.path().join("shop.db")).await;
    let home = reqwest::get(&shop.url).await.unwrap();
    assert_eq!(home.text().await.unwrap(), "the shop is open");

    let event = json!({
        "id": "evt_1", "type": "refund.created", "data": { "object": { "payment_intent": "pi_7" } }
    });
    let body = event.to_string();
    let signed =
        Stripe::new(SigningSecret::new(STRIPE_SECRET).unwrap()).sign(body.as_bytes(), SystemClock.now());
    let request = reqwest::Client::new()
        .post(format!("{}/webhooks/stripe", shop.url))
        .header("content-type", "application/json")
        .header("stripe-signature", signed)
        .body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let released = world.stock.wait_for(1).await;
    assert_eq!(released[0].path, "/reservations/by-payment/pi_7");
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_the_warehouse_refuses_is_told_and_kept_for_a_person() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    world.stock.fail_next(1, 422);
    let shop = Shop::open(&world, &folder.path().join("shop.db")).await;
    let answer = shop.order("A-1").await;
    assert_eq!(answer.status(), 500);
    let said = answer.text().await.unwrap();
    assert!(said.starts_with("run 1 is a dead letter (failed): "), "{said}");
    assert_eq!(shop.app.run("1".parse().unwrap()).status().await.unwrap(), RunState::DeadLettered);
    shop.close().await;
}

/// The shop's process ends in the middle of an order, without a word; the next one goes on with it.
#[test]
fn an_order_outlives_the_process_that_took_it() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let store = folder.path().join("shop.db");
    world.mailer.when(bowline_testing::Match::any()).times(1).answer(Answer::hang());
    let dies = Runtime::new().unwrap();
    dies.block_on(async {
        let shop = Shop::open(&world, &store).await;
        let order_input =
            embedded::Order { number: "A-1".into(), email: "ada@example.com".into(), item: "rope".into() };
        let run = shop.app.start(&order(), &order_input).dedupe("A-1").await.unwrap();
        assert_eq!(run.id().to_string(), "1");
        world.mailer.wait_for(1).await;
    });
    drop(dies);

    Runtime::new().unwrap().block_on(async {
        let shop = Shop::open(&world, &store).await;
        let answer = shop.order("A-1").await;
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "reservation": 41 }));
        let receipts = world.mailer.requests();
        assert_eq!(
            (world.stock.count(), receipts.len()),
            (1, 2),
            "the reservation was recorded; the receipt was not"
        );
        assert_eq!(receipts[0].idempotency_key(), receipts[1].idempotency_key());
        shop.close().await;
    });
}
