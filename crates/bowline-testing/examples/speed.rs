//! How quick tests of the kit are: `cargo run -p bowline-testing --example speed`.
//!
//! One test opens an app, sends it a signed event, lets the run fail and come through with time skipping, and looks at what
//! the mock system got. Prints what each part takes, and 200 of them side by side.

use std::{sync::Mutex, time::Duration};

use bowline::prelude::*;
use bowline_model::{Clock, SystemClock};
use bowline_testing::{Answer, TestApp};
use serde_json::{Value, json};

struct Shop {
    crm: Api,
}

impl Shop {
    async fn welcome(self: Arc<Self>, cx: Context, customer: Value) -> Result<Value> {
        cx.step("create contact", self.crm.post("/contacts").json(&customer).decode()).await
    }
}

fn app() -> App<Shop> {
    App::new("shop", |setup| Shop { crm: setup.api("crm").base_url_env("CRM_BASE_URL") }).webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET")
            .on("customer.created", workflow("welcome", Shop::welcome)),
    )
}

/// What the parts of one test take: open, send, end, close.
fn test() -> [Duration; 4] {
    let times = [SystemClock.monotonic(); 5];
    let mut at = times;
    let app = TestApp::new(app());
    at[1] = SystemClock.monotonic();
    app.mock("crm").answer(Answer::json(201, json!({"id": 7})));
    app.mock("crm").fail_next(1, 503);
    let reply = app.send_event("/webhooks/stripe", "customer.created", json!({"email": "ada@example.com"}));
    at[2] = SystemClock.monotonic();
    assert_eq!(reply.run().end().output::<Value>()["id"], 7);
    assert_eq!(app.mock("crm").count(), 2);
    at[3] = SystemClock.monotonic();
    drop(reply);
    drop(app);
    at[4] = SystemClock.monotonic();
    std::array::from_fn(|part| at[part + 1].saturating_sub(at[part]))
}

const TESTS: usize = 200;
/// What `cargo test` would take on this machine.
const THREADS_MIN: usize = 2;

#[allow(clippy::print_stdout, reason = "that is what it is for")]
fn main() {
    println!("the first in a process: {:?}", test());
    let mut alone: Vec<_> = (0..TESTS).map(|_| test()).collect();
    alone.sort_by_key(|parts| parts.iter().sum::<Duration>());
    println!("open, send, end, close; alone, the median of {TESTS}: {:?}", alone[TESTS / 2]);
    println!("  in all: {:?}, the slowest {:?}", alone[TESTS / 2].iter().sum::<Duration>(), alone[TESTS - 1]);

    let threads = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
    for threads in [threads, TESTS] {
        let left = Mutex::new(TESTS);
        let begun = SystemClock.monotonic();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        {
                            let mut left = left.lock().expect("nobody panics with it");
                            if *left == 0 {
                                return;
                            }
                            *left -= 1;
                        }
                        test();
                    }
                });
            }
        });
        println!("{TESTS} of them on {threads} threads: {:?}", SystemClock.monotonic().saturating_sub(begun));
    }
}
