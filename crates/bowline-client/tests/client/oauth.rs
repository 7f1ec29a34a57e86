//! Every rule of tokens, against token endpoints that answer by script.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, http::Response};
use bowline_client::{Api, Call, OAuth, SealKeys, Vault};
use bowline_model::{Alert, AlertKind, Alerts, Clock as _, Failure, Secret, Variables};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use url::form_urlencoded;

use crate::{
    oauth_peer::Ahead,
    oauth_store::Shelf,
    remote::{Remote, Seen, answer, done, later, once, refused},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A token endpoint that gives `access-1`, `access-2` … for an hour each, and a remote that takes any of them.
struct World {
    provider: Remote,
    remote: Remote,
    store: Arc<Shelf>,
    vault: Vault,
    clock: Arc<Ahead>,
    alerts: Arc<Heard>,
}

#[derive(Default)]
struct Heard(Mutex<Vec<(AlertKind, String)>>);

impl Alerts for Heard {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push((alert.kind, alert.message));
    }
}

/// What a provider gives: the nth tokens.
fn tokens(nth: usize) -> Response<Body> {
    let body = json!({
        "access_token": format!("access-{nth}-of-the-test"),
        "refresh_token": format!("refresh-{nth}-of-the-test"),
        "expires_in": 3600,
        "token_type": "Bearer",
    });
    answer(200, body.to_string())
}

fn denied(error: &str) -> Response<Body> {
    answer(400, json!({"error": error}).to_string())
}

impl World {
    async fn new(provider: impl Fn(usize, &Seen) -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let store = Shelf::new();
        Self {
            provider: Remote::new(provider).await,
            remote: Remote::always(200, &[], "1").await,
            vault: vault(&store),
            store,
            clock: Ahead::new(),
            alerts: Arc::default(),
        }
    }

    fn token_url(&self) -> String {
        format!("{}/o/token/?tenant=7", self.provider.url())
    }

    fn credentials(&self) -> OAuth {
        OAuth::client_credentials(&self.token_url())
            .client("client-1", Secret::new("client-secret-of-the-test"))
    }

    fn refreshing(&self) -> OAuth {
        OAuth::refresh_token(&self.token_url())
            .client_env("CLIENT_ID", "CLIENT_SECRET")
            .refresh_token_env("SEED")
    }

    fn api(&self, oauth: OAuth) -> Api {
        self.api_in(&self.vault, oauth)
    }

    fn api_in(&self, vault: &Vault, oauth: OAuth) -> Api {
        let variables = Variables::new(|name| match name {
            "CLIENT_ID" => Some("client-1".into()),
            "CLIENT_SECRET" => Some("client-secret-of-the-test".into()),
            "SEED" => Some("seed-1-of-the-test".into()),
            _ => None,
        });
        Api::with_variables("crm", variables)
            .base_url(&self.remote.url())
            .clock(self.clock.clone())
            .alerts(self.alerts.clone())
            .vault(vault.clone())
            .oauth(oauth)
    }

    /// What the remote was shown, without what repeats itself.
    fn used(&self) -> Vec<String> {
        let mut used: Vec<_> =
            self.remote.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
        used.dedup();
        used
    }

    fn asked(&self) -> usize {
        self.provider.seen().len()
    }

    /// The parameters of the nth question, from 1.
    fn question(&self, nth: usize) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.provider.seen()[nth - 1].body).into_owned().collect()
    }
}

fn vault(store: &Arc<Shelf>) -> Vault {
    let vault = Vault::new(SealKeys::parse(&"0f".repeat(32)).unwrap());
    vault.bind(store.clone());
    vault
}

fn get(api: &Api) -> Call<u8> {
    api.get("/contacts").decode()
}

fn bearer(nth: usize) -> String {
    format!("Bearer access-{nth}-of-the-test")
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn the_token_endpoint_is_asked_as_the_rfc_says() {
    let world = World::new(|nth, _| tokens(nth)).await;
    let oauth = world.credentials().scope("a b").audience("https://api.example").parameter("resource", "x&y");
    done(once(get(&world.api(oauth))).await);
    assert_eq!(
        world.question(1),
        pairs(&[
            ("grant_type", "client_credentials"),
            ("scope", "a b"),
            ("audience", "https://api.example"),
            ("resource", "x&y"),
        ])
    );
    let seen = world.provider.seen()[0].clone();
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("POST", "/o/token/?tenant=7"));
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.header("authorization"), "Basic Y2xpZW50LTE6Y2xpZW50LXNlY3JldC1vZi10aGUtdGVzdA==");
    assert_eq!(seen.header("idempotency-key"), "");
    assert_eq!(world.used(), [bearer(1)]);
}

