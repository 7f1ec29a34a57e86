//! Outgoing signatures: made last, anew for each attempt, and what receivers of others say of them.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{body::Body, http::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_client::{Api, HmacSigning, Idempotency, StandardWebhooksSigning};
use bowline_model::{Attempt, Effect, Secret, Variables};
use bowline_signature::{Hmac, SigningSecret, StandardWebhooks, standard_webhooks::HEADERS};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::remote::{LONG, Remote, Seen, api_at, done, once, refused};

const SECRET: &str = "whsec_b3VycywgMzIgYnl0ZXMgb2Yga2V5IG1hdGVyaWFsLi4=";
const OLD_SECRET: &str = "whsec_b3VycyBiZWZvcmUsIDI0IGJ5dGVzIQ==";

fn with(signing: impl bowline_client::Sign, remote: &Remote) -> Api {
    remote.api().sign(signing)
}

fn hmac() -> HmacSigning {
    HmacSigning::sha256("X-Signature").secret(Secret::new("partner-secret"))
}

fn secret(text: &str) -> SigningSecret {
    SigningSecret::new(text).unwrap()
}

fn header<'h>(seen: &'h Seen) -> impl Fn(&str) -> Option<&'h [u8]> {
    |name| seen.headers.get(name).map(|value| value.as_bytes())
}

#[tokio::test]
async fn receivers_accept_every_form_of_hmac() {
    let own = || secret("partner-secret");
    let of_time = |signing: HmacSigning| signing.timestamp_header("X-Timestamp");
    let forms = [
        (hmac(), Hmac::sha256("X-Signature", own())),
        (hmac().prefix("sha256=").base64(), Hmac::sha256("X-Signature", own()).prefix("sha256=").base64()),
        (of_time(hmac()), Hmac::sha256("X-Signature", own()).timestamp("X-Timestamp", ".")),
        (
            of_time(hmac()).milliseconds().signs("v0:{timestamp}:{body}"),
            Hmac::sha256("X-Signature", own())
                .timestamp("X-Timestamp", ":")
                .milliseconds()
                .signed_prefix("v0:"),
        ),
        (HmacSigning::sha512("X-Sign").secret(Secret::new("partner-secret")), Hmac::sha512("X-Sign", own())),
        (HmacSigning::sha1("X-Sign").secret(Secret::new("partner-secret")), Hmac::sha1("X-Sign", own())),
    ];
    for (signing, receiver) in forms {
        let remote = Remote::always(200, &[], "").await;
        done(once(with(signing, &remote).post("/x").json(&json!({"name": "Zoë"}))).await);
        let seen = &remote.seen()[0];
        let at = seen.headers.get("x-timestamp").map_or(Timestamp::UNIX_EPOCH, |value| {
            let number: i64 = value.to_str().unwrap().parse().unwrap();
            let is_millis = number > 100_000_000_000;
            Timestamp::from_millisecond(if is_millis { number } else { number * 1000 }).unwrap()
        });
        receiver.verify(header(seen), &seen.body, at).unwrap();
        receiver.verify(header(seen), b"{}", at).unwrap_err();
    }
}

