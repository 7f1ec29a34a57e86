//! A cursor outlives the process.

use bowline::prelude::*;

struct Shop;

struct Since(u64);

impl Shop {
    async fn new_orders(self: Arc<Self>, _: Poll, since: Option<Since>) -> Result<Found<u64, Since>> {
        let next = since.map_or(0, |since| since.0) + 1;
        Ok(Found::items([next]).next(Since(next)))
    }

    async fn import(self: Arc<Self>, _: Context, _: u64) -> Result {
        Ok(())
    }
}

fn main() {
    let _ = App::new("shop", |_| Shop).poll(
        "new orders",
        secs(30),
        Shop::new_orders,
        workflow("import", Shop::import),
    );
}
