//! The client without the rest of Bowline: one contact, created once, however often it has to be asked.
//!
//! ```sh
//! CRM_BASE_URL=http://127.0.0.1:9000 CRM_API_KEY=test cargo run -p bowline-client --example alone
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it got")]

use std::time::Duration;

use bowline_client::Api;
use bowline_model::{Result, RetryPolicy};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct NewContact {
    email: String,
}

#[derive(Deserialize)]
struct Contact {
    id: u64,
}

#[tokio::main]
async fn main() -> Result {
    let crm = Api::new("crm")
        .base_url_env("CRM_BASE_URL")
        .header_key_env("X-Api-Key", "CRM_API_KEY")
        .app("alone", env!("CARGO_PKG_VERSION"))
        .retry(RetryPolicy::default().give_up_after(Duration::from_secs(60)));

    let jane = NewContact { email: "jane@example.com".into() };
    let contact = crm.post("/api/contacts").json(&jane).decode::<Contact>().send().await?;
    println!("created contact {}", contact.id);
    Ok(())
}
