//! Bowline inside an axum program that is there already.
//!
//! The program is a shop with routes of its own. What must happen after an order (the stock is reserved, the customer
//! gets a receipt) is a workflow; the shop's handlers start it, wait for it, and ask how it is doing. The payment
//! provider's webhook comes in through Bowline's own route, merged into the same router.
//!
//! | Request | Whose | Does |
//! |---|---|---|
//! | `GET /` | the shop's | says hello |
//! | `POST /orders` | the shop's | starts the run of the order, once per order number |
//! | `GET /orders/runs/{run}` | the shop's | says how a run is doing |
//! | `POST /webhooks/stripe` | Bowline's | a refund starts a run |

use std::{future::IntoFuture, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bowline::{OpenApp, RunError, RunId, StartError, Workflow, prelude::*};

/// The systems that the shop's automations use.
pub struct Fulfilment {
    stock: Api,
    mailer: Api,
}

/// An order as a customer sends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The shop's own number.
    pub number: String,
    /// To whom the receipt goes.
    pub email: String,
    /// What is ordered.
    pub item: String,
}

/// What is known when an order is through.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fulfilled {
    /// The warehouse's number.
    pub reservation: u64,
}

/// What a run needs of Stripe's `Refund`.
#[derive(Debug, Clone, Deserialize)]
pub struct Refund {
    payment_intent: String,
}

impl Fulfilment {
    async fn order(self: Arc<Self>, cx: Context, order: Order) -> Result<Fulfilled> {
        let item = serde_json::json!({ "item": order.item, "order": order.number });
        let fulfilled: Fulfilled =
            cx.step("reserve stock", self.stock.post("/reservations").json(&item).decode()).await?;
        let receipt = serde_json::json!({ "to": order.email, "order": order.number });
        cx.step("send receipt", self.mailer.post("/messages").json(&receipt)).await?;
        Ok(fulfilled)
    }

    async fn refund(self: Arc<Self>, cx: Context, refund: Refund) -> Result {
        let path = format!("/reservations/by-payment/{}", bowline::segment(&refund.payment_intent));
        cx.step("release stock", self.stock.delete(&path)).await?;
        Ok(())
    }
}

/// The workflow of an order: the app knows it, and handlers start it.
pub fn order() -> Workflow<Fulfilment, Order, Fulfilled> {
    workflow("order", Fulfilment::order).concurrency(16)
}

/// The automations of the shop.
pub fn automations() -> App<Fulfilment> {
    App::new("shop", |setup| Fulfilment {
        stock: setup.api("stock").base_url_env("STOCK_BASE_URL").bearer_env("STOCK_TOKEN"),
        mailer: setup.api("mailer").base_url_env("MAILER_BASE_URL").bearer_env("MAILER_TOKEN"),
    })
    .version(env!("CARGO_PKG_VERSION"))
    .workflow(order())
    .webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET")
            .on("refund.created", workflow("refund", Fulfilment::refund)),
    )
}

/// The shop's router, with Bowline's routes in it.
pub fn router(automations: OpenApp<Fulfilment>) -> Router {
    Router::new()
        .route("/", get(async || "the shop is open"))
        .route("/orders", post(place_order))
        .route("/orders/runs/{run}", get(order_status))
        .with_state(automations.clone())
        .merge(automations.into_router())
}

/// How long a customer waits for the order to be through.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers 200 when the order is through, 202 when that takes longer: it goes on in any case.
async fn place_order(State(app): State<OpenApp<Fulfilment>>, Json(placed): Json<Order>) -> Response {
    // The order's number as the key: a customer who clicks twice orders once.
    let run = match app.start(&order(), &placed).dedupe(&placed.number).await {
        Ok(run) => run,
        Err(error @ StartError::Key(_)) => {
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
        // Not on disk: the customer must know.
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let id = run.id();
    match tokio::time::timeout(PATIENCE, run.into_future()).await {
        Ok(Ok(fulfilled)) => Json(fulfilled).into_response(),
        Ok(Err(error)) => problem(&error),
        Err(_still_running) => (StatusCode::ACCEPTED, format!("/orders/runs/{id}")).into_response(),
    }
}

async fn order_status(State(app): State<OpenApp<Fulfilment>>, Path(run): Path<RunId>) -> Response {
    match app.run(run).status().await {
        Ok(state) => state.to_string().into_response(),
        Err(error) => problem(&error),
    }
}

fn problem(error: &RunError) -> Response {
    let status = match error {
        RunError::NotFound(_) => StatusCode::NOT_FOUND,
        // A person looks at it; the order is not lost.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string()).into_response()
}
