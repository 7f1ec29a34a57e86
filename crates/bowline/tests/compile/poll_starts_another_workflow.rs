//! What a poll finds is what its workflow takes; batches are taken as a `Vec`.

use bowline::prelude::*;

struct Shop;

impl Shop {
    async fn new_orders(self: Arc<Self>, _: Poll, _: Option<u64>) -> Result<Found<Vec<u64>, u64>> {
        Ok(Found::items([17, 18]).next(18u64).in_batches(2))
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
