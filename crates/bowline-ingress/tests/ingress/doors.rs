//! Every kind of signed door: what is genuine comes in, and nothing else.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use bowline_ingress::{
    Named, Provider, Route, Unsigned,
    providers::{GitHub, Hmac, StandardWebhooks, Stripe},
};
use bowline_model::{Clock, Secret, SystemClock};
use bowline_signature::SigningSecret;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    refusals::refused,
    site::{Plan, Site, plan},
    wire::{Reply, post},
};

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_D3GWtCRJistdDimRJNW+c6tTZtqpc8pE";
/// The type that the site's workflow is subscribed to.
const KIND: &str = "contact.created";

/// A kind of door, and with which secrets it opens.
struct Kind {
    name: &'static str,
    make: fn(&[&str]) -> Arc<dyn Provider>,
    /// Whether what is signed has a time in it.
    is_timed: bool,
}

fn stripe(secrets: &[&str]) -> Arc<dyn Provider> {
    let first = Stripe::new(&Secret::new(secrets[0])).expect("sound");
    Arc::new(
        secrets[1..].iter().fold(first, |all, more| all.also_accept(&Secret::new(*more)).expect("sound")),
    )
}

fn standard_webhooks(secrets: &[&str]) -> Arc<dyn Provider> {
    let first = StandardWebhooks::new(&Secret::new(secrets[0])).expect("sound");
    Arc::new(
        secrets[1..].iter().fold(first, |all, more| all.also_accept(&Secret::new(*more)).expect("sound")),
    )
}

fn github(secrets: &[&str]) -> Arc<dyn Provider> {
    let first = GitHub::new(&Secret::new(secrets[0])).expect("sound");
    Arc::new(
        secrets[1..].iter().fold(first, |all, more| all.also_accept(&Secret::new(*more)).expect("sound")),
    )
}

fn signature(secrets: &[&str]) -> bowline_signature::Hmac {
    let signing = |secret: &&str| SigningSecret::new(secret).expect("sound");
    let first = bowline_signature::Hmac::sha256("X-Signature", signing(&secrets[0]));
    secrets[1..].iter().fold(first, |all, more| all.also_accept(signing(more)))
}

fn hmac_of_headers(secrets: &[&str]) -> Arc<dyn Provider> {
    let hmac = Hmac::new(signature(secrets).base64());
    Arc::new(hmac.kind_in_header("X-Topic").id_in_header("X-Event-Id"))
}

fn hmac_of_pointers(secrets: &[&str]) -> Arc<dyn Provider> {
    let signature = signature(secrets).prefix("v0=").signed_prefix("v0:").timestamp("X-Time", ":");
    Arc::new(Hmac::new(signature).kind_at("/event/type").id_at("/event/id").input_at("/event/contact"))
}

const KINDS: [Kind; 5] = [
    Kind { name: "stripe", make: stripe, is_timed: true },
    Kind { name: "standard-webhooks", make: standard_webhooks, is_timed: true },
    Kind { name: "github", make: github, is_timed: false },
    Kind { name: "hmac of headers", make: hmac_of_headers, is_timed: false },
    Kind { name: "hmac of pointers", make: hmac_of_pointers, is_timed: true },
];

fn contact() -> Value {
    json!({"name": "Ada", "note": "café"})
}

/// What the provider would send, signed at that time.
fn sent(provider: &dyn Provider, id: &str, at: Timestamp) -> (Vec<(String, String)>, Vec<u8>) {
    let event = Named { id, kind: KIND };
    let body = serde_json::to_vec(&provider.body(&event, &contact())).expect("sound");
    let headers = provider.sign(&Unsigned::new(&body).named(&event), at).expect("sound").headers;
    (texts(&headers), body)
}

fn texts(headers: &[(HeaderName, HeaderValue)]) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

async fn open(kind: &Kind, secrets: &[&str]) -> Site {
    let route = Route::new("/hook", (kind.make)(secrets)).on(KIND, "crm".into());
    Plan { routes: vec![route], ..plan() }.open().await
}

