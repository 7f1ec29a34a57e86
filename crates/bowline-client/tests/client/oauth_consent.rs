//! Consents: begun here, finished once, in time, and from the right provider.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{body::Body, http::Response};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bowline_client::{Api, Begun, Callback, Connected, OAuth, SealKeys, Standing, Vault};
use bowline_model::{Secret, Variables};
use reqwest::Url;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::{
    oauth_peer::Ahead,
    oauth_store::Shelf,
    remote::{Remote, Seen, answer, done, once, refused},
};

const PAGE: &str = "https://id.example/authorize?tenant=7";
const BACK: &str = "https://admin.example/callback";

struct World {
    provider: Remote,
    remote: Remote,
    store: Arc<Shelf>,
    clock: Arc<Ahead>,
    vault: Vault,
    crm: Api,
}

fn tokens(code: &str) -> Response<Body> {
    let body =
        json!({"access_token": format!("access-of-{code}"), "refresh_token": "refresh-1", "expires_in": 60});
    answer(200, body.to_string())
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    form_urlencoded::parse(&seen.body).into_owned().collect()
}

impl World {
    async fn new() -> Self {
        Self::with(|oauth| oauth, |_, seen| tokens(&form(seen)["code"])).await
    }

    async fn with(
        tune: impl FnOnce(OAuth) -> OAuth,
        provider: impl Fn(usize, &Seen) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (provider, remote) = (Remote::new(provider).await, Remote::always(200, &[], "1").await);
        let (store, clock) = (Shelf::new(), Ahead::new());
        let vault = vault(&store);
        let oauth = OAuth::authorization_code(PAGE, &format!("{}/token", provider.url()));
        let oauth = tune(oauth.public_client("client-1").scope("read offline"));
        let crm = api(&vault, &remote, &clock, oauth);
        Self { provider, remote, store, clock, vault, crm }
    }

    async fn begin(&self) -> Begun {
        self.vault.consent().begin("crm", "default", BACK).await.unwrap()
    }

    async fn finish(&self, state: &Secret, code: &str) -> Result<Connected, String> {
        let callback =
            Callback { state: state.clone(), code: Some(Secret::new(code)), ..Callback::default() };
        self.vault.consent().finish(callback).await.map_err(|error| error.to_string())
    }
}

fn vault(store: &Arc<Shelf>) -> Vault {
    let vault = Vault::new(SealKeys::parse(&"0f".repeat(32)).unwrap());
    vault.bind(store.clone());
    vault
}

fn api(vault: &Vault, remote: &Remote, clock: &Arc<Ahead>, oauth: OAuth) -> Api {
    let api = Api::with_variables("crm", Variables::new(|_| None)).base_url(&remote.url());
    api.clock(clock.clone()).vault(vault.clone()).oauth(oauth)
}

#[tokio::test]
async fn the_page_is_asked_with_all_that_protects_the_code() {
    let world = World::with(|oauth| oauth.authorize_parameter("prompt", "consent"), |_, _| tokens("x")).await;
    let begun = world.begin().await;
    let url: Url = begun.url.parse().unwrap();
    assert!(
        begun.url.starts_with("https://id.example/authorize?tenant=7&response_type=code&"),
        "{}",
        begun.url
    );
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let [id, back, scope, method, prompt] =
        ["client_id", "redirect_uri", "scope", "code_challenge_method", "prompt"]
            .map(|name| query[name].as_str());
    assert_eq!((id, back, scope, method, prompt), ("client-1", BACK, "read offline", "S256", "consent"));
    assert_eq!(query["state"], begun.state.expose());
    assert_eq!(begun.state.expose().len(), 43, "256 bits");

    world.finish(&begun.state, "code-1").await.unwrap();
    let sent = form(&world.provider.seen()[0]);
    assert_eq!((sent["grant_type"].as_str(), sent["redirect_uri"].as_str()), ("authorization_code", BACK));
    let hash = Sha256::digest(&sent["code_verifier"]);
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(hash), query["code_challenge"]);
    assert!(
        !world.store.all().contains("code_verifier") && !world.store.all().contains(&sent["code_verifier"])
    );
}

#[tokio::test]
async fn a_state_is_taken_once_and_only_if_it_was_given() {
    let world = World::new().await;
    let begun = world.begin().await;
    let expected = Connected { api: "crm".into(), account: "default".into() };
    assert_eq!(world.finish(&begun.state, "code-1").await, Ok(expected));
    for state in [begun.state, Secret::new(""), Secret::new("x".repeat(43))] {
        let error = world.finish(&state, "code-2").await.unwrap_err();
        assert!(error.contains("was not begun here"), "{error}");
    }
    assert_eq!(world.provider.seen().len(), 1, "no code of a stranger is sent anywhere");
    done(once(world.crm.get("/").decode::<u8>()).await);
    assert_eq!(world.remote.seen()[0].header("authorization"), "Bearer access-of-code-1");
}

#[tokio::test]
async fn a_consent_is_worth_ten_minutes() {
    let world = World::new().await;
    let (one, two) = (world.begin().await, world.begin().await);
    world.clock.forward(Duration::from_secs(599));
    world.finish(&one.state, "code-1").await.unwrap();
    world.clock.forward(Duration::from_secs(1));
    let error = world.finish(&two.state, "code-2").await.unwrap_err();
    assert!(error.contains("10 minutes"), "{error}");
}

#[tokio::test]
async fn of_too_many_consents_the_newest_count() {
    let world = World::new().await;
    let mut begun = vec![];
    for _ in 0..30 {
        begun.push(world.begin().await);
    }
    assert!(world.finish(&begun[0].state, "code-1").await.is_err());
    assert!(world.finish(&begun[29].state, "code-2").await.is_ok());
}

