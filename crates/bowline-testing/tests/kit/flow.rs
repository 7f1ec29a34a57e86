//! Flow control under test: keys, paces, and how events gather.

mod attacked;
mod gathering;
mod keys;
mod paces;

use std::{collections::BTreeMap, time::Duration};

use bowline::{Workflow, prelude::*};
use bowline_testing::{Answer, TestApp};
use serde_json::json;

pub(crate) struct Desk {
    crm: Api,
}

/// What the workflows take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    customer: String,
    n: u32,
}

fn order(customer: &str, n: u32) -> Order {
    Order { customer: customer.to_owned(), n }
}

/// Two calls, so that a run has a middle.
async fn ship(desk: Arc<Desk>, cx: Context, order: Order) -> Result<u32> {
    cx.step("pack", desk.crm.post("/pack").json(&order)).await?;
    cx.step("send", desk.crm.post("/send").json(&order)).await?;
    Ok(order.n)
}

type Ship = Workflow<Desk, Order, u32>;

fn desk(workflow: &Ship) -> App<Desk> {
    App::new("desk", |setup| Desk { crm: setup.api("crm").base_url_env("CRM_BASE_URL") })
        .workflow(workflow.clone())
}

/// All calls take so long.
fn slow(app: &TestApp<Desk>, each: Duration) {
    app.mock("crm").answer(Answer::ok(json!({})).after(each));
}

/// What each customer's orders asked of the CRM, in order: `pack 1, send 1, pack 2, ..`.
fn calls(app: &TestApp<Desk>) -> BTreeMap<String, String> {
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in app.mock("crm").requests() {
        let order: Order = request.decode();
        let call = format!("{} {}", request.path.trim_start_matches('/'), order.n);
        calls.entry(order.customer).or_default().push(call);
    }
    calls.into_iter().map(|(customer, calls)| (customer, calls.join(", "))).collect()
}

/// What is wrong with an app, as its start tells.
fn problems(workflow: &Ship) -> String {
    crate::panic_of(|| TestApp::new(desk(workflow)))
}
