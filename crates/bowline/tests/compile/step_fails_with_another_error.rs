//! A step's closure fails with `bowline::Error`; `?` makes one of any other.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, cx: Context, path: String) -> Result<String> {
        cx.step("read", async || std::fs::read_to_string(&path)).await
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
