//! Every provider at once, each as an app's author writes it: its events in a test, and what is kept of them on disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Mutex,
};

use axum::{Router, body::Body};
use bowline::{OpenOptions, RunId, Source, Workflow, prelude::*};
use bowline_ingress::{Named, Route, SignedRequest, Unsigned};
use bowline_model::{Clock, SystemClock, Variables};
use bowline_store::{SqliteOptions, SqliteStore};
use bowline_testing::TestApp;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

struct Hub;

async fn echo(_hub: Arc<Hub>, _cx: Context, input: Value) -> Result<Value> {
    Ok(input)
}

fn echoed(name: &'static str) -> Workflow<Hub, Value, Value> {
    workflow(name, echo)
}

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";
const PUBLIC_URL: &str = "https://hooks.example.com";

/// The routes, each with a type of its events. There is one for every type of `bowline::source`, and for every way in
/// which one of them is made.
const KINDS: [(&str, &str); 34] = [
    ("/stripe", "customer.created"),
    ("/github", "issues.opened"),
    ("/standard", "contact.created"),
    ("/hmac", "order.paid"),
    ("/slack", "app_mention"),
    ("/twilio", "message.received"),
    ("/zoom", "meeting.started"),
    ("/shopify", "orders/create"),
    ("/hubspot", "contact.creation"),
    ("/square", "payment.updated"),
    ("/paddle", "transaction.completed"),
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
    ("/adyen", "AUTHORISATION"),
    ("/adyen", "balancePlatform.accountHolder.created"),
    ("/paypal", "PAYMENT.CAPTURE.COMPLETED"),
    ("/paypal-sandbox", "PAYMENT.CAPTURE.COMPLETED"),
    ("/sendgrid", "delivered"),
    ("/mailgun", "delivered"),
    ("/discord", "APPLICATION_AUTHORIZED"),
    ("/discord-interactions", "APPLICATION_COMMAND"),
    ("/sns", "Notification.orders"),
    ("/graph", "updated"),
    ("/cloud-events", "com.example.created"),
    ("/cloud-events-key", "com.example.created"),
    ("/cloud-events-basic", "com.example.created"),
];

fn hub() -> App<Hub> {
    let app = App::new("hub", |_| Hub);
    posts(sources().into_iter().fold(app, |app, (path, source)| app.webhook(path, source)))
}

