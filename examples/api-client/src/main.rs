//! ```sh
//! SHOP_URL=http://127.0.0.1:9000 SHOP_TOKEN_URL=http://127.0.0.1:9000/token \
//! SHOP_CLIENT_ID=us SHOP_CLIENT_SECRET=secret SHOP_WEEK=2026-W47 cargo run -p api-client
//! ```
//!
//! Without them, it names what is missing.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use std::path::Path;

use bowline_model::{Error, Result, Variables};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let variables = Variables::environment();
    let shop = api_client::shop(variables.clone());
    let week = variables.require("SHOP_WEEK", "week to file, as 2026-W47");
    let Some(week) = week.filter(|_| variables.problems().is_empty()) else {
        let named = variables.problems().into_iter().map(|(name, what)| format!("{name} {what}"));
        return Err(Error::permanent(named.collect::<Vec<_>>().join("\n")));
    };
    let filed = api_client::file_week(&shop, &week, Path::new("receipt.pdf")).await?;
    print!("{}", filed.report);
    let before = if filed.was_there { " before" } else { "" };
    println!("filed{before}; the receipt has {} bytes: receipt.pdf", filed.receipt_bytes);
    Ok(())
}
