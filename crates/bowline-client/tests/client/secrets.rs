//! No secret leaves but to the remote it is for.

use std::{
    fmt::{Debug, Write as _},
    io,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    http::{HeaderValue, Response},
};
use bowline_client::{Api, Call, HmacSigning, OAuth, StandardWebhooksSigning, Vault};
use bowline_model::{Attempt, Effect, Secret, Variables};
use serde_json::Value;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::{
    remote::{Hand, LONG, Remote, Seen, raw, read_request},
    tls::https,
};

/// The secrets, and forms in which they could show.
const SECRETS: [&str; 25] = [
    "seed-token-77d0a1c4",
    "oauth-secret-0b6e52",
    "Y2xpZW50Om9hdXRoLXNlY3JldC0wYjZlNTI=",
    "given-access-5e1f",
    "given-refresh-99ab",
    "hdr-7f3a9c1e55",
    "bearer+/=8d2b6a",
    "bearer%2B%2F%3D8d2b6a",
    "basic-pass-41c7",
    "QWxhZGRpbjpiYXNpYy1wYXNzLTQxYzc=",
    "userkey-5522aa91",
    "query-e19f0b77d2",
    "own-header-90aa17",
    "B00HOOK/x9y8z7w6v5u4",
    "hook-sig-77c0ffee",
    "hmac-secret-5a7b99",
    "c3RhbmRhcmQtd2ViaG9va3Mtc2VjcmV0LTE3",
    "standard-webhooks-secret-17",
    "sigv4-secret-e01d77aa",
    "sigv4-session-token-44bb",
    "AKIA-sigv4-id-9c0d",
    "file-first-0a1b2c3d",
    "file-second-4e5f6a7b",
    "query-name-secret-88ee",
    "capability-9e8d7c6b5a",
];

/// Everything that this test could see: logs, errors, recorded values.
#[derive(Clone, Default)]
struct Visible(Arc<Mutex<String>>);

impl Visible {
    fn add(&self, what: &impl Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?}").unwrap();
    }

    fn add_json(&self, what: &impl serde::Serialize) {
        writeln!(self.0.lock().unwrap(), "{}", serde_json::to_string(what).unwrap()).unwrap();
    }
}

