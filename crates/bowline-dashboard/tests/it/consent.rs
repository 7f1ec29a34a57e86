//! A consent in a real browser, with a certified provider (npm's `oidc-provider`): there, and back.

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use bowline_client::{Api, OAuth, Vault};
use bowline_model::{RetryPolicy, Secret};
use bowline_testing::{Process, peer};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    browser,
    chromium::{self, Chromium},
    server::Server,
};

const CONNECT: &str = "document.querySelector('.connection button').click()";
const LOG_IN: &str = "(() => {
    document.querySelector('[name=login]').value = 'jane';
    document.querySelector('[name=password]').value = 'any';
    document.forms[0].submit();
})()";
const AGREE: &str = "document.forms[0].submit()";
const CANCEL: &str = "document.querySelector('a[href$=\"/abort\"]').click()";

/// The provider, as a process, and an app whose Api `people` is called with its tokens.
struct Site {
    _process: Process,
    provider: String,
    people: Api,
    server: Server,
}

impl Site {
    async fn start() -> Option<Self> {
        let node = peer::node("oidc-provider", include_str!("peers/oidc.mjs"))?;
        let mut process = node.ready_on_line("port ").start().unwrap();
        let line = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
        let provider = format!("http://127.0.0.1:{}", line.trim_start_matches("port ").trim());
        let vault = Vault::memory();
        let oauth = OAuth::authorization_code(&format!("{provider}/auth"), &format!("{provider}/token"))
            .client("bowline", Secret::new("a secret that both know"))
            .scope("openid offline_access")
            .authorize_parameter("prompt", "consent")
            .issuer_identifier(&provider);
        let people = Api::new("people").base_url(&provider).retry(RetryPolicy::never());
        let people = people.vault(vault.clone()).oauth(oauth);
        let server = Server::start_told(move |admin| admin.vault(vault, None)).await;
        Some(Self { _process: process, provider, people, server })
    }

    fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// Who the token is of, as the provider says.
    async fn who(&self) -> Result<Value, bowline_model::Error> {
        self.people.get("/me").decode().send().await
    }

    /// To the provider's page, by the button.
    fn connect(&self, chromium: &mut Chromium) {
        chromium.load(&self.page("/connections"));
        chromium.go(CONNECT, &format!("{}/interaction/", self.provider));
    }
}

/// A page of somebody else that posts our form as soon as it is opened.
async fn foreign(target: &str) -> String {
    let form = format!(
        "<form method=post action={target}><input name=api value=people><input name=account value=default></form>\
         <script>document.forms[0].submit()</script>"
    );
    let router = Router::new().route("/", get(async move || Html(form)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_connects_an_api_at_its_provider_and_calls_work() {
    let name = "a_person_connects_an_api_at_its_provider_and_calls_work";
    let Some(program) = chromium::find() else { bowline_testing::skip!(name, "there is no chromium") };
    let Some(site) = Site::start().await else {
        bowline_testing::skip!(name, "BOWLINE_NODE has no oidc-provider: scripts/node makes one that has")
    };
    let mut chromium = Chromium::start(program);
    let before = site.who().await.unwrap_err();
    assert!(before.to_string().contains("consent"), "{before}");

    let callback = tokio::task::block_in_place(|| {
        chromium.look(1280, 800, "light");
        site.connect(&mut chromium);
        chromium.go(LOG_IN, &format!("{}/interaction/", site.provider));
        chromium.go(AGREE, &site.page("/connections"));
        let text = chromium.text();
        assert!(text.contains("people is connected.") && text.contains("✓ connected"), "{text}");
        assert!(text.contains("renewed by itself"), "{text}");
        assert!(!chromium.at.contains("code="), "the code is not left in the address: {}", chromium.at);
        let page = chromium.at.clone();
        for (width, height) in browser::SCREENS {
            for scheme in ["light", "dark"] {
                chromium.look(width, height, scheme);
                chromium.complaints.clear();
                browser::check(&mut chromium, &page, &format!("{page} at {width} px, {scheme}"));
            }
        }
        let callback = chromium.requested.iter().find(|url| url.contains("/connect/callback")).cloned();
        callback.expect("the provider led back")
    });
    assert_eq!(site.who().await.unwrap()["sub"], "jane");

    let evil = foreign(&site.page("/connect")).await;
    tokio::task::block_in_place(|| {
        chromium.load(&callback);
        let text = chromium.text();
        assert!(text.contains("400") && text.contains("used before"), "a second time: {text}");

        chromium.load(&site.page("/connect/callback?state=guessed&code=x"));
        assert!(chromium.text().contains("was not begun here"), "a wrong state");

        chromium.load(&site.page("/connections"));
        site.connect(&mut chromium);
        chromium.go(CANCEL, &site.page("/connect/callback"));
        let text = chromium.text();
        assert!(text.contains("its provider said access_denied"), "{text}");

        chromium.load("about:blank");
        chromium.go(&format!("location.href = '{evil}'"), &site.page("/connect"));
        let text = chromium.text();
        assert!(text.contains("403") && text.contains("another origin"), "{text}");
    });
    assert_eq!(site.who().await.unwrap()["sub"], "jane", "what was connected stays so");
}
