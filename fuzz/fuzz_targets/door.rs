//! Whole requests, through every kind of door: each is answered, a refusal with a reason and without a secret, and who
//! is taken for genuine has shown what only a genuine sender has. Nothing is subscribed to, so nothing is stored.
//!
//! Input: a request of HTTP/1.1, in which `{genuine}` as a header's value is what a genuine sender of this body has
//! there. (The sockets and the parser of HTTP are hyper's.)
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header::CONTENT_TYPE},
};
use bowline_fuzz::{Hash, mac, now, secret};
use bowline_ingress::{Unsigned, 
    Door, FieldError, Named, Provider, Rejection, Route,
    providers::{Auth, GitHub, Hmac, Post, StandardWebhooks, Stripe},
};
use bowline_model::{BoxFuture, Clock, Secret};
use bowline_store::{SqliteOptions, SqliteStore};
use http_body_util::BodyExt;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// What of the key no answer may hold.
const SECRET: &str = "C2FVsBQIhrscChlQIMV";
/// The name by which genuine senders know their event.
const EVENT: Named<'static> = Named { id: "evt_1", kind: "issues.opened" };

fuzz_target!(|data: &[u8]| {
    let Some(request) = request(data) else { return };
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let (sent, body) = (request.headers().clone(), request.body().clone());
    let (status, headers, answer) = SITE.answer(request.map(Body::from));

    assert!(!status.is_server_error(), "{status}");
    // A sender's own id is told back, whatever is in it.
    assert!(holds(data, SECRET) || !holds(&answer, SECRET), "{}", String::from_utf8_lossy(&answer));
    if status == StatusCode::NO_CONTENT {
        assert_eq!(method, Method::OPTIONS);
        return;
    }
    let json: Value = serde_json::from_slice(&answer).expect("every answer is JSON");
    if status.is_success() {
        assert_eq!((status, &json["status"]), (StatusCode::OK, &Value::from("ignored")));
        assert!(is_genuine(&path, &sent, &body), "{path}");
        return;
    }
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    for name in ["title", "detail", "hint"] {
        assert!(json[name].as_str().is_some_and(|text| !text.trim().is_empty()), "{name}: {json}");
    }
    assert_eq!(json["status"], status.as_u16());
});

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

/// What has no body to be answered, or is not HTTP, is hyper's business.
fn request(data: &[u8]) -> Option<Request<Vec<u8>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(data).ok()? else { return None };
    let mut request = Request::new(data[length..].to_vec());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(head.path?).ok()?;
    let genuine = SITE.genuine(request.uri().path(), request.body());
    for header in head.headers {
        let name = HeaderName::try_from(header.name).ok()?;
        let value = if header.value == b"{genuine}" { genuine.get(&name).cloned() } else { None };
        request
            .headers_mut()
            .append(name, value.map_or_else(|| HeaderValue::from_bytes(header.value), Ok).ok()?);
    }
    Some(request)
}

/// An oracle of those schemes that are said in a line.
fn is_genuine(path: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    match path {
        "/github" => {
            let signature = header("x-hub-signature-256").to_ascii_lowercase();
            signature
                == format!("sha256={}", hex::encode(mac(Hash::Sha256, KEY.as_bytes(), &[body]))).into_bytes()
        }
        "/key" => header("x-api-key") == KEY.as_bytes(),
        "/bearer" => header("authorization").ends_with(KEY.as_bytes()),
        _targets_of_their_own_say => true,
    }
}

static SITE: LazyLock<Site> = LazyLock::new(Site::open);

struct Site {
    runtime: Runtime,
    router: Router,
    providers: Vec<(&'static str, Arc<dyn Provider>)>,
}

impl Site {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let providers = providers();
        let route = |(path, provider): &(&'static str, Arc<dyn Provider>)| {
            let route = Route::new(*path, Arc::clone(provider)).on("nothing of this type", "w".into());
            route.body_bytes_max(4096).wait(Duration::from_secs(1)).allow_origin("https://www.example.com")
        };
        let routes = providers.iter().map(route).collect();
        let store = SqliteStore::in_memory(SqliteOptions::default(), Arc::new(Still)).expect("memory");
        let door = Door::new(Arc::new(store), Arc::new(Still), "1".into(), routes, Arc::new(|| {}));
        let router = door.expect("the routes are sound").router();
        Self { runtime, router, providers }
    }

    fn answer(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.runtime.block_on(async {
            let Ok(answer) = self.router.clone().oneshot(request).await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("an answer in memory").to_bytes();
            (head.status, head.headers, body.to_vec())
        })
    }

    fn genuine(&self, path: &str, body: &[u8]) -> HeaderMap {
        let provider = self.providers.iter().find(|(known, _)| *known == path);
        let signed = provider.map(|(_, provider)| provider.sign(&Unsigned::new(body).named(&EVENT), now()).expect("it signs").headers);
        signed.unwrap_or_default().into_iter().collect()
    }
}

fn providers() -> Vec<(&'static str, Arc<dyn Provider>)> {
    let key = || Secret::new(KEY);
    let hmac = || bowline_signature::Hmac::sha256("X-Signature", secret(KEY));
    let of_headers = Hmac::new(hmac().base64()).kind_in_header("X-Topic").id_in_header("X-Event-Id");
    let stamped = hmac().prefix("v0=").signed_prefix("v0:").timestamp("X-Time", ":");
    let of_pointers = Hmac::new(stamped).kind_at("/event/type").id_at("/event/id").input_at("/event/order");
    let post = |auth| Arc::new(Post::new(auth, reads));
    vec![
        ("/stripe", Arc::new(Stripe::new(&key()).expect("a key"))),
        ("/standard", Arc::new(StandardWebhooks::new(&key()).expect("a key"))),
        ("/github", Arc::new(GitHub::new(&key()).expect("a key"))),
        ("/hmac/headers", Arc::new(of_headers)),
        ("/hmac/pointers", Arc::new(of_pointers)),
        ("/open", post(Auth::Open)),
        ("/key", post(Auth::api_key("X-Api-Key", [key()]).expect("a key"))),
        ("/bearer", post(Auth::bearer([key()]).expect("a key"))),
        ("/basic", post(Auth::basic("ada", [key()]).expect("a key"))),
    ]
}

/// As an app does.
fn reads(body: &[u8]) -> Result<Option<String>, Rejection> {
    let invalid = |pointer: &str, detail: &str| Rejection::Invalid {
        errors: vec![FieldError { pointer: pointer.into(), detail: detail.into() }],
    };
    let body: Value = serde_json::from_slice(body).map_err(|_| invalid("#", "is nested too deeply"))?;
    let email = body["email"].as_str().ok_or_else(|| invalid("#/email", "is not an address"))?;
    Ok(body["once"].as_bool().map(|_| email.to_lowercase()))
}

/// The target's time.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        7
    }
}
