//! What a schedule starts takes its ticks.

use bowline::prelude::*;

struct Shop;

impl Shop {
    async fn report(self: Arc<Self>, _: Context, _: u64) -> Result {
        Ok(())
    }
}

fn main() {
    let every_hour = Schedule::every(hours(1));
    let _ = App::new("shop", |_| Shop).schedule("hourly report", every_hour, workflow("report", Shop::report));
}
