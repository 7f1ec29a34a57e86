//! OAuth with the certified provider of npm.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bowline_client::{Api, OAuth, SealKeys, Standing, Vault};
use bowline_model::{RetryPolicy, Secret, Variables};
use futures_util::future::join_all;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

use crate::{
    oauth_peer::{Ahead, CLIENT_SECRET, NO_OIDC_PROVIDER, Provider, api, connect},
    oauth_store::Shelf,
    remote::{Remote, Seen, answer},
};

const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

fn vault(store: &Arc<Shelf>) -> Vault {
    let vault = Vault::new(SealKeys::parse(KEY).unwrap());
    vault.bind(store.clone());
    vault
}

/// A remote that answers whoever has a token.
pub(crate) async fn guarded() -> Remote {
    Remote::new(|_, seen| answer(if seen.header("authorization").len() > 20 { 200 } else { 401 }, "1")).await
}

/// A remote that does not take the tokens in that list.
async fn forgetful(refused: Arc<Mutex<Vec<String>>>) -> Remote {
    let judge = move |seen: &Seen| {
        let refused = refused.lock().unwrap().contains(&seen.header("authorization").to_owned());
        if refused { 401 } else { 200 }
    };
    Remote::new(move |_, seen| answer(judge(seen), "1")).await
}

async fn call(api: &Api) -> u8 {
    api.clone().retry(RetryPolicy::never()).get("/contacts").decode().send().await.unwrap()
}

fn tokens(remote: &Remote) -> Vec<String> {
    let mut tokens: Vec<_> =
        remote.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    tokens.dedup();
    tokens
}

#[tokio::test]
async fn client_credentials_in_the_header_and_in_the_body() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("client_credentials_in_the_header_and_in_the_body", NO_OIDC_PROVIDER);
    };
    let remote = guarded().await;
    let oauth = OAuth::client_credentials(&provider.token_url());
    let secret = || Secret::new(CLIENT_SECRET);
    for oauth in
        [oauth.clone().client("machine:1", secret()), oauth.clone().client("post", secret()).client_in_body()]
    {
        let crm = api(&remote.url(), &Vault::memory(), oauth.scope("contacts"));
        assert_eq!((call(&crm).await, call(&crm).await), (1, 1));
    }
    assert_eq!(provider.count("granted client_credentials").await, 2, "one for each Api: the token is kept");
}

#[tokio::test]
async fn a_client_that_proves_itself_with_a_key() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (x, y) = pair.der_bytes()[1..].split_at(32);
    let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "use": "sig", "x": x, "y": y});
    let Some(provider) = Provider::start_with(&jwk.to_string()) else {
        bowline_testing::skip!("a_client_that_proves_itself_with_a_key", NO_OIDC_PROVIDER);
    };
    let remote = guarded().await;
    let pem = pair.serialize_pem();
    let variables = Variables::new(move |name| match name {
        "ID" => Some("signer".into()),
        "KEY" => Some(pem.clone()),
        _ => None,
    });
    let crm = Api::with_variables("crm", variables)
        .base_url(&remote.url())
        .oauth(OAuth::client_credentials(&provider.token_url()).client_key_env("ID", "KEY"));
    assert_eq!(call(&crm).await, 1);
    assert_eq!(provider.count("granted client_credentials").await, 1);
}

#[tokio::test]
async fn a_consent_with_pkce_ends_in_calls_with_tokens() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("a_consent_with_pkce_ends_in_calls_with_tokens", NO_OIDC_PROVIDER);
    };
    let remote = guarded().await;
    let vault = vault(&Shelf::new());
    let crm = api(&remote.url(), &vault, provider.code());
    assert_eq!(vault.consent().status("crm", "default").await.unwrap(), Standing::Missing);
    let error = crm.clone().retry(RetryPolicy::never()).get("/").send().await.unwrap_err();
    assert!(error.to_string().contains("give consent from the admin address"), "{error}");

    connect(&vault, &provider).await;
    assert_eq!(call(&crm).await, 1);
    let status = vault.consent().status("crm", "default").await.unwrap();
    assert!(
        matches!(status, Standing::Connected { since: Some(_), expires_at: Some(_), renews: true }),
        "{status:?}"
    );
    assert_eq!(provider.count("granted authorization_code").await, 1);
}

#[tokio::test]
async fn one_refresh_for_fifty_calls_whose_token_ended() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("one_refresh_for_fifty_calls_whose_token_ended", NO_OIDC_PROVIDER);
    };
    let (remote, vault, clock) = (guarded().await, vault(&Shelf::new()), Ahead::new());
    let crm = api(&remote.url(), &vault, provider.code()).clock(clock.clone());
    connect(&vault, &provider).await;
    assert_eq!(call(&crm).await, 1);
    // The provider does not know of it: its refresh tokens live for a day. Three times, so that each rotated token serves.
    for times in 1..=3 {
        clock.forward(Duration::from_secs(3600));
        join_all((0..50).map(|_| call(&crm))).await;
        assert_eq!(provider.count("granted refresh_token").await, times);
    }
    assert_eq!(tokens(&remote).len(), 4);
    assert_eq!(provider.count("denied").await, 0);
}

