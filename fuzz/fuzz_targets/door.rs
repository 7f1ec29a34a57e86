//! Whole requests, through every kind of door: each is answered, a refusal with a reason and without a secret, and who
//! is taken for genuine has shown what only a genuine sender has. Nothing is subscribed to, so nothing is stored; nothing
//! that is to be fetched can be had.
//!
//! Input: a request of HTTP/1.1, in which `{genuine}` as a header's value is what a genuine sender of this body has
//! there, and before the body stands for the signature within it. (The sockets and the parser of HTTP are hyper's.)
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
use bowline_ingress::{
    Door, Fetch, FetchError, FieldError, Named, Provider, Rejection, Route, Unsigned,
    form::to_json,
    providers::{
        Adyen, Auth, Bitbucket, Calendly, CloudEvents, Discord, DiscordInteractions, GitHub, GitLab, Graph,
        Hmac, HubSpot, Intercom, Linear, Mailgun, Meta, Paddle, PayPal, Post, SendGrid, Shopify, Slack, Sns,
        Square, StandardWebhooks, Stripe, Twilio, Typeform, Xero, Zendesk, Zoom,
    },
};
use bowline_model::{BoxFuture, Clock, Secret};
use bowline_store::{SqliteOptions, SqliteStore};
use bytes::Bytes;
use http_body_util::BodyExt;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HEX_KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const DISCORD_KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const SENDGRID_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY0nEM3vYhlIsvl4PXs1gv9kqhQbbUdDqT7b4ou/D94uhRANCAARlFsrcX4CmyBWB2GTEfAwaUyIA6W9207q1xfJodVH7IN1mxKK0RRQGf+xQ6XovnJygrBz6OtiQRVOMj6UYS2Gp";
/// What of the keys no answer may hold.
const SECRETS: [&str; 4] =
    ["C2FVsBQIhrscChlQIMV", "44782DEF547AAA06C91", "9d61b19deffd5a60ba8", "Y0nEM3vYhlIsvl4PXs1"];
/// The name by which genuine senders know their event.
const EVENT: Named<'static> = Named { id: "evt_1", kind: "issues.opened" };
const GENUINE: &[u8] = b"{genuine}";
const PUBLIC_URL: &str = "https://hooks.example.com";
/// Says what became of a request's events.
const STATUS: &str = "bowline-status";
/// Providers that ask whether anybody is here.
const HANDSHAKES: [&str; 9] = [
    "/discord",
    "/events",
    "/events/open",
    "/graph",
    "/intercom",
    "/interactions",
    "/meta",
    "/slack",
    "/zoom",
];
/// Everybody may send there.
const OPEN: [&str; 3] = ["/events/open", "/form", "/open"];
/// Their certificates are fetched, and none can be had.
const FETCHING: [&str; 2] = ["/paypal", "/sns"];

fuzz_target!(|data: &[u8]| {
    let Some((request, shows)) = request(data) else { return };
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let (sent, body) = (request.headers().clone(), request.body().clone());
    let (status, headers, answer) = SITE.answer(request.map(Body::from));

    let is_unfetched = status == StatusCode::SERVICE_UNAVAILABLE && FETCHING.contains(&path.as_str());
    assert!(!status.is_server_error() || is_unfetched || path == "/sns", "{path}: {status}");
    for secret in SECRETS {
        // A sender's own id is told back, whatever is in it.
        assert!(holds(data, secret) || !holds(&answer, secret), "{}", String::from_utf8_lossy(&answer));
    }
    if let Some(became) = headers.get(STATUS) {
        assert!(status.is_success() || status == StatusCode::SEE_OTHER, "{status}");
        assert_eq!(became, "ignored");
        assert!(shows || OPEN.contains(&path.as_str()), "{path}: nothing genuine is shown");
        assert!(is_genuine(&path, &sent, &body), "{path}");
        if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") && path != "/interactions"
        {
            let json: Value = serde_json::from_slice(&answer).expect("a receipt is JSON");
            assert_eq!(json["status"], "ignored");
        }
    } else if status.is_success() {
        let is_preflight = method == Method::OPTIONS && status == StatusCode::NO_CONTENT;
        assert!(is_preflight || HANDSHAKES.contains(&path.as_str()), "{method} {path}: {status}");
        assert!(answer.len() <= data.len() + 256, "{path}: {} bytes", answer.len());
    } else if answer.is_empty() {
        assert!(path == "/xero" || method == Method::HEAD, "{method} {path}: {status} without a word");
    } else {
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        let json: Value = serde_json::from_slice(&answer).expect("every refusal is JSON");
        for name in ["title", "detail", "hint"] {
            assert!(json[name].as_str().is_some_and(|text| !text.trim().is_empty()), "{name}: {json}");
        }
        assert_eq!(json["status"], status.as_u16());
    }
});

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

