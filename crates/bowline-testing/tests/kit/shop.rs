//! The app under test: a shop with a CRM, a mail service and a stock.

use bowline::prelude::*;
use serde_json::{Value, json};

pub(crate) struct Shop {
    pub(crate) crm: Api,
    pub(crate) mail: Api,
}

/// The shop with one workflow, started by Stripe's events and by the program.
pub(crate) fn shop<F, Fut, O>(code: F) -> App<Shop>
where
    F: Fn(Arc<Shop>, Context, Value) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
    O: Serialize + 'static,
{
    let systems = |setup: &mut Setup| Shop {
        crm: setup.api("crm").base_url_env("CRM_BASE_URL").header_key_env("X-Api-Key", "CRM_API_KEY"),
        mail: setup.api("mail").base_url("https://mail.example.com/v1"),
    };
    App::new("shop", systems).webhook(
        "/webhooks/stripe",
        Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("*", workflow("order", code)),
    )
}

/// An order as the workflows receive it.
pub(crate) fn order() -> Value {
    json!({"email": "ada@example.com", "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}]})
}

/// The items of an order.
pub(crate) fn lines(order: &Value) -> Vec<Value> {
    order["lines"].as_array().cloned().unwrap_or_default()
}
