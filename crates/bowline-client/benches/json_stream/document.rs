//! The document: orders of a shop, about 330 bytes each, behind and before what is skipped.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde::Deserialize;
use serde_json::json;

use crate::Result;

/// An item, as a program would read it.
#[derive(Deserialize)]
#[allow(dead_code, reason = "read to be measured")]
pub(crate) struct Order {
    pub(crate) id: u64,
    number: String,
    email: String,
    note: Option<String>,
    paid: bool,
    total: f64,
    address: Address,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read to be measured")]
struct Address {
    name: String,
    street: String,
    city: String,
    country: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read to be measured")]
struct Line {
    sku: String,
    quantity: u32,
    price: f64,
}

/// Writes it, with at least that many bytes of items, and says how many there are.
pub(crate) fn write(path: &Path, bytes_min: usize) -> Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(br#"{"meta":{"took_ms":12,"warnings":[]},"data":{"cursor":null,"items":["#)?;
    let (mut bytes, mut id) = (0, 0_u64);
    while bytes < bytes_min {
        let separator = if id == 0 { "" } else { "," };
        let order = order(id).to_string();
        write!(file, "{separator}{order}")?;
        bytes += separator.len() + order.len();
        id += 1;
    }
    file.write_all(br#"],"has_more":false}}"#)?;
    file.flush()?;
    Ok(id)
}

fn order(id: u64) -> serde_json::Value {
    let cents = id.wrapping_mul(2_654_435_761) % 100_000;
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let total = cents as f64 / 100.0;
    let lines: Vec<_> = (0..=id % 3)
        .map(|line| json!({"sku": format!("SKU-{:05}", (cents + line) % 99_991), "quantity": line + 1, "price": total}))
        .collect();
    json!({
        "id": id,
        "number": format!("2026-{id:08}"),
        "email": format!("customer{}@example.com", id % 7919),
        "note": id.is_multiple_of(4).then_some("Bitte beim Nachbarn abgeben, \"Müller\" im 2. Stock.\nDanke!"),
        "paid": !id.is_multiple_of(5),
        "total": total,
        "address": {"name": "Zoë Ångström", "street": format!("Hauptstraße {}", id % 300), "city": "Köln", "country": "DE"},
        "lines": lines,
    })
}
