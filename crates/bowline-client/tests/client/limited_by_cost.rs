//! A GraphQL remote whose limit counts what queries cost (Shopify's form): many calls, none refused, hardly longer than it
//! must take. The form: <https://shopify.dev/docs/api/usage/limits#graphql-admin-api-rate-limits>.
//!
//! Time passes here while nobody has anything to do. In real time, with 2,000 calls:
//! `BOWLINE_LIMITS_REAL=1 cargo test -p bowline-client --all-features --test client limited -- --nocapture`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, routing::post};
use bowline_client::Api;
use bowline_model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{idle::Idle, remote::api_at};

/// What the bucket holds, and what a second restores: 100 queries of the usual cost.
const MAXIMUM: f64 = 1000.0;
const RESTORED: f64 = 1000.0;
const USUAL_COST: f64 = 10.0;
const LONGEST: f64 = 1.15;
const SECOND: Duration = Duration::from_secs(1);

struct Shop {
    clock: Arc<dyn Clock>,
    /// By how much queries cost more and less than usual.
    spread: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    available: f64,
    at: Duration,
    good: u32,
    throttled: u32,
    spent: f64,
}

impl Shop {
    /// Answers the query with that number; each way takes five milliseconds on the clock that passes while all rest.
    async fn answer(&self, number: u64, way: Duration) -> Value {
        self.clock.sleep(way).await;
        let answer = self.count(number);
        self.clock.sleep(way).await;
        answer
    }

    fn count(&self, number: u64) -> Value {
        let cost = USUAL_COST + self.spread * ((number % 5) as f64 - 2.0) / 2.0;
        let mut bucket = self.bucket.lock().unwrap();
        let now = self.clock.monotonic();
        let restored = RESTORED * (now - bucket.at).as_secs_f64();
        (bucket.available, bucket.at) = ((bucket.available + restored).min(MAXIMUM), now);
        let is_good = bucket.available >= cost;
        if is_good {
            bucket.available -= cost;
            bucket.spent += cost;
            bucket.good += 1;
        } else {
            bucket.throttled += 1;
        }
        let told = json!({
            "requestedQueryCost": cost,
            "actualQueryCost": is_good.then_some(cost),
            "throttleStatus": {
                "maximumAvailable": MAXIMUM,
                "currentlyAvailable": bucket.available.floor(),
                "restoreRate": RESTORED,
            },
        });
        if is_good {
            json!({"data": {"number": number}, "extensions": {"cost": told}})
        } else {
            let error = json!({"message": "Throttled", "extensions": {"code": "THROTTLED"}});
            json!({"errors": [error], "extensions": {"cost": told}})
        }
    }
}

async fn shop(clock: Arc<dyn Clock>, spread: f64, way: Duration) -> (Api, Arc<Shop>) {
    let bucket = Bucket { available: MAXIMUM, at: clock.monotonic(), good: 0, throttled: 0, spent: 0.0 };
    let shop = Arc::new(Shop { clock: clock.clone(), spread, bucket: Mutex::new(bucket) });
    let server = shop.clone();
    let app = Router::new().fallback(post(move |Json(query): Json<Value>| {
        let server = server.clone();
        async move { Json(server.answer(query["variables"]["number"].as_u64().unwrap(), way).await) }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (api_at(address).clock(clock).attempt_timeout(100 * SECOND), shop)
}

/// Sends that many queries at once; how many were throttled, and the share of the time that it must take.
async fn measured(clock: Arc<dyn Clock>, spread: f64, way: Duration, calls: u64) -> (u32, f64) {
    let (api, shop) = shop(clock.clone(), spread, way).await;
    let began = clock.monotonic();
    let mut tasks = JoinSet::new();
    for number in 0..calls {
        let query = api.graphql("query($number: Int!) { number(is: $number) }");
        let call = query.variables(&json!({"number": number})).decode::<Value>();
        tasks.spawn(async move { (number, call.send().await.unwrap()) });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, answer) = done.unwrap();
        assert_eq!(answer["number"], number);
    }
    let took = clock.monotonic() - began;
    let bucket = shop.bucket.lock().unwrap();
    assert_eq!(u64::from(bucket.good), calls, "each once");
    let ideal = (bucket.spent - MAXIMUM) / RESTORED;
    (bucket.throttled, took.as_secs_f64() / ideal)
}

#[tokio::test]
async fn queries_take_hardly_longer_than_their_costs_restore_and_none_is_throttled() {
    let is_real = std::env::var_os("BOWLINE_LIMITS_REAL").is_some();
    // All of one cost; then of costs that differ by up to a half, which the client learns on the way.
    for spread in [0.0, USUAL_COST / 2.0] {
        let (throttled, ratio) = if is_real {
            measured(Arc::new(SystemClock), spread, Duration::ZERO, 2000).await
        } else {
            measured(Idle::new(), spread, Duration::from_millis(5), 500).await
        };
        println!("costs ±{spread}: {throttled} throttled, {ratio:.2} of the ideal time");
        assert_eq!(throttled, 0, "the first answers tell the limit long before it is reached");
        assert!((0.99..=LONGEST).contains(&ratio), "{ratio}");
    }
}
