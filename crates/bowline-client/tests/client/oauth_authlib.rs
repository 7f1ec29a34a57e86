//! OAuth with an authorization server made of Authlib (PyPI): statements signed by us, refresh tokens of a variable.

use std::time::Duration;

use bowline_client::{Api, OAuth, SealKeys, Vault};
use bowline_model::{RetryPolicy, Variables};
use bowline_testing::{Process, Program, peer};
use futures_util::future::join_all;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

use crate::{oauth_peer::Ahead, oauth_store::Shelf};

const NO_AUTHLIB: &str = "BOWLINE_PYTHON has no authlib and flask: scripts/python makes one that has";

struct Server {
    process: Process,
    url: String,
    ec: KeyPair,
    rsa: KeyPair,
}

impl Server {
    fn start() -> Option<Self> {
        let python = peer::python("authlib, flask")?;
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let program = Program::new(python)
            .args(["-c", include_str!("peers/authlib_server.py")])
            .env("EC_KEY", ec.public_key_pem())
            .env("RSA_KEY", rsa.public_key_pem())
            .ready_on_line("port ");
        let mut process = program.start().unwrap();
        let line = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
        let url = format!("http://127.0.0.1:{}", line.trim_start_matches("port ").trim());
        Some(Self { process, url, ec, rsa })
    }

    fn token_url(&self) -> String {
        format!("{}/token", self.url)
    }

    async fn said(&self) -> Vec<String> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let said = http.get(format!("{}/said", self.url)).send().await.unwrap().text().await.unwrap();
        said.lines().map(str::to_owned).collect()
    }

    fn api(&self, variables: &[(&'static str, String)]) -> Api {
        let variables = variables.to_vec();
        let find = move |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.clone());
        Api::with_variables("crm", Variables::new(find)).base_url(&self.url).retry(RetryPolicy::never())
    }

    async fn call(&self, api: &Api) -> u8 {
        let called = api.get("/contacts").decode().send().await;
        called.unwrap_or_else(|error| panic!("{error}\n{}", self.process.output()))
    }
}

#[tokio::test]
async fn a_signed_statement_gives_a_token() {
    let Some(server) = Server::start() else {
        bowline_testing::skip!("a_signed_statement_gives_a_token", NO_AUTHLIB);
    };
    let api = server.api(&[("KEY", server.ec.serialize_pem().replace('\n', "\\n"))]);
    let oauth = OAuth::jwt_bearer(&server.token_url()).key_env("KEY").issuer("signer");
    let jane = api.clone().oauth(oauth.clone().subject("jane@example.com").scope("read write"));
    assert_eq!((server.call(&jane).await, server.call(&jane).await), (1, 1));
    assert_eq!(server.call(&api.clone().oauth(oauth.clone())).await, 1);
    const BEARER: &str = "granted urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(
        server.said().await,
        [format!("{BEARER} read write jane@example.com"), format!("{BEARER}  signer")]
    );

    let stranger = api.oauth(oauth.subject("mallory@example.com"));
    let error = stranger.get("/contacts").send().await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("invalid_grant (Invalid 'sub' value"), "{error}");
    assert!(error.to_string().ends_with("check KEY"), "{error}");
}

#[tokio::test]
async fn a_service_account_of_google_signs_with_its_key_file() {
    let Some(server) = Server::start() else {
        bowline_testing::skip!("a_service_account_of_google_signs_with_its_key_file", NO_AUTHLIB);
    };
    let file = serde_json::json!({
        "type": "service_account",
        "client_email": "robot@project.example",
        "private_key_id": "key-1",
        "private_key": server.rsa.serialize_pem(),
        "token_uri": server.token_url(),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let api = server.api(&[("GOOGLE_CREDENTIALS_FILE", path.display().to_string())]);
    let sheets = api.oauth(
        OAuth::google_service_account_env("GOOGLE_CREDENTIALS").scope("read").subject("jane@example.com"),
    );
    assert_eq!(server.call(&sheets).await, 1);
    assert_eq!(
        server.said().await,
        ["granted urn:ietf:params:oauth:grant-type:jwt-bearer  jane@example.com"]
    );
}

#[tokio::test]
async fn the_refresh_token_of_a_variable_is_the_first_of_a_chain_and_a_new_one_begins_another() {
    let name = "the_refresh_token_of_a_variable_is_the_first_of_a_chain_and_a_new_one_begins_another";
    let Some(server) = Server::start() else { bowline_testing::skip!(name, NO_AUTHLIB) };
    let (store, clock) = (Shelf::new(), Ahead::new());
    let start = |seed: &str| {
        let vault = Vault::new(SealKeys::parse(&"ab".repeat(32)).unwrap());
        vault.bind(store.clone());
        let variables = [("SEED", seed.to_owned()), ("ID", "web".into()), ("SECRET", "web-secret-1".into())];
        server.api(&variables).clock(clock.clone()).vault(vault).oauth(
            OAuth::refresh_token(&server.token_url()).client_env("ID", "SECRET").refresh_token_env("SEED"),
        )
    };
    let refreshes = || async { server.said().await.len() };
    let first = start("seed-1-of-a-variable");
    join_all((0..50).map(|_| server.call(&first))).await;
    assert_eq!(refreshes().await, 1);
    // The same variable after a restart: what came of it is kept, for the seed itself is used up.
    let again = start("seed-1-of-a-variable");
    server.call(&again).await;
    assert_eq!(refreshes().await, 1);
    clock.forward(Duration::from_secs(365 * 24 * 3600));
    join_all((0..50).map(|_| server.call(&again))).await;
    assert_eq!(refreshes().await, 2);
    // Somebody put another one into the variable.
    let other = start("seed-2-of-a-variable");
    server.call(&other).await;
    assert_eq!(refreshes().await, 3);
    // One that was never given out: it is told which variable to mend.
    let wrong = start("seed-3-of-a-variable");
    let error = wrong.get("/contacts").send().await.unwrap_err();
    assert!(error.to_string().contains("put a new one into SEED"), "{error}");
    assert!(!store.all().contains("seed-"), "{}", store.all());
    server.call(&start("seed-2-of-a-variable")).await;
}
