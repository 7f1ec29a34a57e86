//! A workflow is an async method.

use bowline::prelude::*;

struct Payments;

impl Payments {
    fn sync(self: Arc<Self>, _: Context, email: String) -> Result<usize> {
        Ok(email.len())
    }
}

fn main() {
    let _ = workflow("sync", Payments::sync);
}
