use bowline::prelude::*;
use bowline_testing::{Answer, TestApp};
use serde_json::Value;

use crate::shop::{Shop, order, shop};

async fn guess(shop: Arc<Shop>, cx: Context, _order: Value) -> Result<Option<Value>> {
    Ok(cx.step("guess age", shop.crm.get("/age").decode()).timeout(secs(3)).best_effort().await)
}

#[test]
fn a_remote_that_never_answers_is_given_up_when_time_has_passed() {
    let app = TestApp::new(shop(guess));
    app.mock("crm").answer(Answer::hang());
    let begun = app.now();
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.output::<Option<Value>>(), None);
    assert_eq!(app.now().duration_since(begun).as_secs(), 3);
}