fn sources() -> Vec<(&'static str, Source<Hub>)> {
    let till =
        Hmac::sha256("X-Till-Signature").prefix("sha256=").id_at("/id").kind_at("/event").input_at("/data");
    let meta = Meta::secret_env("META_APP_SECRET").verify_token_env("META_VERIFY_TOKEN");
    vec![
        ("/stripe", Stripe::secret_env("STRIPE_SECRET").on("*", echoed("stripe"))),
        ("/github", GitHub::secret_env("GITHUB_SECRET").on("*", echoed("github"))),
        ("/standard", StandardWebhooks::secret_env("STANDARD_SECRET").on("*", echoed("standard"))),
        ("/hmac", till.secret_env("TILL_SECRET").on("*", echoed("hmac"))),
        ("/slack", Slack::secret_env("SLACK_SECRET").on("*", echoed("slack"))),
        ("/twilio", Twilio::secret_env("TWILIO_TOKEN").on("*", echoed("twilio"))),
        ("/zoom", Zoom::secret_env("ZOOM_TOKEN").on("*", echoed("zoom"))),
        ("/shopify", Shopify::secret_env("SHOPIFY_SECRET").on("*", echoed("shopify"))),
        ("/hubspot", HubSpot::secret_env("HUBSPOT_SECRET").on("*", echoed("hubspot"))),
        ("/square", Square::secret_env("SQUARE_KEY").on("*", echoed("square"))),
        ("/paddle", Paddle::secret_env("PADDLE_SECRET").on("*", echoed("paddle"))),
        ("/gitlab", GitLab::signing_token_env("GITLAB_SIGNING_TOKEN").on("*", echoed("gitlab"))),
        ("/gitlab-older", GitLab::secret_token_env("GITLAB_SECRET_TOKEN").on("*", echoed("gitlab-older"))),
        ("/bitbucket", Bitbucket::secret_env("BITBUCKET_SECRET").on("*", echoed("bitbucket"))),
        ("/linear", Linear::secret_env("LINEAR_SECRET").on("*", echoed("linear"))),
        ("/intercom", Intercom::secret_env("INTERCOM_SECRET").on("*", echoed("intercom"))),
        ("/typeform", Typeform::secret_env("TYPEFORM_SECRET").on("*", echoed("typeform"))),
        ("/calendly", Calendly::secret_env("CALENDLY_KEY").on("*", echoed("calendly"))),
        ("/zendesk", Zendesk::secret_env("ZENDESK_SECRET").on("*", echoed("zendesk"))),
        ("/xero", Xero::secret_env("XERO_KEY").on("*", echoed("xero"))),
        ("/meta", meta.on("*", echoed("meta"))),
        ("/adyen", Adyen::hmac_key_env("ADYEN_HMAC_KEY").on("*", echoed("adyen"))),
        ("/paypal", PayPal::webhook_id_env("PAYPAL_WEBHOOK_ID").on("*", echoed("paypal"))),
        (
            "/paypal-sandbox",
            PayPal::sandbox_webhook_id_env("PAYPAL_SANDBOX_ID").on("*", echoed("paypal-sandbox")),
        ),
        ("/sendgrid", SendGrid::public_key_env("SENDGRID_KEY").on("*", echoed("sendgrid"))),
        ("/mailgun", Mailgun::signing_key_env("MAILGUN_KEY").on("*", echoed("mailgun"))),
        ("/discord", Discord::public_key_env("DISCORD_KEY").on("*", echoed("discord"))),
        (
            "/discord-interactions",
            DiscordInteractions::public_key_env("DISCORD_APP_KEY").on("*", echoed("discord-interactions")),
        ),
        ("/sns", Sns::topics([TOPIC]).on("*", echoed("sns"))),
        ("/graph", Graph::client_state_env("GRAPH_CLIENT_STATE").on("*", echoed("graph"))),
        ("/cloud-events", CloudEvents::bearer_env("EVENTS_TOKEN").on("*", echoed("cloud-events"))),
        (
            "/cloud-events-key",
            CloudEvents::api_key_env("X-Events-Access", "EVENTS_KEY").on("*", echoed("cloud-events-key")),
        ),
        (
            "/cloud-events-basic",
            CloudEvents::basic_env("EVENTS_USER", "EVENTS_PASSWORD").on("*", echoed("cloud-events-basic")),
        ),
    ]
}

fn posts(app: App<Hub>) -> App<Hub> {
    fn id(input: &Value) -> Option<String> {
        input["note"].as_str().map(str::to_owned)
    }
    app.post(
        "/post-key",
        Post::api_key_env("X-Posts", "POST_KEY").dedupe_by(id).start_unvalidated(echoed("post-key")),
    )
    .post(
        "/post-bearer",
        Post::bearer_env("POST_TOKEN").dedupe_by(id).start_unvalidated(echoed("post-bearer")),
    )
    .post(
        "/post-basic",
        Post::basic_env("POST_USER", "POST_PASSWORD").dedupe_by(id).start_unvalidated(echoed("post-basic")),
    )
}

const POSTS: [&str; 3] = ["/post-key", "/post-bearer", "/post-basic"];

/// What of a workflow's input is the input that was asked for.
fn received(path: &str, output: &Value) -> Value {
    let at = if path == "/meta" { &output["entry"][0]["changes"][0]["value"] } else { output };
    at["note"].clone()
}

