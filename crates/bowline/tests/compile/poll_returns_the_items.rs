//! A poll returns what it found, and where to go on.

use bowline::prelude::*;

struct Shop;

impl Shop {
    async fn new_orders(self: Arc<Self>, _: Poll, _: Option<u64>) -> Result<Vec<u64>> {
        Ok(vec![17])
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
