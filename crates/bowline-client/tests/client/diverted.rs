//! Calls that go elsewhere than the URL says, and stand-ins for what a test does not set.

use bowline_client::Api;
use bowline_model::{Effect, Secret, Variables};
use serde_json::json;

use crate::remote::{Remote, done, later, once, refused};

fn nothing_set() -> Variables {
    Variables::new(|_| None)
}

#[tokio::test]
async fn every_form_of_url_is_diverted_and_its_variable_is_not_needed() {
    let remote = Remote::always(200, &[], "{}").await;
    let variables = nothing_set();
    let api = || Api::with_variables("crm", variables.clone()).divert(&remote.url());
    for api in [
        api().base_url("https://crm.example.com/v1/"),
        api().base_url("https://crm.example.com"),
        api().base_url_env("CRM_BASE_URL"),
    ] {
        done(once(api.get("/contacts")).await);
    }
    for api in [api().secret_url(Secret::new("https://h.example/T0/x9")), api().secret_url_env("HOOK_URL")] {
        let call = api.post("").json(&json!({"text": "deployed"}));
        assert_eq!(call.shape().fingerprint.unwrap().path, "", "it is a secret URL as ever");
        done(once(call).await);
        refused(once(api.get("/below")).await);
    }
    let paths: Vec<String> = remote.seen().iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(paths, ["/v1/contacts", "/contacts", "/contacts", "/", "/"]);
    assert_eq!(variables.problems(), []);
}

#[tokio::test]
async fn the_base_of_a_diversion_may_have_a_path_of_its_own() {
    let remote = Remote::always(200, &[], "{}").await;
    let api = || Api::with_variables("crm", nothing_set()).divert(&format!("{}/staging/", remote.url()));
    done(once(api().base_url("https://crm.example.com/v1").get("/contacts")).await);
    done(once(api().secret_url_env("HOOK_URL").post("")).await);
    let paths: Vec<String> = remote.seen().iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(paths, ["/staging/v1/contacts", "/staging"]);
}

#[tokio::test]
async fn what_records_and_fingerprints_show_is_the_same_diverted_or_not() {
    let remote = Remote::always(200, &[], "{}").await;
    let plain = Api::new("crm").base_url("https://crm.example.com/v1").get("/contacts/7").query("a", 1);
    let diverted =
        Api::new("crm").divert(&remote.url()).base_url("https://crm.example.com/v1").get("/contacts/7");
    assert_eq!(diverted.query("a", 1).shape(), plain.shape());
}

#[tokio::test]
async fn a_diversion_that_comes_too_late_or_leads_nowhere_is_a_problem() {
    let variables = nothing_set();
    let late =
        Api::with_variables("crm", variables.clone()).base_url("https://a.example").divert("http://[::1]:1");
    refused(once(late.get("/")).await);
    assert_eq!(variables.problems(), [("crm.divert".into(), "comes after the URL: put it before".into())]);

    let api =
        Api::with_variables("crm", nothing_set()).divert("http://mock.example:80").base_url("https://a.b");
    let failure = refused(once(api.get("/")).await);
    assert!(failure.message.contains("crm.divert uses plain http to mock.example"), "{failure}");
}

#[tokio::test]
async fn what_is_diverted_sends_its_stand_in_credentials() {
    let remote = Remote::always(200, &[], "{}").await;
    let variables = nothing_set().with_stand_ins();
    let api =
        || Api::with_variables("crm", variables.clone()).divert(&remote.url()).base_url_env("CRM_BASE_URL");
    for api in [
        api().header_key_env("X-Api-Key", "CRM_API_KEY"),
        api().bearer_env("CRM_TOKEN"),
        api().basic_env("CRM_USER", "CRM_PASSWORD"),
        api().query_key_env("key", "CRM_QUERY_KEY"),
    ] {
        done(once(api.get("/")).await);
    }
    let seen = remote.seen();
    assert_eq!(seen[0].header("x-api-key"), "test-CRM_API_KEY");
    assert_eq!(seen[1].header("authorization"), "Bearer test-CRM_TOKEN");
    assert_eq!(seen[2].header("authorization"), "Basic dGVzdC1DUk1fVVNFUjp0ZXN0LUNSTV9QQVNTV09SRA==");
    assert_eq!(seen[3].uri.query(), Some("key=test-CRM_QUERY_KEY"));
    assert_eq!(variables.problems(), []);
}

#[tokio::test]
async fn a_url_without_a_value_in_tests_leads_to_no_host() {
    let variables = nothing_set().with_stand_ins();
    let api = Api::with_variables("crm", variables.clone()).base_url_env("CRM_BASE_URL");
    let failure = later(once(api.get("/")).await);
    assert!(failure.message.contains("no connection to stand-in.invalid"), "{failure}");
    assert_eq!(variables.problems(), []);
}