impl io::Write for Visible {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Visible {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn variables() -> Variables {
    Variables::new(|name| {
        let value = match name {
            "HEADER_KEY" => "hdr-7f3a9c1e55",
            "TOKEN" => "bearer+/=8d2b6a",
            "USER" => "Aladdin",
            "PASSWORD" => "basic-pass-41c7",
            "USER_KEY" => "userkey-5522aa91",
            "QUERY_KEY" => "query-e19f0b77d2",
            "HMAC_SECRET" => "hmac-secret-5a7b99",
            "WEBHOOK_SECRET" => "whsec_c3RhbmRhcmQtd2ViaG9va3Mtc2VjcmV0LTE3",
            "AWS_ACCESS_KEY_ID" => "AKIA-sigv4-id-9c0d",
            "AWS_SECRET_ACCESS_KEY" => "sigv4-secret-e01d77aa",
            "AWS_SESSION_TOKEN" => "sigv4-session-token-44bb",
            _ => return None,
        };
        Some(value.into())
    })
}

/// One Api for each kind of secret, all at that origin.
fn apis(origin: &str) -> Vec<Api> {
    let new = || Api::with_variables("crm", variables()).base_url(&format!("{origin}/base"));
    let hook = format!("{origin}/services/T0/B00HOOK/x9y8z7w6v5u4?sig=hook-sig-77c0ffee");
    vec![
        new().header_key_env("X-Api-Key", "HEADER_KEY"),
        new().bearer_env("TOKEN"),
        new().basic_env("USER", "PASSWORD"),
        new().basic_key_env("USER_KEY"),
        new().query_key_env("api_key", "QUERY_KEY"),
        Api::with_variables("hook", Variables::new(|_| None)).secret_url(Secret::new(hook)),
        new().sign(HmacSigning::sha256("X-Signature").secret_env("HMAC_SECRET").timestamp_header("X-Time")),
        new().sign(StandardWebhooksSigning::secret_env("WEBHOOK_SECRET")),
        #[cfg(feature = "sigv4")]
        new().sign(bowline_client::SigV4::new("s3", "eu-central-1")),
    ]
}

/// A secret in a file that changes with each call.
#[tokio::test]
async fn no_value_of_a_file_is_in_an_error_and_none_of_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let values = ["file-first-0a1b2c3d", "file-second-4e5f6a7b"];
    std::fs::write(&path, values[0]).unwrap();
    let changed = path.clone();
    // The remote answers with both values, and changes the file while it works.
    let remote = Remote::new(move |nth, seen| {
        std::fs::write(&changed, values[nth % 2]).unwrap();
        let body = format!("{values:?} {{\"ssn\":\"078-05-1120\"}} {}", seen.uri);
        Response::builder().status(400).header("x-request-id", values[0]).body(Body::from(body)).unwrap()
    })
    .await;
    let file = path.display().to_string();
    let variables = Variables::new(move |name| (name == "CRM_KEY_FILE").then(|| file.clone()));
    let api = Api::with_variables("crm", variables)
        .base_url(&remote.url())
        .header_key_env("X-Api-Key", "CRM_KEY")
        .scrub_names(["ssn", "customer"]);
    let visible = Visible::default();
    for nth in 0..4 {
        let call =
            api.get("/x").query("customer", "query-name-secret-88ee").header("Customer", "own-header-90aa17");
        visible.add(&call);
        visible.add_json(&call.shape().fingerprint);
        let failure = crate::remote::refused(crate::remote::once(call).await);
        if nth > 1 {
            assert!(!format!("{failure:?}").contains("078-05"), "{failure:?}");
        }
        // The first answer echoes a value that nobody here has read yet.
        if nth > 0 {
            visible.add(&failure);
        }
    }
    visible.add(&api);
    let visible = visible.0.lock().unwrap();
    for secret in SECRETS {
        assert!(!visible.contains(secret), "{secret} in {visible}");
    }
    let sent: Vec<String> = remote.seen().iter().map(|seen| seen.header("x-api-key").to_owned()).collect();
    assert_eq!(sent, [values[0], values[1], values[0], values[1]]);
}

#[tokio::test]
async fn no_url_from_data_is_in_an_error_or_a_record() {
    let remote = Remote::new(|_, seen| echo(404, seen)).await;
    let visible = Visible::default();
    let api = Api::with_variables("files", Variables::new(|_| None)).divert(&remote.url()).public_web();
    let call = api.get_url("https://files.example.com/f/capability-9e8d7c6b5a?sig=capability-9e8d7c6b5a");
    visible.add(&call);
    visible.add_json(&call.shape().fingerprint);
    visible.add(&crate::remote::refused(crate::remote::once(call).await));
    let visible = visible.0.lock().unwrap();
    assert!(visible.contains("files.example.com") && !visible.contains("capability-9e8d7c6b5a"), "{visible}");
}

fn call(api: &Api) -> Call {
    api.post("").header("X-Auth-Token", "own-header-90aa17").json(&1)
}

/// A remote's most talkative answer: all it was sent, in the body and in headers.
fn echo(status: u16, seen: &Seen) -> Response<Body> {
    let headers: String =
        seen.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    let all = format!("{}\n{headers}", seen.uri);
    let one_line = HeaderValue::from_str(&all.replace('\n', " ")).unwrap();
    Response::builder()
        .status(status)
        .header("x-request-id", &one_line)
        .header("x-debug", one_line)
        .header("location", format!("http://elsewhere.example{}", seen.uri))
        .body(Body::from(format!("{{\"echo\":{}}}", Value::from(all))))
        .unwrap()
}

/// Makes the call in every way, and shows all there is to see of it.
async fn drive(visible: &Visible, api: &Api) {
    let api = api.clone().clock(Hand::new());
    let call = call(&api);
    visible.add(&api);
    visible.add(&call);
    visible.add_json(&call.shape().fingerprint);
    let attempt = Attempt::new("key-1", 1, LONG);
    let verdict = call.attempt(attempt.clone()).await;
    visible.add(&verdict);
    if let bowline_model::Verdict::Done(response) = &verdict {
        visible.add_json(response);
        visible.add(&response.text());
    }
    visible.add(&call.clone().decode::<Value>().attempt(attempt.clone()).await);
    visible.add(&call.clone().decode::<u8>().attempt(attempt).await);
    let never = bowline_model::RetryPolicy::never();
    let alone = self::call(&api.retry(never).attempt_timeout(LONG));
    if let Err(error) = alone.send().await {
        visible.add(&error);
        visible.add_json(&error);
        visible.add(&error.failure());
    }
}

/// Tokens asked for, refused, renewed, and echoed by the remote that they are for.
async fn drive_oauth(visible: &Visible, status: u16) {
    let remote = Remote::new(move |nth, seen| match seen.uri.path() {
        "/token" if status == 500 => echo(500, seen),
        "/token" => {
            let tokens = format!(
                r#"{{"access_token":"given-access-5e1f-{nth}","refresh_token":"given-refresh-99ab-{nth}","expires_in":60}}"#
            );
            Response::builder().status(200).body(Body::from(tokens)).unwrap()
        }
        _ => echo(status, seen),
    })
    .await;
    let variables = Variables::new(|name| match name {
        "SEED" => Some("seed-token-77d0a1c4".into()),
        "CLIENT" => Some("client".into()),
        "CLIENT_SECRET" => Some("oauth-secret-0b6e52".into()),
        _ => None,
    });
    let (vault, url) = (Vault::memory(), format!("{}/token", remote.url()));
    let oauth = OAuth::refresh_token(&url).refresh_token_env("SEED").client_env("CLIENT", "CLIENT_SECRET");
    let crm = Api::with_variables("crm", variables).base_url(&remote.url()).vault(vault.clone()).oauth(oauth);
    for call in [crm.get("/one"), crm.get("/two")] {
        visible.add(&call.attempt(Attempt::new("key-1", 1, LONG)).await);
    }
    visible.add(&(&crm, &vault, vault.connections()));
    visible.add(&vault.consent().status("crm", "default").await);
    let sent: String =
        remote.seen().iter().map(|seen| format!("{:?} {:?}", seen.headers, seen.body)).collect();
    assert!(sent.contains("seed-token-77d0a1c4"), "the provider itself receives it");
}

#[tokio::test]
async fn no_secret_is_in_any_error_log_record_or_debug() {
    let visible = Visible::default();
    // For the whole process: tracing forgets a scoped subscriber where another thread meets a log line first.
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(visible.clone()).init();

    for status in [200, 302, 400, 401, 404, 409, 429, 500, 503] {
        let remote = Remote::new(move |_, seen| echo(status, seen)).await;
        for api in apis(&remote.url()) {
            drive(&visible, &api).await;
        }
        let sent: String =
            remote.seen().iter().map(|seen| format!("{} {:?}", seen.uri, seen.headers)).collect();
        for secret in
            ["hdr-7f3a9c1e55", "bearer+/=8d2b6a", "QWxhZGRpbj", "query-e19f", "x9y8z7w6v5u4?sig=hook"]
        {
            assert!(sent.contains(secret), "the remote itself receives {secret}");
        }
    }
    let closing = raw(|_, mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    for origin in [format!("http://{closing}"), "http://127.0.0.1:1".into()] {
        for api in apis(&origin) {
            drive(&visible, &api).await;
        }
    }
    for status in [200, 401, 403, 500] {
        drive_oauth(&visible, status).await;
    }
    let (tls, pem, seen) = https("localhost", &["h2"]).await;
    for api in apis(&format!("https://localhost:{}", tls.port())) {
        drive(&visible, &api).await;
        drive(&visible, &api.trust_authority(&pem)).await;
    }
    assert!(seen.lock().unwrap().iter().any(|seen| seen.header("x-api-key") == "hdr-7f3a9c1e55"));

    let visible = visible.0.lock().unwrap();
    assert!(visible.contains("answered 401") && visible.contains("called"), "errors and logs were seen");
    assert!(visible.contains("hyper"), "logs of the libraries beneath were seen");
    for secret in SECRETS {
        if let Some(at) = visible.find(secret) {
            let start = visible[..at].char_indices().rev().nth(200).map_or(0, |(start, _)| start);
            panic!("{secret} is visible: …{}", &visible[start..at + secret.len()]);
        }
    }
}

#[tokio::test]
async fn a_short_key_is_in_no_error() {
    let remote = Remote::new(|_, seen| {
        let echo = seen.header("x-api-key");
        Response::builder()
            .status(400)
            .header("x-request-id", echo)
            .body(Body::from(echo.to_owned()))
            .unwrap()
    })
    .await;
    let api = remote.api().header_key("X-Api-Key", Secret::new("k-51a9"));
    let call = *crate::remote::refused(crate::remote::once(api.get("/")).await).call.unwrap();
    assert_eq!((call.request_id.as_deref(), call.body.as_deref()), (Some("[secret]"), Some("[secret]")));
}

#[test]
fn a_hook_is_shown_by_its_host_only() {
    let url = "https://hooks.example.com:8443/services/T0/B00HOOK/x9y8z7w6v5u4?sig=hook-sig-77c0ffee";
    let variables = Variables::new(move |name| (name == "HOOK_URL").then(|| url.into()));
    let hook = Api::with_variables("hook", variables).secret_url_env("HOOK_URL");
    let print = hook.post("").json(&1).shape().fingerprint.unwrap();
    assert_eq!((print.path.as_str(), print.query.as_str()), ("", ""));
    assert!(format!("{hook:?}").contains("Address(hooks.example.com:8443)"), "{hook:?}");
}

#[tokio::test]
async fn a_hook_is_called_as_it_is() {
    let remote = Remote::always(200, &[], "ok").await;
    let url = format!("{}/services/T0/B00HOOK/x9?sig=a%2Bb", remote.url());
    let hook = Api::new("hook").secret_url(Secret::new(url));
    assert_eq!(crate::remote::done(crate::remote::once(hook.post("").json(&1)).await).text(), "ok");
    assert_eq!(remote.seen()[0].uri, "/services/T0/B00HOOK/x9?sig=a%2Bb");
    let failure = crate::remote::refused(crate::remote::once(hook.post("/below")).await);
    assert!(failure.message.contains("this Api is one secret URL"), "{failure}");
}

#[test]
fn a_bad_secret_url_is_a_problem_that_does_not_show_it() {
    for url in
        ["hooks.example/T0/x9y8z7w6v5u4", "ftp://hooks.example/x9y8z7w6v5u4", "http://h.example/x9y8z7w6v5u4"]
    {
        let variables = Variables::new(move |name| (name == "HOOK_URL").then(|| url.into()));
        let _ = Api::with_variables("hook", variables.clone()).secret_url_env("HOOK_URL");
        let problems = format!("{:?}", variables.problems());
        assert!(problems.contains("HOOK_URL") && !problems.contains("x9y8"), "{problems}");
    }
}

#[tokio::test]
async fn a_hook_in_a_file_is_called_as_it_is_now() {
    let remote = Remote::always(400, &[], "x9y8z7w6v5u4-one a1b2c3d4e5f6-two").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hook");
    let put = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, format!("{}/T0/{text}\n", remote.url())).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    put("x9y8z7w6v5u4-one");
    let file = path.display().to_string();
    let variables = Variables::new(move |name| (name == "HOOK_URL_FILE").then(|| file.clone()));
    let hook = Api::with_variables("hook", variables).secret_url_env("HOOK_URL");
    crate::remote::refused(crate::remote::once(hook.post("")).await);
    put("a1b2c3d4e5f6-two");
    let failure = crate::remote::refused(crate::remote::once(hook.post("")).await);
    assert_eq!(failure.call.unwrap().body.unwrap(), "[secret] [secret]");
    std::fs::write(&path, "ftp://hooks.example/x9y8z7w6v5u4").unwrap();
    let failure = crate::remote::refused(crate::remote::once(hook.post("")).await);
    assert!(failure.message.contains("HOOK_URL_FILE has the scheme ftp"), "{failure}");
    let paths: Vec<String> = remote.seen().iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(paths, ["/T0/x9y8z7w6v5u4-one", "/T0/a1b2c3d4e5f6-two"]);
}
