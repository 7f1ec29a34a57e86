//! A shop's week, added up and filed: the client of Bowline without the rest of it.
//!
//! One pass through a remote system as business APIs are: OAuth, limits, lists in pages, an export that is too large to
//! hold, GraphQL, files up and down, and refusals that mean something. Each is one function; [`file_week`] is the story.
//!
//! Nothing here survives a crash: for that, the same calls go into the steps of a workflow.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bowline_client::{Api, Multipart, OAuth, Paging, segment};
use bowline_model::{Result, RetryPolicy, Variables};
use serde::Deserialize;

/// The shop: where it is, who we are, how much it bears.
///
/// The token is fetched at the first call, kept, renewed before it ends, and once more if the shop does not take it.
/// A call that fails is sent again by the schedule; a POST carries the same idempotency key then. What the shop says of
/// its limits in its headers counts, too.
pub fn shop(variables: Variables) -> Api {
    Api::with_variables("shop", variables)
        .base_url_env("SHOP_URL")
        .oauth(
            OAuth::client_credentials("https://id.shop.example.com/token")
                .token_url_env("SHOP_TOKEN_URL")
                .client_env("SHOP_CLIENT_ID", "SHOP_CLIENT_SECRET")
                .scope("orders files"),
        )
        .rate_limit(50, Duration::from_secs(1))
        .concurrency(4)
        .retry(RetryPolicy::default().give_up_after(Duration::from_secs(60)))
        .app("api-client", env!("CARGO_PKG_VERSION"))
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Filed {
    /// Who bought something, and for how much in all.
    pub report: String,
    /// Whether the shop had this week's report already.
    pub was_there: bool,
    /// How large the receipt is.
    pub receipt_bytes: u64,
}

/// Adds up the week's orders by customer, files the report, and fetches the shop's receipt for it.
///
/// # Errors
/// What the shop refused, or could not be had of it for a minute.
pub async fn file_week(shop: &Api, week: &str, receipt: &Path) -> Result<Filed> {
    let currency = currency(shop).await?;
    let spent = spent_by_customer(shop, week).await?;
    let report = report(shop, &spent, &currency).await?;
    let was_there = file(shop, week, &report).await?;
    let path = format!("/reports/{}/receipt", segment(week));
    let receipt = shop.get(&path).download(receipt).await?;
    Ok(Filed { report, was_there, receipt_bytes: receipt.bytes })
}

/// GraphQL: an answer with `errors` is a failure, whatever its status.
async fn currency(shop: &Api) -> Result<String> {
    #[derive(Deserialize)]
    struct Data {
        shop: Shop,
    }
    #[derive(Deserialize)]
    struct Shop {
        currency: String,
    }
    let data: Data = shop.graphql("{ shop { currency } }").at("/graphql").decode().send().await?;
    Ok(data.shop.currency)
}

/// An export of any size: each order is read as it arrives, and none is kept.
async fn spent_by_customer(shop: &Api, week: &str) -> Result<BTreeMap<u64, u64>> {
    #[derive(Deserialize)]
    struct Order {
        customer: u64,
        cents: u64,
    }
    let mut spent = BTreeMap::new();
    let mut orders =
        shop.get("/orders/export").query("week", week).stream_json::<Order>("data.orders").await?;
    while let Some(order) = orders.next().await {
        let order = order?;
        *spent.entry(order.customer).or_default() += order.cents;
    }
    Ok(spent)
}

/// A list in pages: the next one is on its way while this one is worked on.
async fn report(shop: &Api, spent: &BTreeMap<u64, u64>, currency: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Customer {
        id: u64,
        email: String,
    }
    let mut lines = String::new();
    let next = Paging::cursor("next", "after");
    let mut customers = shop.get("/customers").query("limit", 100).pages::<Customer>("items", next).items();
    while let Some(customer) = customers.next().await {
        let Customer { id, email } = customer?;
        if let Some(cents) = spent.get(&id) {
            lines += &format!("{email},{}.{:02},{currency}\n", cents / 100, cents % 100);
        }
    }
    Ok(lines)
}

/// An upload; whether the report was there already. Errors are data: one of them is the answer here.
async fn file(shop: &Api, week: &str, report: &str) -> Result<bool> {
    let file_name = format!("{week}.csv");
    let form = Multipart::new().text("week", week).bytes("report", &file_name, "text/csv", report.to_owned());
    match shop.post("/reports").multipart(form).send().await {
        Ok(_) => Ok(false),
        Err(error) if (error.status(), error.code()) == (Some(409), Some("report_exists")) => Ok(true),
        Err(error) => Err(error),
    }
}
