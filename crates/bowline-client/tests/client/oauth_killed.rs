//! A process that is killed between a refresh and the first use of what it brought; the next one on the same disk.

use std::{path::Path, sync::Arc, time::Duration};

use bowline_client::{Api, OAuth, SealKeys, Vault};
use bowline_model::{
    RetryPolicy, Secret, SystemClock, Variables,
    credential::{CredentialAnswer, CredentialStore, StoredCredential},
};
use bowline_store::{SqliteOptions, SqliteStore, Store};
use bowline_testing::Program;
use jiff::Timestamp;

use crate::{
    oauth_certified::guarded,
    oauth_peer::{Ahead, CLIENT_SECRET, NO_OIDC_PROVIDER, Provider, connect},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than any process takes here.
const LONG: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> Arc<SqliteStore> {
    let path = folder.join("bowline.db");
    Arc::new(SqliteStore::open(path, SqliteOptions::default(), Arc::new(SystemClock)).unwrap())
}

fn vault(store: Arc<dyn CredentialStore>) -> Vault {
    let vault = Vault::new(SealKeys::parse(&"5e".repeat(32)).unwrap());
    vault.bind(store);
    vault
}

fn api(vault: &Vault, remote: &str, provider: &str, clock: Arc<Ahead>) -> Api {
    let oauth = OAuth::authorization_code(&format!("{provider}/auth"), &format!("{provider}/token"))
        .client("web", Secret::new(CLIENT_SECRET))
        .scope("openid offline_access contacts")
        .authorize_parameter("prompt", "consent");
    Api::with_variables("crm", Variables::new(|_| None))
        .base_url(remote)
        .clock(clock)
        .retry(RetryPolicy::never())
        .vault(vault.clone())
        .oauth(oauth)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_refresh_and_use_the_next_process_uses_what_was_saved() {
    let name = "killed_between_refresh_and_use_the_next_process_uses_what_was_saved";
    let Some(provider) = Provider::start() else { bowline_testing::skip!(name, NO_OIDC_PROVIDER) };
    let (remote, folder) = (guarded().await, tempfile::tempdir().unwrap());
    let store = open(folder.path());
    let vault = vault(store.clone());
    let _crm = api(&vault, &remote.url(), &provider.url, Ahead::new());
    connect(&vault, &provider).await;
    store.close().await.unwrap();
    drop((_crm, vault, store));

    let process = |kind: &str, hours: u32| {
        Program::new(std::env::current_exe().unwrap())
            .args(["--exact", "oauth_killed::one_process", "--nocapture"])
            .env("OAUTH_KILLED", kind)
            .env("OAUTH_HOURS", hours.to_string())
            .env("OAUTH_FOLDER", folder.path())
            .env("OAUTH_PROVIDER", &provider.url)
            .env("OAUTH_REMOTE", remote.url())
            .ready_within(LONG)
    };
    let mut killed = process("stops after its save", 1).ready_on_line("saved").start().unwrap();
    killed.kill();
    assert_eq!(provider.count("granted refresh_token").await, 1);
    assert_eq!(remote.seen().len(), 0, "it was killed before it used the token");

    let mut next = process("calls", 1).start().unwrap();
    assert!(next.wait(LONG).unwrap().success(), "{}", next.output());
    assert_eq!(provider.count("granted refresh_token").await, 1, "the next process uses what was saved");
    assert_eq!(remote.seen().len(), 1);

    let mut later = process("calls", 2).start().unwrap();
    assert!(later.wait(LONG).unwrap().success(), "{}", later.output());
    assert_eq!(provider.count("granted refresh_token").await, 2, "the rotated refresh token was saved, too");
    assert_eq!(provider.count("denied").await, 0);
}

/// What the processes of the test above do; nothing in a run of all tests.
#[tokio::test]
async fn one_process() {
    let Ok(kind) = std::env::var("OAUTH_KILLED") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let store = open(Path::new(&variable("OAUTH_FOLDER")));
    let credentials: Arc<dyn CredentialStore> = match kind.as_str() {
        "calls" => store.clone(),
        _ => Arc::new(StopsAfterItsSave(store.clone())),
    };
    let (vault, clock) = (vault(credentials), Ahead::new());
    clock.forward(HOUR * variable("OAUTH_HOURS").parse().unwrap());
    let crm = api(&vault, &variable("OAUTH_REMOTE"), &variable("OAUTH_PROVIDER"), clock);
    crm.get("/contacts").send().await.unwrap();
    vault.close().await;
    store.close().await.unwrap();
}

/// The moment to be killed at: it is on disk, and nobody knows yet.
struct StopsAfterItsSave(Arc<SqliteStore>);

impl CredentialStore for StopsAfterItsSave {
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>> {
        self.0.load(name)
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64> {
        Box::pin(async move {
            self.0.save(name, replaces, value, expires_at).await?;
            #[allow(clippy::print_stdout, reason = "what the test waits for before it kills this process")]
            {
                println!("saved");
            }
            std::future::pending().await
        })
    }

    fn forget<'a>(&'a self, name: &'a str, version: i64) -> CredentialAnswer<'a, ()> {
        self.0.forget(name, version)
    }

    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>> {
        self.0.names(prefix)
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool> {
        self.0.lease(name, holder, now, ttl)
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()> {
        self.0.release(name, holder)
    }
}