#[tokio::test]
async fn a_no_of_the_person_is_told_and_connects_nothing() {
    let world = World::new().await;
    let callback = Callback {
        state: world.begin().await.state,
        error: Some("access_denied".into()),
        error_description: Some("End-User\naborted".into()),
        ..Callback::default()
    };
    let error = world.vault.consent().finish(callback.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "crm was not connected: its provider said access_denied (End-User aborted)"
    );
    assert!(
        world.vault.consent().finish(callback).await.unwrap_err().to_string().contains("was used before")
    );
    assert_eq!(world.vault.consent().status("crm", "default").await.unwrap(), Standing::Missing);
}

#[tokio::test]
async fn a_code_of_another_issuer_is_sent_nowhere() {
    let world = World::with(|oauth| oauth.issuer_identifier("https://id.example"), |_, _| tokens("x")).await;
    for iss in [None, Some("https://evil.example".to_owned())] {
        let state = world.begin().await.state;
        let callback = Callback { state, code: Some(Secret::new("code-1")), iss, ..Callback::default() };
        let error = world.vault.consent().finish(callback).await.unwrap_err();
        assert!(error.to_string().contains("not from https://id.example"), "{error}");
    }
    assert_eq!(world.provider.seen().len(), 0);
}

#[tokio::test]
async fn a_code_that_is_not_taken_is_told_without_showing_it() {
    let world = World::with(
        |oauth| oauth,
        |_, seen| {
            let sent = String::from_utf8_lossy(&seen.body).into_owned();
            answer(400, json!({"error": "invalid_grant", "error_description": sent}).to_string())
        },
    )
    .await;
    let state = world.begin().await.state;
    let error = world.finish(&state, "secret-code-51").await.unwrap_err();
    let verifier = form(&world.provider.seen()[0])["code_verifier"].clone();
    assert!(error.contains("invalid_grant"), "{error}");
    assert!(!error.contains("secret-code-51") && !error.contains(&verifier), "{error}");
}

#[tokio::test]
async fn any_node_finishes_what_another_began() {
    let world = World::new().await;
    let begun = world.begin().await;
    let (other, clock) = (vault(&world.store), world.clock.clone());
    let oauth = OAuth::authorization_code(PAGE, &format!("{}/token", world.provider.url()));
    let crm = api(&other, &world.remote, &clock, oauth.public_client("client-1"));
    let callback = Callback { state: begun.state, code: Some(Secret::new("code-1")), ..Callback::default() };
    other.consent().finish(callback).await.unwrap();
    done(once(crm.get("/").decode::<u8>()).await);
    done(once(world.crm.get("/").decode::<u8>()).await);
    assert_eq!(world.provider.seen().len(), 1);
}

#[tokio::test]
async fn a_page_that_is_closed_costs_no_code() {
    let world = World::new().await;
    let begun = world.begin().await;
    let consent = world.vault.consent();
    let callback = Callback { state: begun.state, code: Some(Secret::new("code-1")), ..Callback::default() };
    let mut dropped = Box::pin(consent.finish(callback));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    drop(dropped);
    world.vault.close().await;
    let status = consent.status("crm", "default").await.unwrap();
    assert!(matches!(status, Standing::Connected { .. }), "{status:?}");
}

#[tokio::test]
async fn without_a_refresh_token_the_end_is_told() {
    let no_refresh = |_: usize, _: &Seen| answer(200, r#"{"access_token":"access-1","expires_in":60}"#);
    let world = World::with(|oauth| oauth, no_refresh).await;
    let state = world.begin().await.state;
    world.finish(&state, "code-1").await.unwrap();
    let status = world.vault.consent().status("crm", "default").await.unwrap();
    assert!(matches!(status, Standing::Connected { renews: false, .. }), "{status:?}");
    world.clock.forward(Duration::from_secs(50));
    done(once(world.crm.get("/").decode::<u8>()).await);
    world.clock.forward(Duration::from_secs(10));
    let failure = refused(once(world.crm.get("/").decode::<u8>()).await);
    assert!(failure.message.contains("the provider gave no refresh token"), "{failure}");
    let status = world.vault.consent().status("crm", "default").await.unwrap();
    assert!(matches!(status, Standing::Dead { since: None, .. }), "{status:?}");
}

#[tokio::test]
async fn what_cannot_be_begun_says_why() {
    let world = World::new().await;
    let consent = world.vault.consent();
    for (api, back, why) in [
        ("nobody", BACK, "no Api \"nobody\""),
        ("crm", "nonsense", "is not a URL"),
        ("crm", "http://admin.example/callback", "plain http"),
        ("crm", &format!("https://a.example/{}", "x".repeat(1024)), "1024 bytes"),
    ] {
        let error = consent.begin(api, "default", back).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let connections = world.vault.connections();
    assert_eq!((connections.len(), connections[0].needs_consent), (1, true));
}

#[tokio::test]
async fn nothing_of_a_consent_is_printed() {
    let world = World::new().await;
    let begun = world.begin().await;
    let mut printed = String::new();
    let callback =
        Callback { state: begun.state.clone(), code: Some(Secret::new("code-1-x")), ..Callback::default() };
    printed.push_str(&format!("{callback:?} {begun:?} {:?} {:?}", world.vault, world.vault.consent()));
    world.vault.consent().finish(callback).await.unwrap();
    done(once(world.crm.get("/").decode::<u8>()).await);
    printed.push_str(&format!("{:?} {:?}", world.vault, world.crm));
    for secret in ["code-1-x", begun.state.expose(), "access-of", "refresh-1"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