async fn deliver(site: &Site, headers: &[(String, String)], body: &[u8]) -> Reply {
    post(site.at, "/hook", &crate::site::pairs(headers), body).await
}

#[tokio::test]
async fn what_is_genuine_comes_in_once_with_its_id_type_and_input() {
    for kind in KINDS {
        let site = open(&kind, &[SECRET]).await;
        let (headers, body) = sent(&*(kind.make)(&[SECRET]), "evt_1", SystemClock.now());
        let reply = deliver(&site, &headers, &body).await;
        let expected = json!({"status": "accepted", "event": "evt_1", "runs": [1]});
        assert_eq!((reply.status, reply.json()), (200, expected), "{}", kind.name);
        let stored = site.event(1).await.unwrap();
        assert_eq!((&*stored.kind, &stored.body[..]), (KIND, &body[..]), "{}", kind.name);
        let input = stored.input().unwrap();
        assert_eq!(
            (&input["name"], &input["note"]),
            (&json!("Ada"), &json!("café")),
            "{}: {input}",
            kind.name
        );
        assert_eq!(deliver(&site, &headers, &body).await.status_word(), "duplicate", "{}", kind.name);
        let credentials = ["signature", "hmac", "authorization"];
        let kept = |name: &str| credentials.iter().any(|part| name.contains(part));
        assert!(!stored.headers.iter().any(|(name, _)| kept(name)), "{:?}", stored.headers);
    }
}

#[tokio::test]
async fn what_is_not_genuine_is_401_and_starts_nothing() {
    for kind in KINDS {
        let site = open(&kind, &[SECRET]).await;
        let now = SystemClock.now();
        let (headers, body) = sent(&*(kind.make)(&[SECRET]), "evt_1", now);
        let why = |what: &str| format!("{}: {what}", kind.name);

        let mut tampered = body.clone();
        *tampered.last_mut().unwrap() = b' ';
        let reply = deliver(&site, &headers, &tampered).await;
        assert_eq!(reply.status, 401, "{}", why("tampered"));
        refused(&reply, 401, "no signature fits");

        let (foreign, _) = sent(&*(kind.make)(&[OTHER]), "evt_1", now);
        refused(&deliver(&site, &foreign, &body).await, 401, "no signature fits");

        for (at, name) in headers.iter().map(|(name, _)| name).enumerate().skip(1) {
            let mut missing = headers.clone();
            missing.remove(at);
            let reply = deliver(&site, &missing, &body).await;
            assert!([400, 401].contains(&reply.status), "{}: {reply:?}", why(name));
            refused(&reply, reply.status, "missing");
            let mut doubled = headers.clone();
            doubled.push(headers[at].clone());
            let reply = deliver(&site, &doubled, &body).await;
            assert!([400, 401].contains(&reply.status), "{}: {reply:?}", why(name));
            refused(&reply, reply.status, "came twice");
        }
        if kind.is_timed {
            let (stale, body) = sent(&*(kind.make)(&[SECRET]), "evt_1", now - Duration::from_secs(912));
            refused(&deliver(&site, &stale, &body).await, 401, "s old (limit 300 s)");
        }
        assert!(site.stored_nothing().await, "{}", kind.name);
        assert_eq!(deliver(&site, &headers, &body).await.status, 200, "{}", why("and the good one is good"));
    }
}

#[tokio::test]
async fn both_secrets_are_good_while_one_replaces_the_other() {
    for kind in KINDS {
        let site = open(&kind, &[OTHER, SECRET]).await;
        for (secret, id) in [(SECRET, "evt_1"), (OTHER, "evt_2")] {
            let (headers, body) = sent(&*(kind.make)(&[secret]), id, SystemClock.now());
            assert_eq!(deliver(&site, &headers, &body).await.status_word(), "accepted", "{}", kind.name);
        }
    }
}

