//! The page of connections: how Apis stand, what they raised, and who may begin and end a consent.

use std::sync::Arc;

use bowline_client::{Api, OAuth, Vault};
use bowline_dashboard::alerts::ApiAlerts;
use bowline_model::{Alert, AlertKind, Alerts, Clock, Secret, SystemClock};
use serde_json::json;

use crate::{
    hostile::SCRIPT,
    pages::check_nesting,
    server::{Reply, Server},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// An app with two Apis: one needs somebody's consent, one does not.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) alerts: ApiAlerts,
    _apis: [Api; 2],
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::at(None).await
    }

    async fn at(public_url: Option<&str>) -> Self {
        let vault = Vault::memory();
        let (secret, alerts) = (|| Secret::new("s3cret"), ApiAlerts::new(Arc::new(SystemClock)));
        let consent = OAuth::authorization_code("https://id.example/auth?a=1", "https://id.example/token");
        let machine = OAuth::client_credentials("https://id.example/token");
        let api = |name: &str| Api::new(name).base_url("https://api.example").vault(vault.clone());
        let apis = [
            api("xero").oauth(consent.client("bowline", secret()).scope("contacts offline_access")),
            api("erp").oauth(machine.client("bowline", secret())),
        ];
        let (shown, url) = (alerts.clone(), public_url.map(str::to_owned));
        let server = Server::start_told(move |admin| admin.vault(vault, url).alerts(shown)).await;
        Self { server, alerts, _apis: apis }
    }

    pub(crate) fn raise(&self, api: &str, kind: AlertKind, message: &str) {
        let (api, message) = (api.to_owned(), message.to_owned());
        self.alerts.raise(Alert { api, kind, message, at: SystemClock.now() });
    }

    /// As the button of the page does it.
    async fn connect(&self, api: &str, account: &str) -> Reply {
        let headers = [
            ("host", "127.0.0.1:8081"),
            ("origin", "http://127.0.0.1:8081"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", FORM),
            ("accept", "text/html"),
        ];
        self.server.ask("POST", "/connect", &headers, &format!("api={api}&account={account}")).await
    }

    /// As a provider leads back.
    async fn callback(&self, query: &str) -> Reply {
        self.server.browse(&format!("/connect/callback?{query}")).await
    }
}

/// Where the page leads to.
fn led_to(page: &str) -> String {
    let url = page.split_once("content=\"0; url=").expect(page).1.split('"').next().unwrap();
    url.replace("&#38;", "&")
}

fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn tells_how_every_account_stands() {
    let site = Site::new().await;
    let reply = site.server.get("/api/connections").await;
    assert_eq!(
        reply.json,
        json!({
            "connections": [
                { "api": "erp", "account": "default", "grant": "client credentials", "needs_consent": false,
                  "state": "missing", "renews": false },
                { "api": "xero", "account": "default", "grant": "authorization code", "needs_consent": true,
                  "state": "missing", "renews": false },
            ],
            "left_out": 0,
            "alerts": [],
        })
    );
    let page = site.server.browse("/connections").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("needs consent") && page.text.contains("no token yet"), "{}", page.text);
    assert_eq!(page.text.matches("action=\"/connect\"").count(), 2, "one for xero, one for another account");
    check_nesting(&page.text);
    assert!(page.head.contains("referrer-policy: same-origin"), "{}", page.head);
    assert!(page.head.contains("cache-control: no-store"), "{}", page.head);
}

#[tokio::test]
async fn the_button_leads_to_the_provider_with_a_state_and_a_challenge() {
    let site = Site::new().await;
    let reply = site.connect("xero", "default").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let url = led_to(&reply.text);
    assert!(url.starts_with("https://id.example/auth?a=1&"), "{url}");
    assert_eq!(parameter(&url, "client_id"), Some("bowline"));
    assert_eq!(parameter(&url, "code_challenge_method"), Some("S256"));
    assert_eq!(parameter(&url, "redirect_uri"), Some("http%3A%2F%2F127.0.0.1%3A8081%2Fconnect%2Fcallback"));
    assert!(parameter(&url, "state").is_some_and(|state| state.len() >= 32), "{url}");
    assert!(reply.head.contains("referrer-policy: no-referrer"), "{}", reply.head);
    assert!(reply.head.contains("cache-control: no-store"), "{}", reply.head);
    let again = led_to(&site.connect("xero", "default").await.text);
    assert_ne!(parameter(&url, "state"), parameter(&again, "state"));
}

