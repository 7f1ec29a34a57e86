//! Senders whose events have a form of their own: a workflow's test names the type, and says what it receives.

use bowline::prelude::*;
use bowline_testing::TestApp;
use serde_json::{Value, json};

struct Echo;

async fn echo(_app: Arc<Echo>, _cx: Context, input: Value) -> Result<Value> {
    Ok(input)
}

const PUBLIC_URL: (&str, &str) = ("BOWLINE_PUBLIC_URL", "https://hooks.example.com");

fn app() -> App<Echo> {
    App::new("echo", |_| Echo)
        .webhook("/slack", Slack::secret_env("SLACK_SECRET").on("*", workflow("slack", echo)))
        .webhook("/shopify", Shopify::secret_env("SHOPIFY_SECRET").on("*", workflow("shopify", echo)))
        .webhook("/hubspot", HubSpot::secret_env("HUBSPOT_SECRET").on("*", workflow("hubspot", echo)))
        .webhook("/twilio", Twilio::secret_env("TWILIO_TOKEN").on("*", workflow("twilio", echo)))
        .webhook("/square", Square::secret_env("SQUARE_KEY").on("*", workflow("square", echo)))
        .webhook("/paddle", Paddle::secret_env("PADDLE_SECRET").on("*", workflow("paddle", echo)))
        .webhook("/zoom", Zoom::secret_env("ZOOM_TOKEN").on("*", workflow("zoom", echo)))
}

#[test]
fn a_workflow_receives_what_the_test_says_whatever_its_sender_wraps_around_it() {
    let app = TestApp::with(app()).env(PUBLIC_URL.0, PUBLIC_URL.1).build();
    for (path, kind) in [
        ("/slack", "app_mention"),
        ("/slack", "command.todo"),
        ("/slack", "interaction.block_actions"),
        ("/shopify", "orders/create"),
        ("/hubspot", "contact.creation"),
        ("/twilio", "message.received"),
        ("/twilio", "call.ringing"),
        ("/square", "payment.updated"),
        ("/paddle", "transaction.completed"),
        ("/zoom", "meeting.started"),
    ] {
        let reply = app.send_event(path, kind, json!({"text": "Zoë & 100%"}));
        assert_eq!(reply.status(), 200, "{path} {kind}");
        let run = reply.run().end();
        assert_eq!(run.output::<Value>()["text"], "Zoë & 100%", "{path} {kind}");
        assert_eq!(run.event().kind, kind, "{path}");
    }
}

#[test]
fn two_events_that_a_test_sends_are_two_even_if_they_are_equal() {
    let app = TestApp::with(app()).env(PUBLIC_URL.0, PUBLIC_URL.1).build();
    for path in ["/slack", "/shopify", "/hubspot", "/twilio", "/square", "/paddle", "/zoom"] {
        let runs = [1, 2].map(|_| app.send_event(path, "message.received", json!({"text": "x"})).run().id());
        assert_ne!(runs[0], runs[1], "{path}");
    }
}