#[tokio::test]
async fn one_refresh_for_fifty_calls_whose_token_was_refused() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("one_refresh_for_fifty_calls_whose_token_was_refused", NO_OIDC_PROVIDER);
    };
    let (refused, vault) = (Arc::<Mutex<Vec<String>>>::default(), vault(&Shelf::new()));
    let remote = forgetful(refused.clone()).await;
    let crm = api(&remote.url(), &vault, provider.code());
    connect(&vault, &provider).await;
    assert_eq!(call(&crm).await, 1);
    refused.lock().unwrap().extend(tokens(&remote));
    join_all((0..50).map(|_| call(&crm))).await;
    assert_eq!(provider.count("granted refresh_token").await, 1);
    assert_eq!(tokens(&remote).iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn two_nodes_on_one_store_refresh_once_between_them() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("two_nodes_on_one_store_refresh_once_between_them", NO_OIDC_PROVIDER);
    };
    let (remote, store, clock) = (guarded().await, Shelf::new(), Ahead::new());
    let nodes = [vault(&store), vault(&store), vault(&store)];
    let apis = nodes.each_ref().map(|vault| api(&remote.url(), vault, provider.code()).clock(clock.clone()));
    connect(&nodes[0], &provider).await;
    for times in 1..=3 {
        clock.forward(Duration::from_secs(3600));
        join_all((0..60).map(|nth| call(&apis[nth % 3]))).await;
        assert_eq!(provider.count("granted refresh_token").await, times);
    }
    assert_eq!(provider.count("denied").await, 0);
}

#[tokio::test]
async fn a_caller_who_gives_up_cancels_no_refresh() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("a_caller_who_gives_up_cancels_no_refresh", NO_OIDC_PROVIDER);
    };
    let (remote, store, clock) = (guarded().await, Shelf::new(), Ahead::new());
    let vault = vault(&store);
    let crm = api(&remote.url(), &vault, provider.code()).clock(clock.clone());
    connect(&vault, &provider).await;
    clock.forward(Duration::from_secs(3600));
    let saves = store.saves();
    // Polled once: the refresh has begun, and nobody waits for it any more.
    let mut dropped = Box::pin(call(&crm));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    drop(dropped);
    vault.close().await;
    assert_eq!(provider.count("granted refresh_token").await, 1);
    assert_eq!(store.saves(), saves + 1, "what it brought is on disk");
}

#[tokio::test]
async fn a_rotated_token_waits_for_the_disk_and_is_not_lost() {
    let Some(provider) = Provider::start() else {
        bowline_testing::skip!("a_rotated_token_waits_for_the_disk_and_is_not_lost", NO_OIDC_PROVIDER);
    };
    let (remote, store, clock) = (guarded().await, Shelf::new(), Ahead::new());
    let vault = vault(&store);
    let crm = api(&remote.url(), &vault, provider.code()).clock(clock.clone());
    connect(&vault, &provider).await;
    clock.forward(Duration::from_secs(3600));
    store.fail_saves(1000);
    // Whoever asks for it is told, those too who come when only the save is tried again.
    for _ in 0..2 {
        let error = crm.clone().retry(RetryPolicy::never()).get("/contacts").send().await.unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains("the disk is full"), "{error}");
        clock.forward(Duration::from_secs(60));
    }
    assert_eq!(remote.seen().len(), 0, "the new token is not used before it is on disk");
    store.fail_saves(0);
    assert_eq!(call(&crm).await, 1);
    assert_eq!(provider.count("granted refresh_token").await, 1, "what the provider gave was not lost");
    clock.forward(Duration::from_secs(3600));
    assert_eq!(call(&crm).await, 1);
    assert_eq!(provider.count("denied").await, 0);
}

#[tokio::test]
async fn a_node_that_was_late_takes_the_newer_token_and_a_dead_one_is_told() {
    let name = "a_node_that_was_late_takes_the_newer_token_and_a_dead_one_is_told";
    let Some(provider) = Provider::start() else { bowline_testing::skip!(name, NO_OIDC_PROVIDER) };
    let (remote, store, clock) = (guarded().await, Shelf::new(), Ahead::new());
    let (one, two) = (vault(&store), vault(&store));
    let crm = api(&remote.url(), &one, provider.code()).clock(clock.clone());
    let late = api(&remote.url(), &two, provider.code()).clock(clock.clone());
    connect(&one, &provider).await;
    let old = store.copy();
    clock.forward(Duration::from_secs(3600));
    assert_eq!(call(&crm).await, 1);
    // As from a backup of yesterday: a refresh token that was used. The provider takes that for theft, and voids all.
    store.put_back(old);
    clock.forward(Duration::from_secs(3600));
    let error = late.clone().retry(RetryPolicy::never()).get("/").send().await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(
        error.to_string().contains("invalid_grant") && error.to_string().contains("connect it again"),
        "{error}"
    );
    let status = two.consent().status("crm", "default").await.unwrap();
    assert!(
        matches!(&status, Standing::Dead { why, since: Some(_) } if why.contains("invalid_grant")),
        "{status:?}"
    );
    assert_eq!(provider.count("denied").await, 1);

    connect(&two, &provider).await;
    assert_eq!((call(&late).await, call(&crm).await), (1, 1), "connected again, on every node");
}