#[tokio::test]
async fn everything_else_is_on_the_request_when_it_is_signed() {
    let remote = Remote::always(200, &[], "").await;
    let api = with(hmac().signs("{method} {host} {target} {key} {body}"), &remote)
        .query_key("api_key", Secret::new("query-key-1"))
        .idempotency(Idempotency::body_field("request_id"));
    done(once(api.post("/v1/x").query("a", "b c").json(&json!({"n": 1}))).await);
    let seen = &remote.seen()[0];
    assert_eq!(seen.uri, "/v1/x?a=b+c&api_key=query-key-1");
    assert_eq!(&seen.body[..], br#"{"n":1,"request_id":"key-1"}"#);
    let signed = format!(
        "POST {} /v1/x?a=b+c&api_key=query-key-1 key-1 {}",
        remote.address,
        String::from_utf8_lossy(&seen.body)
    );
    let receiver = Hmac::sha256("X-Signature", secret("partner-secret"));
    receiver.verify(header(seen), signed.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
}

#[tokio::test]
async fn each_attempt_is_signed_anew_under_the_same_id() {
    let remote = Remote::new(|nth, _| {
        let status = if nth == 1 { 503 } else { 200 };
        Response::builder().status(status).header("retry-after", "7").body(Body::empty()).unwrap()
    })
    .await;
    let clock = crate::remote::Hand::new();
    let api = api_at(remote.address)
        .clock(clock)
        .sign(StandardWebhooksSigning::secret(Secret::new(SECRET)))
        .attempt_timeout(LONG);
    api.post("/hook").json(&json!({"type": "contact.created"})).send().await.unwrap();
    let seen = remote.seen();
    let [first, second] = &seen[..] else { panic!("two attempts") };
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.header("webhook-id"), first.header("idempotency-key"));
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"), "the clock moved on");
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
    let receiver = StandardWebhooks::new(&secret(SECRET)).unwrap();
    for seen in &seen {
        let at = seen.header("webhook-timestamp").parse().unwrap();
        receiver.verify(header(seen), &seen.body, Timestamp::from_second(at).unwrap()).unwrap();
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the libraries judge by the machine's clock")]
async fn the_official_libraries_accept_what_is_sent() {
    let Some(python) = bowline_testing::peer::python("standardwebhooks, svix") else {
        bowline_testing::skip!(
            "the_official_libraries_accept_what_is_sent",
            "needs Python with the packages standardwebhooks and svix: scripts/python makes one"
        );
    };
    let remote = Remote::always(200, &[], "").await;
    let both = StandardWebhooksSigning::secret(Secret::new(SECRET)).also_secret(Secret::new(OLD_SECRET));
    for api in [with(StandardWebhooksSigning::secret(Secret::new(SECRET)), &remote), with(both, &remote)] {
        let attempt = || Attempt::new("msg_17", 1, LONG);
        done(api.post("/").json(&json!({"name": "Zoë"})).attempt(attempt()).await);
        done(api.post("/").attempt(attempt()).await);
    }
    let mut lines = vec![];
    for (nth, seen) in remote.seen().iter().enumerate() {
        let named: serde_json::Map<String, Value> =
            HEADERS.iter().map(|name| ((*name).to_owned(), json!(seen.header(name)))).collect();
        let mut line = |secret: &str, body: &[u8], expect: &str| {
            lines.push(json!({
                "name": expect, "secrets": [secret], "headers": named, "body": BASE64_STANDARD.encode(body),
            }));
        };
        line(SECRET, &seen.body, "accepted");
        line(SECRET, b"{}", "refused");
        line(OLD_SECRET, &seen.body, if nth < 2 { "refused" } else { "accepted" });
    }
    assert!(Timestamp::now().as_second() > 0);
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../bowline-signature/tests/peers/standard_webhooks.py");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut judge = Command::new(python)
        .args([script, "judge"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    judge.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = String::from_utf8(judge.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(said.lines().count(), lines.len());
    for said in said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!((&said["standardwebhooks"], &said["svix"]), (&said["name"], &said["name"]), "{said}");
    }
}

#[tokio::test]
async fn a_new_secret_in_its_file_signs_the_next_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "first-secret\n").unwrap();
    let file = path.display().to_string();
    let variables = Variables::new(move |name| (name == "PARTNER_SECRET_FILE").then(|| file.clone()));
    let remote = Remote::always(200, &[], "").await;
    let api = Api::with_variables("partner", variables.clone())
        .base_url(&remote.url())
        .sign(HmacSigning::sha256("X-Signature").secret_env("PARTNER_SECRET"));
    done(once(api.post("/").json(&1)).await);
    fs::write(&path, "second-secret\n").unwrap();
    done(once(api.post("/").json(&1)).await);
    assert_eq!(variables.problems(), []);
    for (seen, own) in remote.seen().iter().zip(["first-secret", "second-secret"]) {
        let receiver = Hmac::sha256("X-Signature", secret(own));
        receiver.verify(header(seen), &seen.body, Timestamp::UNIX_EPOCH).unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let remote = Remote::always(200, &[], "").await;
    let told = |variables: &Variables| variables.problems()[0].clone();
    for (signing, what) in [
        (HmacSigning::sha256("X-Signature"), "has no signing secret"),
        (hmac().signs("{boddy}"), "has a place {boddy}"),
        (hmac().signs("{timestamp}{body}"), "does not send it"),
        (hmac().timestamp_header("X Time"), "is not one"),
    ] {
        let variables = Variables::new(|_| None);
        let api = Api::with_variables("partner", variables.clone()).base_url(&remote.url()).sign(signing);
        assert_eq!(told(&variables).0, "partner.sign");
        assert!(told(&variables).1.contains(what), "{:?}", told(&variables));
        refused(once(api.post("/")).await);
    }
    let variables = Variables::new(|name| (name == "OUT").then(|| "whsec_c2hvcnQ=".into()));
    let api = Api::with_variables("partner", variables.clone())
        .base_url(&remote.url())
        .sign(StandardWebhooksSigning::secret_env("OUT"));
    assert_eq!(told(&variables).0, "OUT");
    assert!(told(&variables).1.contains("a key of 5 bytes"), "{:?}", told(&variables));
    refused(once(api.post("/")).await);
    // An id with a full stop could be read in two ways.
    let api = with(StandardWebhooksSigning::secret(Secret::new(SECRET)), &remote);
    let failure = refused(api.post("/").attempt(Attempt::new("a.b", 1, LONG)).await);
    assert!(failure.message.contains("it cannot be signed") && !failure.retryable, "{failure}");
    assert_eq!(remote.seen().len(), 0);
}

#[tokio::test]
async fn stand_ins_sign_too() {
    let remote = Remote::always(200, &[], "").await;
    let variables = Variables::new(|_| None).with_stand_ins();
    let api = Api::with_variables("partner", variables.clone())
        .base_url(&remote.url())
        .sign(StandardWebhooksSigning::secret_env("OUT").also_secret_env("OUT_BEFORE"))
        .sign(HmacSigning::sha256("X-Signature").secret_env("PARTNER_SECRET"));
    done(once(api.post("/")).await);
    assert_eq!(variables.problems(), []);
    assert_eq!(remote.seen()[0].header("webhook-signature").split(' ').count(), 2);
}

#[tokio::test]
async fn a_signature_that_is_echoed_is_in_no_error() {
    let sent = Arc::new(Mutex::new(String::new()));
    let seen = sent.clone();
    let remote = Remote::new(move |_, request| {
        let signature = request.header("x-signature").to_owned();
        let body = format!("{{\"error\":\"bad signature {signature}\"}}");
        *seen.lock().unwrap() = signature;
        Response::builder().status(403).body(Body::from(body)).unwrap()
    })
    .await;
    let variables = Variables::new(|name| (name == "PARTNER_SECRET").then(|| "partner-secret".into()));
    let api = Api::with_variables("partner", variables)
        .base_url(&remote.url())
        .sign(HmacSigning::sha256("X-Signature").secret_env("PARTNER_SECRET"));
    let failure = refused(once(api.post("/")).await);
    let signature = sent.lock().unwrap().clone();
    assert_eq!(signature.len(), 64);
    assert!(!format!("{failure:?}").contains(&signature), "{failure:?}");
    assert!(failure.message.contains("(PARTNER_SECRET)"), "{failure}");
}
