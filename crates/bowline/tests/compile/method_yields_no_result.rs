//! A workflow returns a `Result`: it can fail, and says so.

use bowline::prelude::*;

struct Payments;

impl Payments {
    async fn sync(self: Arc<Self>, _: Context, email: String) -> usize {
        email.len()
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