/// Nothing is set in the environment: neither a secret nor the public URL.
#[test]
fn every_provider_can_be_sent_to_in_tests() {
    let app = TestApp::new(hub());
    let events = KINDS.iter().map(|(path, kind)| (*path, Some(*kind)));
    for (path, kind) in events.chain(POSTS.map(|path| (path, None))) {
        let input = json!({"note": "Zoë & 100%", "uri": "https://api.example.com/things/1"});
        let reply = match kind {
            Some(kind) => app.send_event(path, kind, &input),
            None => app.post(path, &input),
        };
        assert_eq!(reply.header("bowline-status"), Some("accepted"), "{path}: {reply:?}");
        let run = reply.run().end();
        assert_eq!(received(path, &run.output()), input["note"], "{path}");
        if let Some(kind) = kind {
            assert_eq!(run.event().kind, kind, "{path}");
            let other = app.send_event(path, kind, &input);
            assert_eq!(other.header("bowline-status"), Some("accepted"), "{path}: another one, {other:?}");
        }
        let again = reply.again();
        assert_eq!(again.header("bowline-status"), Some("duplicate"), "{path}: {again:?}");
        assert_eq!(again.run().id(), run.id(), "{path}");
    }
}

/// Whoever adds a provider adds it above.
#[test]
fn no_provider_is_forgotten_here() {
    let routes = hub().routes(&OpenOptions::default().variables(Variables::new(|_| None).with_stand_ins()));
    let paths: BTreeSet<&str> = KINDS.iter().map(|(path, _)| *path).chain(POSTS).collect();
    assert_eq!(routes.iter().map(Route::path).collect::<BTreeSet<_>>(), paths);

    let named: BTreeSet<&str> = routes.iter().map(|route| route.provider().name()).collect();
    let modules = include_str!("../../../bowline-ingress/src/providers.rs").lines();
    let modules: Vec<&str> =
        modules.filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 20, "{modules:?}");
    for module in modules {
        let name = module.replace('_', "");
        assert!(named.iter().any(|known| known.replace('-', "").ends_with(&name)), "{module}: {named:?}");
    }
}

/// Of what everybody may know, the stand-ins are used: with the key beside them their events are signed.
const PUBLIC: [&str; 3] = ["SENDGRID_KEY", "DISCORD_KEY", "DISCORD_APP_KEY"];
const SLACK_TOKEN: &str = "verification-token-of-slack";
const SNS_TOKEN: &str = "token-that-subscribes-to-a-topic";

/// A secret in the form that its sender gives it.
fn secret_of(variable: &str) -> Option<String> {
    match variable {
        _ if variable.starts_with("BOWLINE_") || PUBLIC.contains(&variable) || variable == "PORT" => None,
        "STANDARD_SECRET" => Some("whsec_c3RhbmRhcmQtd2ViaG9va3Mtc2VjcmV0LW9mLXRlc3Rz".to_owned()),
        "GITLAB_SIGNING_TOKEN" => Some("whsec_Z2l0bGFiLXNpZ25pbmctdG9rZW4tb2YtdGVzdHMtMzI=".to_owned()),
        "ADYEN_HMAC_KEY" => Some("A5".repeat(32)),
        _ => Some(format!("{}-is-a-secret", variable.to_lowercase().replace('_', "-"))),
    }
}

/// What each door is sent, beside what is in [`KINDS`]: with what its sender keeps secret in the body.
const WITH_SECRETS: [(&str, &str); 3] = [
    ("/slack", "command.todo"),
    ("/slack", "interaction.block_actions"),
    ("/sns", "UnsubscribeConfirmation.orders"),
];

/// As its provider sends it now.
fn signed(route: &Route, kind: &str, note: &str) -> SignedRequest {
    let provider = route.provider();
    let event = Named { id: note, kind };
    let mut body = provider.body(&event, &json!({"note": note}));
    match route.path() {
        "/slack" => body["token"] = SLACK_TOKEN.into(),
        "/sns" if !kind.starts_with("Notification") => {
            body["Token"] = SNS_TOKEN.into();
            let url =
                format!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token={SNS_TOKEN}");
            body["SubscribeURL"] = url.into();
        }
        _without => {}
    }
    let (body, url) = (body.to_string(), format!("{PUBLIC_URL}{}", route.path()));
    let unsigned = Unsigned::new(body.as_bytes()).named(&event).to(Some(&url));
    provider.sign(&unsigned, SystemClock.now()).expect("tests can sign as every provider")
}

