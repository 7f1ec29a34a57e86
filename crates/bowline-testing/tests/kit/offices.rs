//! The senders of code and of offices under the kit: each in its own form, each with the input that was asked for.

use bowline::prelude::*;
use bowline_testing::TestApp;
use serde_json::{Value, json};

struct Office;

async fn echo(_office: Arc<Office>, _cx: Context, input: Value) -> Result<Value> {
    Ok(input)
}

fn echoed(name: &'static str) -> bowline::Workflow<Office, Value, Value> {
    workflow(name, echo)
}

fn office() -> App<Office> {
    App::new("office", |_| Office)
        .webhook("/gitlab", GitLab::signing_token_env("GITLAB_SIGNING_TOKEN").on("*", echoed("gitlab")))
        .webhook(
            "/gitlab-older",
            GitLab::secret_token_env("GITLAB_SECRET_TOKEN").on("*", echoed("gitlab-older")),
        )
        .webhook("/bitbucket", Bitbucket::secret_env("BITBUCKET_SECRET").on("*", echoed("bitbucket")))
        .webhook("/linear", Linear::secret_env("LINEAR_SECRET").on("*", echoed("linear")))
        .webhook("/intercom", Intercom::secret_env("INTERCOM_SECRET").on("*", echoed("intercom")))
        .webhook("/typeform", Typeform::secret_env("TYPEFORM_SECRET").on("*", echoed("typeform")))
        .webhook("/calendly", Calendly::secret_env("CALENDLY_KEY").on("*", echoed("calendly")))
        .webhook("/zendesk", Zendesk::secret_env("ZENDESK_SECRET").on("*", echoed("zendesk")))
        .webhook("/xero", Xero::secret_env("XERO_KEY").on("*", echoed("xero")))
        .webhook(
            "/meta",
            Meta::secret_env("META_APP_SECRET").verify_token_env("META_VERIFY_TOKEN").on("*", echoed("meta")),
        )
}

#[test]
fn every_sender_of_code_and_offices_gets_its_events_in_its_own_form() {
    let app = TestApp::new(office());
    let input = json!({"uri": "https://api.example.com/things/1", "note": "Zoë's"});
    for (path, kind) in [
        ("/gitlab", "merge_request.open"),
        ("/gitlab-older", "push"),
        ("/bitbucket", "repo:push"),
        ("/linear", "Issue.create"),
        ("/intercom", "contact.created"),
        ("/typeform", "form_response"),
        ("/calendly", "invitee.created"),
        ("/zendesk", "user.active_changed"),
        ("/xero", "INVOICE.UPDATE"),
        ("/meta", "page.feed"),
    ] {
        let reply = app.send_event(path, kind, &input);
        assert_eq!(reply.header("bowline-status"), Some("accepted"), "{path}");
        let run = reply.run().end();
        assert_eq!(run.event().kind, kind, "{path}");
        let output: Value = run.output();
        let received = if path == "/meta" { &output["entry"][0]["changes"][0]["value"] } else { &output };
        assert_eq!((&received["note"], &received["uri"]), (&input["note"], &input["uri"]), "{path}");
        assert_eq!(reply.again().header("bowline-status"), Some("duplicate"), "{path}");
        assert_eq!(app.send_event(path, kind, &input).header("bowline-status"), Some("accepted"), "{path}");
    }
}
