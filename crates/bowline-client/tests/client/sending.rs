//! What arrives at the remote.

use std::{collections::HashMap, time::Duration};

use bowline_client::{Idempotency, Response};
use bowline_model::{Effect, Repeat, Secret, Variables};
use serde_json::{Value, json};

use crate::remote::{Remote, api_at, done, once, refused};

#[tokio::test]
async fn a_post_carries_body_key_agent_and_credential() {
    let crm = Remote::always(201, &[], r#"{"id":7}"#).await;
    let api = crm.api().app("pay ments", "1.2.0").header_key("X-Api-Key", Secret::new("sk-1234"));
    let call = api.post("/api/contacts").query("notify", false).query("q", "a&b ü");
    let contact = done(once(call.json(&json!({"b": 1, "a": "ü"})).decode::<Value>()).await);
    assert_eq!(contact["id"], 7);
    let [seen] = &crm.seen()[..] else { panic!("one request") };
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.uri, "/api/contacts?notify=false&q=a%26b+%C3%BC");
    assert_eq!(seen.body, r#"{"a":"ü","b":1}"#.as_bytes());
    for (name, value) in [
        ("content-type", "application/json"),
        ("idempotency-key", "key-1"),
        ("user-agent", "pay-ments/1.2.0"),
        ("x-api-key", "sk-1234"),
        ("accept", "application/json, */*;q=0.9"),
        ("cookie", ""),
        ("referer", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn every_kind_of_credential_arrives_as_its_standard_says() {
    let crm = Remote::always(200, &[], "").await;
    let secret = |text: &str| Secret::new(text);
    let variables = Variables::new(|name| match name {
        "USER" => Some("Aladdin".into()),
        "PASSWORD" => Some("open sesame".into()),
        "KEY" => Some("k-1".into()),
        _ => None,
    });
    let with_variables =
        || bowline_client::Api::with_variables("crm", variables.clone()).base_url(&crm.url());
    for (api, header, value) in [
        (crm.api().bearer(secret("t-1")), "authorization", "Bearer t-1"),
        // The example of RFC 7617.
        (
            crm.api().basic("Aladdin", secret("open sesame")),
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (
            with_variables().basic_env("USER", "PASSWORD"),
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (with_variables().basic_key_env("KEY"), "authorization", "Basic ay0xOg=="),
        (with_variables().bearer_env("KEY"), "authorization", "Bearer k-1"),
        (with_variables().header_key_env("X-Api-Key", "KEY"), "x-api-key", "k-1"),
    ] {
        done(once(api.get("/")).await);
        assert_eq!(crm.seen().last().unwrap().header(header), value);
    }
    done(once(with_variables().query_key_env("key", "KEY").get("/").query("a", 1)).await);
    assert_eq!(crm.seen().last().unwrap().uri, "/?a=1&key=k-1");
    assert_eq!(variables.problems(), []);
}

#[tokio::test]
async fn the_key_goes_where_the_remote_looks_for_it() {
    let crm = Remote::always(200, &[], "").await;
    let last = || crm.seen().pop().unwrap();
    for (method, expected) in
        [("GET", ""), ("HEAD", ""), ("PUT", ""), ("DELETE", ""), ("POST", "key-1"), ("PATCH", "key-1")]
    {
        let api = crm.api();
        let call = match method {
            "GET" => api.get("/"),
            "HEAD" => api.head("/"),
            "PUT" => api.put("/"),
            "DELETE" => api.delete("/"),
            "POST" => api.post("/"),
            _ => api.patch("/"),
        };
        let lifetime = Duration::from_secs(24 * 3600);
        let repeat = if expected.is_empty() { Repeat::Safe } else { Repeat::Keyed { lifetime } };
        assert_eq!(call.shape().repeat, repeat, "{method}");
        done(once(call).await);
        assert_eq!((last().method.as_str(), last().header("idempotency-key")), (method, expected));
    }

    done(once(crm.api().post("/").header("Idempotency-Key", "my own")).await);
    assert_eq!(last().header("idempotency-key"), "my own");

    let named =
        crm.api().idempotency(Idempotency::header("X-Request-Key")).key_lifetime(Duration::from_secs(60));
    assert_eq!(named.post("/").shape().repeat, Repeat::Keyed { lifetime: Duration::from_secs(60) });
    done(once(named.post("/")).await);
    assert_eq!((last().header("x-request-key"), last().header("idempotency-key")), ("key-1", ""));

    let in_body = crm.api().idempotency(Idempotency::body_field("idem"));
    done(once(in_body.post("/").json(&json!({"z": 1, "a": [1, 2]}))).await);
    assert_eq!(last().body, r#"{"a":[1,2],"idem":"key-1","z":1}"#);
    assert_eq!(last().header("idempotency-key"), "");
    done(once(in_body.post("/").json(&json!({"idem": "my own"}))).await);
    assert_eq!(last().body, r#"{"idem":"my own"}"#);
    done(once(in_body.post("/").form(&[("a", "b c")])).await);
    assert_eq!(last().body, "a=b+c&idem=key-1");
    let sent = crm.seen().len();
    for unfit in [in_body.post("/"), in_body.post("/").json(&[1]), in_body.post("/").body("x", "text/plain")]
    {
        assert!(refused(once(unfit).await).message.contains("\"idem\""));
    }
    assert_eq!(crm.seen().len(), sent);

    let none = crm.api().idempotency(Idempotency::None);
    assert_eq!(none.post("/").shape().repeat, Repeat::Safe);
    done(once(none.post("/")).await);
    assert_eq!(last().header("idempotency-key"), "");
}

#[test]
fn equal_values_have_equal_fingerprints_in_any_process() {
    let api = api_at("127.0.0.1:1".parse().unwrap());
    let fields: Vec<(String, u32)> = (0..100).map(|n| (format!("f{n}"), n)).collect();
    let shape = |fields: &mut dyn Iterator<Item = &(String, u32)>| {
        let map: HashMap<_, _> = fields.cloned().collect();
        api.post("/x").json(&map).shape()
    };
    assert_eq!(shape(&mut fields.iter()), shape(&mut fields.iter().rev()));
    let print = |call: bowline_client::Call| call.shape().fingerprint.unwrap();
    assert_ne!(print(api.post("/x").json(&1)), print(api.post("/x").json(&2)));
    assert_ne!(print(api.post("/x").query("a", 1)), print(api.post("/x").query("a", 2)));
    assert_eq!(print(api.get("x")), print(api.get("/x")));
    assert_eq!(print(api.get("/x").query("a", "b c")).to_string(), "GET crm /x?a=b+c");
}

#[test]
fn the_key_in_the_body_does_not_change_the_fingerprint() {
    let api = api_at("127.0.0.1:1".parse().unwrap());
    let in_body = api.clone().idempotency(Idempotency::body_field("idem"));
    let (plain, keyed) = (api.post("/").json(&json!({"a": 1})), in_body.post("/").json(&json!({"a": 1})));
    assert_eq!(plain.shape().fingerprint, keyed.shape().fingerprint);
}

#[tokio::test]
async fn an_answer_can_be_recorded_and_read() {
    let crm =
        Remote::always(200, &[("Location", "/contacts/7"), ("set-cookie", "session=x")], r#"{"id":7}"#).await;
    let live: Response = done(once(crm.api().get("/")).await);
    let recorded: Response = serde_json::from_str(&serde_json::to_string(&live).unwrap()).unwrap();
    assert_eq!(live, recorded);
    assert_eq!(
        (live.status(), live.header("location"), live.header("set-cookie")),
        (200, Some("/contacts/7"), None)
    );
    assert_eq!((live.text().as_str(), live.json::<Value>().unwrap()), (r#"{"id":7}"#, json!({"id": 7})));
}

#[tokio::test]
async fn an_empty_answer_is_nothing_or_unit() {
    let crm = Remote::always(204, &[], "").await;
    done(once(crm.api().delete("/").decode::<()>()).await);
    assert_eq!(done(once(crm.api().delete("/").decode::<Option<Value>>()).await), None);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told_and_nothing_is_sent() {
    let crm = Remote::always(200, &[], "").await;
    let api = crm.api();
    let unencodable = HashMap::from([(vec![1], 1)]);
    for (call, part) in [
        (api.get("/../admin"), "climbs"),
        (api.get("//evil.example"), "names a host"),
        (api.get("/x?a=b"), "use .query"),
        (api.post("/").json(&unencodable), "cannot be written as JSON"),
        (api.get("/").header("bad name", "x"), "\"bad name\""),
        (api.get("/").header("X-A", "a\r\nX-B: b"), "x-a holds a character"),
        (api.get("/").header("Host", "evil.example"), "host is set by the client itself"),
        (api.post("/").body("x", "text/\n"), "content-type holds a character"),
    ] {
        let failure = refused(once(call.clone()).await);
        assert!(failure.message.contains("was not sent: ") && failure.message.contains(part), "{failure}");
        assert!(!failure.retryable);
        assert!(call.send().await.unwrap_err().call().is_some(), "the same alone");
    }
    assert_eq!(crm.seen().len(), 0);
}

#[tokio::test]
async fn an_api_that_is_not_set_up_names_all_that_is_missing() {
    let variables = Variables::new(|name| (name == "BAD_URL").then(|| "http://crm.example".into()));
    let api = bowline_client::Api::with_variables("crm", variables.clone())
        .base_url_env("BAD_URL")
        .header_key_env("X-Api-Key", "CRM_API_KEY")
        .basic_env("CRM_USER", "CRM_PASSWORD")
        .user_agent("a\nb")
        .idempotency(Idempotency::header("a b"));
    let message = refused(once(api.get("/")).await).message;
    let names = ["BAD_URL", "CRM_API_KEY", "CRM_PASSWORD", "CRM_USER", "crm.idempotency", "crm.user_agent"];
    for name in names {
        assert!(message.contains(name), "{name} in {message}");
    }
    let problems: Vec<String> = variables.problems().into_iter().map(|(name, _)| name).collect();
    assert_eq!(problems, names);

    let nowhere = bowline_client::Api::with_variables("crm", variables);
    assert!(refused(once(nowhere.get("/")).await).message.contains("no base URL"));
}

#[test]
fn apis_and_calls_can_be_shared_and_sent() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<bowline_client::Api>();
    shared::<bowline_client::Call>();
    shared::<bowline_client::Call<Vec<u8>>>();
    shared::<Response>();
}
