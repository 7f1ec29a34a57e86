//! What senders send and are answered.

use bowline::prelude::*;
use bowline_model::RunState;
use bowline_testing::{Answer, TestApp};
use garde::Validate;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::{
    panic_of,
    shop::{Shop, order, shop},
};

async fn create(shop: Arc<Shop>, cx: Context, order: Value) -> Result<Value> {
    cx.step("create contact", shop.crm.post("/contacts").json(&order).decode()).await
}

#[derive(Debug, Serialize, Deserialize, Validate)]
struct Signup {
    #[garde(length(min = 3))]
    email: String,
}

async fn sign_up(shop: Arc<Shop>, cx: Context, signup: Signup) -> Result<Value> {
    cx.step("create contact", shop.crm.post("/contacts").json(&signup).decode()).await
}

fn site() -> App<Shop> {
    shop(create)
        .webhook(
            "/webhooks/github",
            GitHub::secret_env("GITHUB_SECRET").on("issues.opened", workflow("issue", create)),
        )
        .webhook(
            "/webhooks/standard",
            StandardWebhooks::secret_env("STANDARD_SECRET").on("*", workflow("standard", create)),
        )
        .post(
            "/signups",
            Post::api_key_env("X-Api-Key", "SIGNUP_KEY")
                .dedupe_by(|signup: &Signup| Some(signup.email.clone()))
                .start(workflow("signup", sign_up))
                .wait(secs(10)),
        )
}

#[test]
fn a_whole_event_is_signed_and_recognised_again() {
    let app = TestApp::new(site());
    let event = json!({"id": "evt_1", "type": "order", "data": {"object": order()}});
    let reply = app.send("/webhooks/stripe", &event);
    assert_eq!((reply.status(), reply.json()["status"].clone()), (200, json!("accepted")));
    let again = app.send("/webhooks/stripe", &event);
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(again.run().id(), reply.run().id());
    assert_eq!(reply.again().json()["status"], "duplicate");
    assert_eq!(app.runs().len(), 1);
}

#[test]
fn every_provider_gets_its_events_in_its_own_form() {
    let app = TestApp::new(site());
    for (path, kind) in [
        ("/webhooks/stripe", "order"),
        ("/webhooks/github", "issues.opened"),
        ("/webhooks/standard", "contact.created"),
    ] {
        let reply = app.send_event(path, kind, order());
        let run = reply.run().end();
        assert_eq!(run.event().kind, kind, "{path}");
        assert_eq!(reply.again().json()["status"], "duplicate", "{path}");
        assert_eq!(
            app.mock("crm").requests().last().map(|request| request.json()["email"].clone()),
            Some(json!("ada@example.com"))
        );
        let other = app.send_event(path, kind, order());
        assert_eq!(other.json()["status"], "accepted", "{path}");
    }
    assert_eq!(app.send_event("/webhooks/github", "issues.closed", json!({})).json()["status"], "ignored");
}

#[test]
fn a_route_that_waits_is_answered_with_the_result_after_time_has_skipped() {
    let app = TestApp::new(site());
    app.mock("crm").answer(Answer::json(201, json!({"id": 7})).after(secs(4)));
    let begun = app.now();
    let reply = app.post("/signups", json!({"email": "ada@example.com"}));
    assert_eq!((reply.status(), reply.json()), (200, json!({"id": 7})));
    assert_eq!(app.now().duration_since(begun).as_secs(), 4);
    assert_eq!(reply.run().state(), RunState::Completed);
}

#[test]
fn a_route_that_waits_no_longer_names_the_run() {
    let app = TestApp::new(site());
    app.mock("crm").fail_next(6, 503);
    let reply = app.post("/signups", json!({"email": "ada@example.com"}));
    assert_eq!(reply.status(), 202);
    assert!(reply.header("location").is_some_and(|at| at.starts_with("/signups/runs/")), "{reply:?}");
    assert_eq!(reply.run().end().state(), RunState::Completed);
}

#[test]
fn a_refusal_is_an_answer_and_starts_nothing() {
    let app = TestApp::new(site());
    let reply = app.post("/signups", json!({"email": "a"}));
    assert_eq!(reply.status(), 422);
    assert_eq!(reply.json()["errors"][0]["pointer"], "#/email");
    assert!(panic_of(|| reply.run().id()).starts_with("no run was started: 422 Unprocessable Entity {"));

    let bare =
        Request::builder().method(Method::POST).uri("/signups").header("content-type", "application/json");
    let reply = app.request(bare.body(r#"{"email": "ada@example.com"}"#).expect("a request"));
    assert_eq!(reply.status(), 401);
    let bare = Request::builder()
        .method(Method::POST)
        .uri("/webhooks/stripe")
        .header("content-type", "application/json");
    assert_eq!(app.request(bare.body("{}").expect("a request")).status(), 401);
    assert!(app.runs().is_empty());
}

#[test]
fn a_route_that_is_not_there_is_told_with_those_that_are() {
    let app = TestApp::new(site());
    assert_eq!(
        panic_of(|| app.send("/webhooks/strip", json!({})).status()),
        "this app has no route at \"/webhooks/strip\"; it has /webhooks/stripe, /webhooks/github, /webhooks/standard, \
         /signups"
    );
}

#[tokio::test]
async fn it_works_within_an_async_test() {
    let app = TestApp::new(site());
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.state(), RunState::Completed);
    tokio::time::timeout(std::time::Duration::from_secs(60), app.mock("crm").wait_for(1))
        .await
        .expect("it came");
}

#[test]
fn an_event_that_does_not_fit_is_a_dead_letter() {
    async fn picky(_shop: Arc<Shop>, _cx: Context, _order: Vec<u8>) -> Result<()> {
        Ok(())
    }
    let app = TestApp::new(
        App::new("shop", |setup| Shop { crm: setup.api("crm"), mail: setup.api("mail") }).webhook(
            "/webhooks/stripe",
            Stripe::secret_env("STRIPE_WEBHOOK_SECRET").on("*", workflow("picky", picky)),
        ),
    );
    let run = app.send_event("/webhooks/stripe", "order", order()).run().end();
    assert_eq!(run.dead_reason(), Some(bowline_model::DeadReason::Malformed));
    assert_eq!(app.dead().len(), 1);
    assert_eq!(app.discard(run.id()).state(), RunState::Cancelled);
    let replayed = app.replay(run.id()).end();
    assert_eq!(replayed.state(), RunState::DeadLettered);
    assert!(panic_of(|| app.retry(bowline::RunId(4711))).contains("there is no run 4711"));
}