#[tokio::test]
async fn behind_another_address_providers_lead_back_there() {
    let site = Site::at(Some("https://ops.example/bowline/")).await;
    let url = led_to(&site.connect("xero", "tenant-7").await.text);
    let back = "https%3A%2F%2Fops.example%2Fbowline%2Fconnect%2Fcallback";
    assert_eq!(parameter(&url, "redirect_uri"), Some(back));
    let page = site.server.browse("/connections").await.text;
    assert!(page.contains("https://ops.example/bowline/connect/callback"), "{page}");
}

#[tokio::test]
async fn no_foreign_page_begins_a_consent() {
    let site = Site::new().await;
    let body = "api=xero&account=default";
    let form = [("host", "127.0.0.1:8081"), ("content-type", FORM)];
    for more in [
        vec![],
        vec![("origin", "null")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "http://127.0.0.1:3000")],
        vec![("origin", "http://127.0.0.1:8081"), ("sec-fetch-site", "cross-site")],
    ] {
        let headers: Vec<_> = form.iter().copied().chain(more).collect();
        let reply = site.server.ask("POST", "/connect", &headers, body).await;
        assert_eq!(reply.status, 403, "{headers:?}");
        assert!(!reply.text.contains("id.example"), "{reply:?}");
    }
    assert_eq!(site.server.browse("/connect").await.status, 405, "a link begins none");
}

#[tokio::test]
async fn what_cannot_be_connected_is_told() {
    let site = Site::new().await;
    for (api, account, says) in [
        ("erp", "default", "needs no consent"),
        ("nobody", "default", "there is no Api"),
        ("xero", "", "1 to 100 characters"),
        ("xero", &"a".repeat(101), "1 to 100 characters"),
    ] {
        let reply = site.connect(api, account).await;
        assert_eq!(reply.status, 400, "{api} {account}");
        assert!(reply.text.contains(says), "{says}: {}", reply.text);
    }
    let page = Server::start().await.browse("/connections").await;
    assert!(page.text.contains("No Api gets tokens"), "{}", page.text);
}

#[tokio::test]
async fn an_answer_without_a_consent_that_was_begun_is_refused() {
    let site = Site::new().await;
    for query in ["state=guessed&code=stolen", "code=stolen", "state=&code=stolen", ""] {
        let reply = site.callback(query).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(
            reply.text.contains("was not begun here") && !reply.text.contains("stolen"),
            "{}",
            reply.text
        );
    }
    assert_eq!(site.callback("state=a&state=b").await.status, 400);
}

#[tokio::test]
async fn the_providers_no_is_shown_as_text_and_its_state_is_used_up() {
    let site = Site::new().await;
    let url = led_to(&site.connect("xero", "default").await.text);
    let state = parameter(&url, "state").unwrap();
    let head = [("host", "localhost")];
    let look = site.server.ask("HEAD", &format!("/connect/callback?state={state}"), &head, "").await;
    assert_eq!(look.status, 405, "a look uses nothing up");
    let words: String = SCRIPT.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let no = format!("state={state}&error=access_denied&error_description={words}");
    let reply = site.callback(&no).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text.contains("its provider said access_denied"), "{}", reply.text);
    check_nesting(&reply.text);
    assert!(!reply.text.contains("<script>"), "{}", reply.text);
    assert!(reply.head.contains("referrer-policy: no-referrer"), "{}", reply.head);
    assert!(site.callback(&no).await.text.contains("was not begun here"), "twice");
}

#[tokio::test]
async fn what_apis_raised_is_shown_first_and_as_text() {
    let site = Site::new().await;
    assert!(!site.server.browse("/").await.text.contains("Needs a person"));
    for _ in 0..3 {
        site.raise("crm", AlertKind::Unauthorized, "GET crm /contacts answered 401: check `CRM_API_KEY`");
    }
    site.raise(SCRIPT, AlertKind::Forbidden, SCRIPT);
    for path in ["/", "/connections"] {
        let page = site.server.browse(path).await.text;
        assert!(page.contains("<bdi>crm</bdi></strong>: its credential is refused (401)"), "{page}");
        check_nesting(&page);
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{page}");
    }
    let page = site.server.browse("/connections").await.text;
    assert!(page.contains("<code>CRM_API_KEY</code>") && page.contains("3 times"), "{page}");
    let shown = site.server.get("/api/connections").await.json["alerts"][1].clone();
    assert_eq!(
        (&shown["api"], &shown["kind"], &shown["count"]),
        (&json!("crm"), &json!("unauthorized"), &json!(3))
    );
}