#[tokio::test]
async fn what_is_genuine_and_no_json_or_of_no_type_is_400() {
    for kind in KINDS {
        let site = open(&kind, &[SECRET]).await;
        let provider = (kind.make)(&[SECRET]);
        for body in [&b"a-private-word"[..], b"{\"id\": \"evt_1\"", b"\xff\xfe", b""] {
            let event = Named { id: "evt_1", kind: KIND };
            let headers =
                provider.sign(&Unsigned::new(body).named(&event), SystemClock.now()).unwrap().headers;
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            let reply = deliver(&site, &headers, body).await;
            assert_eq!(reply.status, 400, "{} {body:?}: {reply:?}", kind.name);
            assert!(!reply.body.contains("a-private-word"), "{reply:?}");
        }
        assert!(site.stored_nothing().await, "{}", kind.name);
    }
}

#[tokio::test]
async fn a_body_that_says_all_is_signed_by_itself_and_is_one_event_however_often() {
    for (kind, body) in [
        (&KINDS[0], r#"{"id": "evt_1", "type": "contact.created", "data": {"object": {}}}"#),
        (&KINDS[1], r#"{"type": "contact.created"}"#),
        (&KINDS[4], r#"{"event": {"id": 17, "type": "contact.created", "contact": {}}}"#),
    ] {
        let site = open(kind, &[SECRET]).await;
        for expected in ["accepted", "duplicate"] {
            let unsigned = Unsigned::new(body.as_bytes());
            let signed = (kind.make)(&[SECRET]).sign(&unsigned, SystemClock.now()).unwrap().headers;
            let reply = deliver(&site, &texts(&signed), body.as_bytes()).await;
            assert_eq!(reply.status_word(), expected, "{}", kind.name);
        }
    }
    for kind in [&KINDS[2], &KINDS[3]] {
        let error = (kind.make)(&[SECRET]).sign(&Unsigned::new(b"{}"), SystemClock.now()).unwrap_err();
        assert!(error.to_string().contains("in the body; say the type"), "{error}");
    }
}

#[tokio::test]
async fn a_signature_in_a_header_of_any_name_is_not_kept() {
    let scheme = bowline_signature::Hmac::sha256("X-Digest", SigningSecret::new(SECRET).unwrap());
    let provider: Arc<dyn Provider> = Arc::new(Hmac::new(scheme.timestamp("X-Sent", ".")));
    let route = Route::new("/hook", Arc::clone(&provider)).on("*", "crm".into());
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    let (headers, body) = sent(&*provider, "evt_1", SystemClock.now());
    assert_eq!(deliver(&site, &headers, &body).await.status, 200);
    let kept: Vec<_> = site.event(1).await.unwrap().headers.into_iter().map(|(name, _)| name).collect();
    assert!(kept.contains(&"x-sent".to_owned()) && !kept.contains(&"x-digest".to_owned()), "{kept:?}");
}

#[test]
fn every_kind_of_door_names_the_headers_that_show_its_secrets() {
    for kind in KINDS {
        let provider = (kind.make)(&[SECRET]);
        let (headers, _) = sent(&*provider, "evt_1", SystemClock.now());
        let secret: Vec<_> = headers.iter().filter(|(name, _)| name.contains("signature")).collect();
        assert!(!secret.is_empty(), "{}", kind.name);
        for (name, _) in secret {
            let named = provider.credential_headers();
            assert!(named.iter().any(|credential| credential.as_str() == name), "{}: {named:?}", kind.name);
        }
    }
}

#[tokio::test]
async fn svix_headers_are_standard_webhooks() {
    let site = open(&KINDS[1], &[SECRET]).await;
    let (headers, body) = sent(&*standard_webhooks(&[SECRET]), "msg_1", SystemClock.now());
    let svix: Vec<_> =
        headers.into_iter().map(|(name, value)| (name.replace("webhook-", "svix-"), value)).collect();
    assert_eq!(deliver(&site, &svix, &body).await.json()["event"], "msg_1");
    // One of each kind is none.
    let mut mixed = svix.clone();
    mixed[1].0 = "webhook-id".into();
    refused(&deliver(&site, &mixed, &body).await, 401, "is missing");
    // Unsigned headers of the other name change nothing.
    let mut both = svix;
    both.push(("webhook-id".into(), "msg_2".into()));
    assert_eq!(deliver(&site, &both, &body).await.json()["event"], "msg_1");
}

#[tokio::test]
async fn a_standard_webhook_without_a_type_is_a_message() {
    let route = Route::new("/hook", standard_webhooks(&[SECRET])).on("message", "crm".into());
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    for (run, body) in ["{}", "[17]", "null", r#"{"type": null}"#].iter().enumerate() {
        let (mut headers, _) = sent(&*standard_webhooks(&[SECRET]), "unused", SystemClock.now());
        let id = format!("msg_{run}");
        let event = Named { id: &id, kind: "message" };
        let unsigned = Unsigned::new(body.as_bytes()).named(&event);
        let signed = standard_webhooks(&[SECRET]).sign(&unsigned, SystemClock.now()).unwrap().headers;
        headers.clear();
        for (name, value) in signed {
            headers.push((name.to_string(), value.to_str().unwrap().to_owned()));
        }
        let reply = deliver(&site, &headers, body.as_bytes()).await;
        assert_eq!(reply.status_word(), "accepted", "{body}");
        assert_eq!(site.event(run as i64 + 1).await.unwrap().kind, "message");
    }
}

#[tokio::test]
async fn githubs_types_are_its_header_and_the_bodys_action() {
    let route =
        Route::new("/hook", github(&[SECRET])).on("issues.*", "triage".into()).on("push", "ci".into());
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    let provider = github(&[SECRET]);
    let send = async |id: &str, kind: &str, body: Value| {
        let body = serde_json::to_vec(&body).unwrap();
        let unsigned = Unsigned::new(&body).named(&Named { id, kind });
        let headers = provider.sign(&unsigned, SystemClock.now()).unwrap().headers;
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        deliver(&site, &headers, &body).await
    };
    let workflows = |reply: &Reply| reply.runs().len();
    let opened = send("1", "issues", json!({"action": "opened", "issue": {"number": 17}})).await;
    assert_eq!((workflows(&opened), &*site.event(1).await.unwrap().kind), (1, "issues.opened"));
    assert_eq!(site.event(1).await.unwrap().input().unwrap()["issue"]["number"], 17);
    let push = send("2", "push", json!({"ref": "refs/heads/main"})).await;
    assert_eq!((workflows(&push), &*site.event(2).await.unwrap().kind), (1, "push"));
    let ping = send("3", "ping", json!({"zen": "Keep it logically awesome."})).await;
    assert_eq!(ping.json(), json!({"status": "ignored", "event": "3", "runs": []}));
    refused(
        &send("4", "issues", json!({"action": {}})).await,
        400,
        "what the body has at /action is not text",
    );
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn an_hmac_without_ids_takes_every_delivery_for_a_new_event() {
    let hmac = Hmac::new(signature(&[SECRET]));
    let route = Route::new("/hook", Arc::new(hmac.clone())).on("message", "crm".into());
    let site = Plan { routes: vec![route], ..plan() }.open().await;
    let (headers, body) = sent(&hmac, "unused", SystemClock.now());
    for run in [1, 2] {
        let reply = deliver(&site, &headers, &body).await;
        assert_eq!((reply.status_word().as_str(), reply.runs()), ("accepted", vec![run]));
    }
}

#[test]
fn a_door_that_can_never_open_is_told_at_the_start() {
    let hmac = Hmac::new(bowline_signature::Hmac::sha256("X Signature", SigningSecret::new("x").unwrap()));
    let hmac = hmac.kind_in_header("X:Topic").id_at("id").input_at("data");
    let problems = bowline_ingress::route::check(&[Route::new("/hook", Arc::new(hmac)).on("*", "w".into())])
        .unwrap_err();
    for expected in [
        r#"route "/hook": "x signature" is no header's name"#,
        r#""x:topic" is no header's name"#,
        r#""id" is no JSON pointer; write "/id""#,
        r#""data" is no JSON pointer; write "/data""#,
    ] {
        assert!(problems.to_string().contains(expected), "{expected}: {problems}");
    }
}