/// The request, and whether anything in it is what only a genuine sender has. What has no body to be answered, or is not
/// HTTP, is hyper's business.
fn request(data: &[u8]) -> Option<(Request<Vec<u8>>, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(data).ok()? else { return None };
    let uri = Uri::try_from(head.path?).ok()?;
    let unsigned = data[length..].strip_prefix(GENUINE);
    let genuine = SITE.genuine(&uri, unsigned.unwrap_or(&data[length..]));
    let mut shows = unsigned.is_some();
    let body = match (unsigned, &genuine) {
        (Some(_), Some((_, body))) => body.to_vec(),
        (unsigned, _) => unsigned.unwrap_or(&data[length..]).to_vec(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    for header in head.headers {
        let name = HeaderName::try_from(header.name).ok()?;
        let value =
            genuine.as_ref().filter(|_| header.value == GENUINE).and_then(|(headers, _)| headers.get(&name));
        shows |= value.is_some();
        let value = value.cloned().map_or_else(|| HeaderValue::from_bytes(header.value), Ok);
        request.headers_mut().append(name, value.ok()?);
    }
    Some((request, shows))
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
        let door =
            door.expect("the routes are sound").public_url(Some(PUBLIC_URL.into())).fetch(Arc::new(Nothing));
        let router = door.router();
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

    /// What a genuine sender of this body sends; `None` where there is none.
    fn genuine(&self, uri: &Uri, body: &[u8]) -> Option<(HeaderMap, Bytes)> {
        let (_, provider) = self.providers.iter().find(|(known, _)| *known == uri.path())?;
        let url = format!("{PUBLIC_URL}{}", uri.path_and_query()?);
        let signed = provider.sign(&Unsigned::new(body).named(&EVENT).to(Some(&url)), now()).ok()?;
        Some((signed.headers.into_iter().collect(), signed.body))
    }
}

fn providers() -> Vec<(&'static str, Arc<dyn Provider>)> {
    let key = || Secret::new(KEY);
    let hmac = || bowline_signature::Hmac::sha256("X-Signature", secret(KEY));
    let of_headers = Hmac::new(hmac().base64()).kind_in_header("X-Topic").id_in_header("X-Event-Id");
    let stamped = hmac().prefix("v0=").signed_prefix("v0:").timestamp("X-Time", ":");
    let of_pointers = Hmac::new(stamped).kind_at("/event/type").id_at("/event/id").input_at("/event/order");
    let post = |auth| Arc::new(Post::new(auth, reads));
    let form = Post::new(Auth::Open, reads).forms(|form| to_json(form).map(|json| json.to_vec()));
    let events = |auth| Arc::new(CloudEvents::new(auth).allow_sender("eventgrid.azure.net"));
    let discord = || Secret::new(DISCORD_KEY);
    let sns = Sns::new(["arn:aws:sns:us-east-1:123456789012:orders"]).expect("a topic").with_test_key();
    let paypal = PayPal::new(&Secret::new("9XL90610J3647323C")).expect("an id").with_test_key();
    // All that are made of one secret.
    macro_rules! of_key {
        ($($path:literal => $provider:ident),*) => {
            vec![$(($path, Arc::new($provider::new(&key()).expect("a key")) as Arc<dyn Provider>)),*]
        };
    }
    let mut providers = of_key![
        "/stripe" => Stripe, "/standard" => StandardWebhooks, "/github" => GitHub, "/slack" => Slack,
        "/shopify" => Shopify, "/hubspot" => HubSpot, "/twilio" => Twilio, "/square" => Square,
        "/paddle" => Paddle, "/zoom" => Zoom, "/bitbucket" => Bitbucket, "/linear" => Linear,
        "/intercom" => Intercom, "/typeform" => Typeform, "/calendly" => Calendly, "/zendesk" => Zendesk,
        "/xero" => Xero, "/mailgun" => Mailgun, "/graph" => Graph
    ];
    providers.extend::<Vec<(_, Arc<dyn Provider>)>>(vec![
        ("/gitlab", Arc::new(GitLab::signing_token(&key()).expect("a token"))),
        ("/gitlab/token", Arc::new(GitLab::secret_token(&key()).expect("a token"))),
        ("/meta", Arc::new(Meta::new(&key(), &key()).expect("a key"))),
        ("/adyen", Arc::new(Adyen::new(&Secret::new(HEX_KEY)).expect("a key"))),
        ("/sendgrid", Arc::new(SendGrid::new(&Secret::new(SENDGRID_KEY)).expect("a key"))),
        ("/discord", Arc::new(Discord::new(&discord()).expect("a key"))),
        ("/interactions", Arc::new(DiscordInteractions::new(&discord()).expect("a key"))),
        ("/paypal", Arc::new(paypal)),
        ("/sns", Arc::new(sns)),
        ("/hmac/headers", Arc::new(of_headers)),
        ("/hmac/pointers", Arc::new(of_pointers)),
        ("/open", post(Auth::Open)),
        ("/form", Arc::new(form.thanks(HeaderValue::from_static("https://www.example.com/thanks")))),
        ("/key", post(Auth::api_key("X-Api-Key", [key()]).expect("a key"))),
        ("/bearer", post(Auth::bearer([key()]).expect("a key"))),
        ("/basic", post(Auth::basic("ada", [key()]).expect("a key"))),
        ("/events", events(Auth::bearer([key()]).expect("a key"))),
        ("/events/open", events(Auth::Open)),
    ]);
    providers
}

/// No certificate, and no confirmation.
struct Nothing;

impl Fetch for Nothing {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        // Whatever a stranger writes, nobody else is asked.
        let host =
            url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).map_or("", |(host, _)| host);
        assert!(host == "api.paypal.com" || host.contains(".amazonaws.com"), "{url}");
        Box::pin(std::future::ready(Err(FetchError::new("nothing can be had"))))
    }
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