/// What lets somebody in, or would let this request in again.
fn secrets_of(route: &Route, request: &SignedRequest) -> Vec<String> {
    /// Times, names of algorithms and ids are shorter than the shortest signature.
    const LENGTH_MIN: usize = 24;
    let credentials = route.provider().credential_headers();
    let headers = request.headers.iter().filter(|(name, _)| credentials.contains(name));
    let values = headers.map(|(_, value)| value.to_str().expect("text").to_owned());
    let mut secrets: Vec<String> = vec![];
    for value in values {
        for part in value.split([',', ';', ' ']) {
            secrets.extend(part.split_once('=').map(|(_name, signature)| signature.to_owned()));
            secrets.push(part.to_owned());
        }
    }
    secrets.retain(|part| part.len() >= LENGTH_MIN);
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let in_bodies = [
        "/signature/signature",
        "/Signature",
        "/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature",
    ];
    secrets.extend(in_bodies.iter().filter_map(|at| body.pointer(at)?.as_str().map(str::to_owned)));
    secrets
}

async fn send(router: &Router, path: &str, request: SignedRequest) {
    let mut sent = Request::post(path).body(Body::from(request.body)).expect("a path");
    sent.headers_mut().extend(request.headers);
    let Ok(answer) = router.clone().oneshot(sent).await;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a short answer").to_bytes();
    assert!(head.status.is_success(), "{path}: {} {}", head.status, String::from_utf8_lossy(&body));
}

/// All that the store wrote: its file, and what was not moved into it yet.
fn written(folder: &Path) -> String {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let bytes: Vec<u8> = files.flat_map(|file| fs::read(file).expect("it can be read")).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn secrets_of_senders_are_not_kept() {
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let known = asked.clone();
    let variables = Variables::new(move |name| {
        let secret =
            if name == "BOWLINE_PUBLIC_URL" { return Some(PUBLIC_URL.to_owned()) } else { secret_of(name)? };
        known.lock().expect("nobody panicked").insert(name.to_owned(), secret.clone());
        Some(secret)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        SqliteStore::open(folder.path().join("hub.db"), SqliteOptions::default(), Arc::new(SystemClock));
    let options =
        OpenOptions::default().variables(variables.with_stand_ins()).store(Arc::new(store.expect("a store")));
    let routes = hub().routes(&options);
    let open = hub().open_with(options).await.expect("it opens");
    let router = open.clone().into_router();

    let (mut secrets, mut kept) = (vec![SLACK_TOKEN.to_owned(), SNS_TOKEN.to_owned()], vec![]);
    let posts = POSTS.map(|path| (path, "post"));
    for (path, kind) in KINDS.into_iter().chain(WITH_SECRETS).chain(posts) {
        let route = routes.iter().find(|route| route.path() == path).expect("it is there");
        let note = format!("kept-{:03}", kept.len());
        let request = signed(route, kind, &note);
        secrets.extend(secrets_of(route, &request));
        send(&router, path, request).await;
        kept.push(note);
    }
    let token = secret_of("META_VERIFY_TOKEN").expect("it has one");
    let question = format!("/meta?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=7");
    let Ok(answer) = router.oneshot(Request::get(question).body(Body::empty()).expect("a path")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for run in 1..=kept.len() {
        open.run(RunId(i64::try_from(run).expect("few"))).await.expect("it ends");
    }

    secrets.extend(asked.lock().expect("nobody panicked").values().cloned());
    assert!(secrets.len() > 2 * routes.len(), "{secrets:?}");
    let written = written(folder.path());
    for note in &kept {
        assert!(written.contains(note.as_str()), "{note}: what is kept is found");
    }
    let found: Vec<&String> = secrets.iter().filter(|secret| written.contains(secret.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
    open.shutdown().await;
}
