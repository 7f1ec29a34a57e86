//! Signature Version 4: AWS's own cases, and what arrives.

use std::{collections::BTreeMap, fs, path::Path};

use bowline_client::{Api, SigV4, Sign, Signable};
use bowline_model::{Secret, Variables};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use url::Url;

use crate::remote::{Remote, done, once};

/// Their request lines hold dot segments, which no URL of this client does: they are gone before anything is signed.
const NOT_SENT: [&str; 4] = [
    "get-relative-relative-unnormalized",
    "get-relative-unnormalized",
    "get-slash-dot-slash-unnormalized",
    "get-slash-pointless-dot-unnormalized",
];
const CASES: usize = 38;

struct Case {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Reads `request.txt`. A header's value that goes on in the next line is one value (RFC 9112 §5.2).
fn read(path: &Path) -> Case {
    let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
    let head = head.trim_end().replace("\n ", " ");
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().trim_end_matches(" HTTP/1.1").split_once(' ').unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let (name, value) = (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        headers.append(name, value);
    }
    let method = method.parse().unwrap();
    Case { method, target: target.to_owned(), headers, body: Bytes::from(body.to_owned()) }
}

fn signing(context: &Value, target: &str) -> SigV4 {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = &context["credentials"];
    let [id, secret] = ["access_key_id", "secret_access_key"].map(|name| Secret::new(text(&keys[name])));
    let mut signing = SigV4::new(&text(&context["service"]), &text(&context["region"])).keys(id, secret);
    if let Some(token) = keys["token"].as_str() {
        signing = signing.session_token(Secret::new(token));
    }
    if context["omit_session_token"] == true {
        signing = signing.unsigned_session_token();
    }
    if context["sign_body"] == true {
        signing = signing.payload_hash_header();
    }
    // Of a path that has to be encoded the suite signs the path encoded once, as S3 does; services beside S3 want it twice.
    let is_encoded_once = target.contains(|c: char| !c.is_ascii() || c == ' ' || c == '%');
    if context["normalize"] == false || is_encoded_once {
        signing = signing.paths_as_sent();
    }
    signing
}

/// The signed headers of a case, as ours makes them.
fn sign(case: &mut Case, context: &Value) -> BTreeMap<String, String> {
    let host = case.headers.remove("host").unwrap();
    let mut url: Url = format!("https://{}{}", host.to_str().unwrap(), case.target).parse().unwrap();
    let path = case.target.split('?').next().unwrap();
    let mut request = Signable {
        method: &case.method,
        url: &mut url,
        headers: &mut case.headers,
        body: Some(&case.body),
        key: "key-1",
    };
    let now = context["timestamp"].as_str().unwrap().parse().unwrap();
    signing(context, path).sign(&mut request, now).unwrap();
    added(&case.headers)
}

fn added(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let made = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    made.iter().filter_map(|name| Some(((*name).to_owned(), text(headers.get(*name)?)))).collect()
}

#[test]
fn the_suite_of_aws_is_signed_as_aws_does() {
    let suite = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws_signing_suite"));
    let mut seen = vec![];
    for folder in fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let context: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("context.json")).unwrap()).unwrap();
        let mut case = read(&folder.join("request.txt"));
        if NOT_SENT.contains(&name.as_str()) {
            let url: Url = format!("https://a.example{}", case.target).parse().unwrap();
            assert_ne!(url.path(), case.target, "{name} can be sent");
        } else {
            let signed = added(&read(&folder.join("header-signed-request.txt")).headers);
            assert_eq!(sign(&mut case, &context), signed, "{name}");
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), CASES);
}

fn s3(remote: &Remote) -> Api {
    let variables = Variables::new(|name| {
        let value = match name {
            "AWS_ACCESS_KEY_ID" => "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY" => "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "AWS_SESSION_TOKEN" => "a-session-token",
            _ => return None,
        };
        Some(value.into())
    });
    Api::with_variables("files", variables).base_url(&remote.url()).sign(SigV4::new("s3", "eu-central-1"))
}

#[tokio::test]
async fn what_s3_signs_of_a_path_is_what_is_sent() {
    let remote = Remote::always(200, &[], "").await;
    let call = s3(&remote).put("/bucket/a+b (1)/ü//x=y").query("tagging", "a b+c").body("text", "text/plain");
    done(once(call).await);
    let seen = &remote.seen()[0];
    assert_eq!(seen.uri, "/bucket/a%2Bb%20%281%29/%C3%BC//x%3Dy?tagging=a%20b%2Bc");
    let authorization = seen.header("authorization");
    assert!(authorization.contains("/eu-central-1/s3/aws4_request, SignedHeaders="), "{authorization}");
    for header in ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"] {
        assert!(authorization.contains(header), "{header} in {authorization}");
    }
    assert_eq!(seen.header("x-amz-security-token"), "a-session-token");
    assert_eq!(
        seen.header("x-amz-content-sha256"),
        "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    );
}

#[test]
fn a_stream_is_sent_with_an_unsigned_payload() {
    let (mut url, mut headers) = ("https://b.example/x".parse().unwrap(), HeaderMap::new());
    let mut request =
        Signable { method: &Method::POST, url: &mut url, headers: &mut headers, body: None, key: "key-1" };
    let keys = SigV4::new("execute-api", "eu-central-1").keys(Secret::new("id"), Secret::new("secret"));
    keys.sign(&mut request, "2026-11-22T10:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    assert!(headers["authorization"].is_sensitive());
}

#[test]
fn keys_that_are_missing_are_named() {
    let variables = Variables::new(|_| None);
    let _ = Api::with_variables("files", variables.clone()).sign(SigV4::new("s3", "eu-central-1"));
    let missing: Vec<String> = variables.problems().into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
}
