//! What a poll finds is on disk before its run begins.

use bowline::prelude::*;

struct Shop;

#[derive(Deserialize)]
struct Order {
    id: u64,
}

impl Shop {
    async fn new_orders(self: Arc<Self>, _: Poll, _: Option<u64>) -> Result<Found<Order, u64>> {
        Ok(Found::items([Order { id: 17 }]).keyed(|order| order.id))
    }

    async fn import(self: Arc<Self>, _: Context, _: Order) -> Result {
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