#[tokio::test]
async fn a_token_is_exchanged_for_another() {
    let world = World::new(|nth, _| tokens(nth)).await;
    let oauth = OAuth::token_exchange(&world.token_url())
        .subject_token_env("SEED")
        .subject_token_kind("urn:ietf:params:oauth:token-type:jwt")
        .scope("read")
        .public_client("robot");
    done(once(get(&world.api(oauth))).await);
    assert_eq!(
        world.question(1),
        pairs(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", "seed-1-of-the-test"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("scope", "read"),
            ("client_id", "robot"),
        ])
    );
}

#[tokio::test]
async fn nothing_readable_is_stored() {
    let world = World::new(|nth, _| tokens(nth)).await;
    done(once(get(&world.api(world.refreshing()))).await);
    let all = world.store.all();
    assert!(all.contains("oauth/crm/default"), "{all}");
    assert!(!all.contains("of-the-test"), "{all}");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_while_the_old_one_serves() {
    let world = World::new(|nth, _| tokens(nth)).await;
    let crm = world.api(world.credentials());
    done(once(get(&crm)).await);
    world.clock.forward(HOUR - Duration::from_secs(200));
    done(once(get(&crm)).await);
    assert_eq!(world.used(), [bearer(1)], "nobody waits for the new one");
    world.vault.close().await;
    assert_eq!(world.asked(), 2, "it was asked for in the background");
    done(once(get(&crm)).await);
    assert_eq!(world.used(), [bearer(1), bearer(2)]);
}

#[tokio::test]
async fn a_provider_that_is_down_hurts_nobody_whose_token_is_good() {
    let world = World::new(|nth, _| if nth == 1 { tokens(1) } else { answer(503, "") }).await;
    let crm = world.api(world.credentials());
    done(once(get(&crm)).await);
    world.clock.forward(HOUR - Duration::from_secs(200));
    for _ in 0..20 {
        done(once(get(&crm)).await);
        tokio::task::yield_now().await;
    }
    world.vault.close().await;
    assert_eq!((world.asked(), world.used()), (2, vec![bearer(1)]));
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_once_however_many_ask() {
    let world = World::new(|_, _| answer(503, "")).await;
    let crm = world.api(world.credentials());
    for (asked, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let failures: Vec<Failure> =
            join_all((0..50).map(|_| once(get(&crm)))).await.into_iter().map(later).collect();
        assert_eq!(world.asked(), asked, "one question for fifty calls");
        assert!(
            failures[0].message.starts_with("no token for crm: POST crm token endpoint"),
            "{}",
            failures[0]
        );
        assert!(later(once(get(&crm)).await).retry_after.unwrap() <= Duration::from_secs(wait));
        assert_eq!(world.asked(), asked, "and none before its time");
        world.clock.forward(Duration::from_secs(wait));
    }
    assert_eq!(world.remote.seen().len(), 0);
}

#[tokio::test]
async fn a_provider_that_says_when_is_left_alone_until_then() {
    let world = World::new(|nth, _| match nth {
        1 => Response::builder().status(429).header("retry-after", "30").body(Body::empty()).unwrap(),
        _ => tokens(nth),
    })
    .await;
    let crm = world.api(world.credentials());
    later(once(get(&crm)).await);
    world.clock.forward(Duration::from_secs(29));
    later(once(get(&crm)).await);
    assert_eq!(world.asked(), 1);
    world.clock.forward(Duration::from_secs(1));
    done(once(get(&crm)).await);
}

#[tokio::test]
async fn a_client_that_is_not_known_is_told_with_its_variables() {
    let world = World::new(|_, _| answer(401, r#"{"error":"invalid_client"}"#)).await;
    let crm =
        world.api(OAuth::client_credentials(&world.token_url()).client_env("CLIENT_ID", "CLIENT_SECRET"));
    for _ in 0..3 {
        let failure = refused(once(get(&crm)).await);
        assert_eq!(
            failure.message,
            "no token for crm: the provider said invalid_client: check CLIENT_SECRET"
        );
        assert!(!failure.retryable);
    }
    assert_eq!(world.asked(), 1);
    assert_eq!(world.alerts.0.lock().unwrap()[0].0, AlertKind::Unauthorized);
}

#[tokio::test]
async fn a_no_with_status_200_is_a_no() {
    let world = World::new(|_, _| answer(200, r#"{"ok":false,"error":"invalid_client_id"}"#)).await;
    let failure = refused(once(get(&world.api(world.credentials()))).await);
    assert!(failure.message.contains("invalid_client_id"), "{failure}");
}

#[tokio::test]
async fn a_refresh_token_that_is_dead_is_told_and_never_tried_again() {
    let world = World::new(|_, _| denied("invalid_grant")).await;
    let crm = world.api(world.refreshing());
    for _ in 0..3 {
        let failure = refused(once(get(&crm)).await);
        assert!(failure.message.ends_with("put a new one into SEED"), "{failure}");
    }
    world.clock.forward(HOUR);
    refused(once(get(&crm)).await);
    // A new process knows it, too.
    refused(once(get(&world.api_in(&vault(&world.store), world.refreshing()))).await);
    assert_eq!(world.asked(), 1);
    assert_eq!(world.alerts.0.lock().unwrap()[0].0, AlertKind::ConsentNeeded);
}

#[tokio::test]
async fn a_provider_that_does_not_rotate_is_asked_with_the_same_token_again() {
    let world = World::new(|nth, _| {
        answer(200, json!({"access_token": format!("access-{nth}"), "expires_in": 3600}).to_string())
    })
    .await;
    let crm = world.api(world.refreshing());
    for nth in 1..=3 {
        done(once(get(&crm)).await);
        assert!(world.question(nth).contains(&("refresh_token".into(), "seed-1-of-the-test".into())));
        world.clock.forward(HOUR);
    }
}

#[tokio::test]
async fn a_provider_that_says_the_token_it_was_sent_again_is_read_as_it_is() {
    // The next one has the last one in it: a part that is blacked out would be noticed at the second question.
    let world = World::new(|nth, seen| {
        let sent = form_urlencoded::parse(&seen.body).find(|(name, _)| name == "refresh_token").unwrap().1;
        let next = if nth == 1 { sent.to_string() } else { format!("{sent}-{nth}") };
        answer(200, json!({"access_token": "a", "refresh_token": next, "expires_in": 60}).to_string())
    })
    .await;
    let crm = world.api(world.refreshing());
    for (nth, sent) in [(1, "seed-1-of-the-test"), (2, "seed-1-of-the-test"), (3, "seed-1-of-the-test-2")] {
        done(once(get(&crm)).await);
        assert!(
            world.question(nth).contains(&("refresh_token".into(), sent.into())),
            "{:?}",
            world.question(nth)
        );
        world.clock.forward(HOUR);
    }
}

#[tokio::test]
async fn what_another_node_saved_meanwhile_is_tried_before_a_token_is_called_dead() {
    let newer = Arc::new(Mutex::new(None));
    let shelf: Arc<Mutex<Option<Arc<Shelf>>>> = Arc::default();
    let (copy, put) = (newer.clone(), shelf.clone());
    let world = World::new(move |nth, _| {
        // The other node's save lands while this one's question with the older token is under way.
        if nth == 3 {
            let (shelf, copy) = (put.lock().unwrap().clone().unwrap(), copy.lock().unwrap().take().unwrap());
            shelf.put_back(copy);
            return denied("invalid_grant");
        }
        tokens(nth)
    })
    .await;
    *shelf.lock().unwrap() = Some(world.store.clone());
    done(once(get(&world.api(world.refreshing()))).await);
    let older = world.store.copy();
    world.clock.forward(HOUR);
    done(once(get(&world.api_in(&vault(&world.store), world.refreshing()))).await);
    *newer.lock().unwrap() = Some(world.store.copy());
    world.store.put_back(older);

    let late = world.api_in(&vault(&world.store), world.refreshing());
    done(once(get(&late)).await);
    assert_eq!(world.asked(), 3);
    assert_eq!(world.used().last(), Some(&bearer(2)), "the newer token, and no further question");
}

#[tokio::test]
async fn a_node_that_died_while_it_renewed_holds_nobody_up_for_long() {
    let name = "oauth/crm/default";
    let shelf = Arc::<Mutex<Option<Arc<Shelf>>>>::default();
    let held = Arc::<Mutex<Option<Timestamp>>>::default();
    let (asked, noted) = (shelf.clone(), held.clone());
    let world = World::new(move |nth, _| {
        let held = asked.lock().unwrap().as_ref().and_then(|shelf| shelf.leased_until(name));
        noted.lock().unwrap().get_or_insert(held.expect("who asks has the lease"));
        tokens(nth)
    })
    .await;
    *shelf.lock().unwrap() = Some(world.store.clone());
    done(once(get(&world.api(world.credentials()))).await);
    // It died before it saved: what is left is its lease, as it took it.
    let until = held.lock().unwrap().expect("it asked");
    world.store.put_back(HashMap::new());
    world.store.lease_to_a_dead_node(name, until);

    let crm = world.api_in(&vault(&world.store), world.credentials());
    match once(get(&crm)).await {
        bowline_model::Verdict::Wait { why, .. } => assert_eq!(why, "the token of crm"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.asked(), 1);
    world.clock.forward(Duration::from_secs(31));
    let begun = world.clock.monotonic();
    while let bowline_model::Verdict::Wait { .. } = once(get(&crm)).await {
        assert!(world.clock.monotonic() - begun < Duration::from_secs(10), "it looks again at once");
        tokio::task::yield_now().await;
    }
    done(once(get(&crm)).await);
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn each_account_has_a_token_of_its_own() {
    let world = World::new(|nth, _| tokens(nth)).await;
    let crm = world.api(world.credentials());
    for account in ["one", "two/three", "one"] {
        done(once(get(&crm.account(account))).await);
    }
    assert_eq!((world.asked(), world.used()), (2, vec![bearer(1), bearer(2), bearer(1)]));
    assert_eq!(world.vault.consent().accounts("crm").await.unwrap(), ["default", "one", "two/three"]);
    world.vault.consent().disconnect("crm", "one").await.unwrap();
    done(once(get(&crm.account("one"))).await);
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn other_settings_are_another_credential() {
    let world = World::new(|nth, _| tokens(nth)).await;
    for scope in ["read", "read write", "read"] {
        done(once(get(&world.api(world.credentials().scope(scope)))).await);
    }
    assert_eq!(world.asked(), 3, "a token for one scope is none for another");
}

#[tokio::test]
async fn a_remote_that_takes_no_token_at_all_costs_one_renewal() {
    let world =
        World { remote: Remote::always(401, &[], "").await, ..World::new(|nth, _| tokens(nth)).await };
    let crm = world.api(world.credentials());
    for _ in 0..10 {
        refused(once(get(&crm)).await);
    }
    assert_eq!(world.asked(), 2, "the first, and one because it was refused");
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let elsewhere = Remote::always(200, &[], "{}").await;
    let to = format!("{}/token", elsewhere.url());
    let world = World::new(move |_, _| {
        Response::builder().status(307).header("location", &to).body(Body::empty()).unwrap()
    })
    .await;
    let failure = refused(once(get(&world.api(world.credentials()))).await);
    assert!(failure.message.contains("redirect"), "{failure}");
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let world =
        World::new(|_, _| answer(200, format!(r#"{{"access_token":"{}"}}"#, "x".repeat(300_000)))).await;
    let failure = later(once(get(&world.api(world.credentials()))).await);
    assert!(
        failure.message.contains("larger than 262144 bytes") && !failure.message.contains("xxx"),
        "{failure}"
    );
}

/// A provider that answers with all that it was sent, and with tokens in places where none belong.
#[tokio::test]
async fn no_secret_of_a_token_endpoint_is_in_an_error() {
    for status in [200, 302, 400, 401, 404, 429, 500] {
        let world = World::new(move |_, seen| {
            let sent = format!("{} {:?}", String::from_utf8_lossy(&seen.body), seen.headers);
            let body = json!({"error": "x", "error_description": sent, "refresh_token": "given-token-7c1"});
            Response::builder()
                .status(status)
                .header("x-request-id", "a")
                .body(body.to_string().into())
                .unwrap()
        })
        .await;
        let exchange = OAuth::token_exchange(&world.token_url()).subject_token_env("SEED");
        for oauth in [world.credentials(), world.credentials().client_in_body(), world.refreshing(), exchange]
        {
            let crm = world.api_in(&Vault::memory(), oauth);
            let verdict = once(get(&crm)).await;
            let seen = format!("{verdict:?} {crm:?} {:?} {:?}", world.vault, world.alerts.0.lock().unwrap());
            let encoded = "Y2xpZW50LTE6Y2xpZW50LXNlY3JldC1vZi10aGUtdGVzdA==";
            for secret in ["client-secret-of-the-test", "seed-1-of-the-test", "given-token-7c1", encoded] {
                assert!(!seen.contains(secret), "{status}: {seen}");
            }
        }
    }
}

#[test]
fn a_grant_that_must_keep_something_needs_a_key() {
    let problems = |oauth: OAuth| {
        let variables = Variables::new(|name| (name == "SEED").then(|| "seed".into()));
        let vault = Vault::with_variables(&variables);
        let _ = Api::with_variables("crm", variables.clone()).vault(vault).oauth(oauth);
        variables.problems()
    };
    let url = "https://id.example/token";
    let refresh = OAuth::refresh_token(url).refresh_token_env("SEED").public_client("a");
    let code = OAuth::authorization_code("https://id.example/auth", url).public_client("a");
    for oauth in [refresh, code] {
        let problems = problems(oauth);
        assert_eq!(problems[0].0, "BOWLINE_TOKEN_KEY");
        assert!(problems[0].1.contains("openssl rand -base64 32"), "{problems:?}");
    }
    assert_eq!(problems(OAuth::client_credentials(url).public_client("a")), []);
}

#[test]
fn what_is_wrong_with_a_grant_is_named() {
    let problems = |oauth: OAuth| {
        let variables = Variables::new(|name| (name == "BAD_KEY").then(|| "hunter2".into()));
        let _ = Api::with_variables("crm", variables.clone()).oauth(oauth);
        variables
            .problems()
            .into_iter()
            .map(|(name, what)| format!("{name} {what}"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (oauth, named) in [
        (OAuth::client_credentials("http://id.example/token").public_client("a"), "plain http"),
        (OAuth::client_credentials("https://id.example/token"), "client_env"),
        (OAuth::client_credentials("nonsense").public_client("a"), "token URL"),
        (OAuth::refresh_token("https://id.example/token"), "refresh_token_env"),
        (
            OAuth::jwt_bearer("https://id.example/token").key_env("BAD_KEY").issuer("a"),
            "BAD_KEY is not a private key",
        ),
        (OAuth::google_service_account_env("BAD_KEY"), "BAD_KEY is not the key file"),
        (OAuth::client_credentials("https://id.example/token").public_client("a").key_env("K"), "key_env"),
        (OAuth::token_exchange("https://id.example/token").subject_token_env("GONE"), "GONE is not set"),
    ] {
        let problems = problems(oauth);
        assert!(problems.contains(named) && !problems.contains("hunter2"), "{named}: {problems}");
    }
}

#[tokio::test]
async fn in_tests_no_provider_of_the_world_is_asked() {
    let remote = Remote::always(200, &[], "1").await;
    let variables = Variables::new(|_| None).with_stand_ins();
    let oauth = OAuth::authorization_code("https://id.invalid/auth", "https://id.invalid/token");
    let crm = Api::with_variables("crm", variables.clone())
        .base_url(&remote.url())
        .vault(Vault::with_variables(&variables))
        .oauth(oauth.client_env("CLIENT_ID", "CLIENT_SECRET"));
    done(once(get(&crm)).await);
    assert_eq!(remote.seen()[0].header("authorization"), "Bearer test-token-of-crm");
    assert_eq!(variables.problems(), []);
}

#[tokio::test]
async fn a_client_secret_in_a_file_is_read_again_when_it_changes() {
    let world = World::new(|nth, _| tokens(nth)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "first-secret\n").unwrap();
    let named = path.display().to_string();
    let variables = Variables::new(move |name| match name {
        "ID" => Some("client-1".into()),
        "SECRET_FILE" => Some(named.clone()),
        _ => None,
    });
    let crm = Api::with_variables("crm", variables)
        .base_url(&world.remote.url())
        .clock(world.clock.clone())
        .oauth(OAuth::client_credentials(&world.token_url()).client_env("ID", "SECRET").client_in_body());
    done(once(get(&crm)).await);
    std::fs::write(&path, "second-secret\n").unwrap();
    world.clock.forward(HOUR);
    done(once(get(&crm)).await);
    let sent: BTreeSet<_> = (1..=2).map(|nth| world.question(nth).last().unwrap().1.clone()).collect();
    assert_eq!(sent.into_iter().collect::<Vec<_>>(), ["first-secret", "second-secret"]);
}
