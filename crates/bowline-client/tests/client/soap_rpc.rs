//! SOAP with RPC/literal messages: a service made of the package `soap` (npm), beside what Zeep does with it.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use bowline_client::{
    Api,
    soap::{SoapFault, TokenKind, Wsdl},
};
use bowline_model::{RetryPolicy, Secret};
use bowline_testing::{Process, peer};
use serde_json::{Value, json};

use crate::soap_operations;

const STOCK: &str = include_str!("soap/stock.wsdl");
const NO_SOAP: &str = "BOWLINE_NODE has no soap: scripts/node makes one that has";
const PASSWORD: &str = "s3cret&<pass>";

struct Service {
    _process: Process,
    url: String,
}

impl Service {
    fn start() -> Option<Self> {
        let node = peer::node("soap", include_str!("peers/soap_rpc.mjs"))?;
        let mut process = node.env("WSDL", STOCK).ready_on_line("port ").start().unwrap();
        let line = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
        let url = format!("http://127.0.0.1:{}", line.trim_start_matches("port ").trim());
        Some(Self { _process: process, url })
    }

    fn api(&self) -> Api {
        Api::new("stock")
            .base_url(&self.url)
            .attempt_timeout(Duration::from_secs(60))
            .retry(RetryPolicy::never())
    }

    /// The bodies it received since the last time.
    async fn seen(&self) -> Vec<String> {
        self.api().get("/seen").decode().send().await.unwrap()
    }
}

/// What is in the body of a message: names with their namespaces, attributes, texts.
fn plain(python: &std::path::Path, message: &str) -> Value {
    const SCRIPT: &str = r#"
import json, sys
from lxml import etree
def plain(e):
    return [e.tag, sorted(e.attrib.items()), (e.text or "").strip(), [plain(c) for c in e]]
print(json.dumps([plain(e) for e in etree.fromstring(sys.stdin.buffer.read()).find("{*}Body")]))
"#;
    let mut script = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    serde_json::from_slice(&script.wait_with_output().unwrap().stdout).unwrap()
}

fn zeep(python: &std::path::Path, job: &Value) -> Value {
    let mut zeep = Command::new(python)
        .args(["-c", include_str!("peers/zeep_client.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    zeep.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&zeep.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn rpc_requests_answers_and_faults_agree_with_zeep() {
    let Some(service) = Service::start() else {
        bowline_testing::skip!("rpc_requests_answers_and_faults_agree_with_zeep", NO_SOAP);
    };
    let Some(python) = peer::python("lxml, zeep") else {
        bowline_testing::skip!(
            "rpc_requests_answers_and_faults_agree_with_zeep",
            "BOWLINE_PYTHON has no zeep"
        );
    };
    let wsdl = Wsdl::read(STOCK).unwrap();
    let item = json!({"sku": "a <b>", "quantity": 2, "place": ["p"], "@checked": false});
    let call = |operation: &str, input: Value| service.api().soap(&wsdl, operation).json(&input);
    let sum: i32 = call("Add", json!({"b": 2, "a": 40})).decode().send().await.unwrap();
    assert_eq!(sum, 42);
    let moved: Value = call("Move", json!({"to": "b", "item": item})).decode().send().await.unwrap();
    let expected = json!({"sku": "a <b>", "quantity": 2, "place": ["p", "b"], "@checked": false});
    assert_eq!(moved, json!({"item": expected, "note": "moved to b"}));
    let refused = call("Refuse", json!({"why": "Client.Busy"})).decode::<()>().send().await.unwrap_err();
    let fault = SoapFault::of(&refused).unwrap();
    assert_eq!((fault.code(), fault.reason()), ("Client.Busy", "refused: Client.Busy"));
    assert_eq!(fault.detail(), &json!({"shelf": {"name": "A <1>"}}));
    assert!(!refused.is_retryable());
    let ours = service.seen().await;

    let job = json!({
        "wsdl": format!("{}/stock?wsdl", service.url), "address": format!("{}/stock", service.url),
        "calls": [
            ["Add", {"a": 40, "b": 2}, null],
            ["Move", {"item": {"sku": "a <b>", "quantity": 2, "place": ["p"], "checked": false}, "to": "b"}, null],
            ["Refuse", {"why": "Client.Busy"}, null],
        ],
    });
    let zeeps = zeep(&python, &job);
    assert_eq!(zeeps[0]["value"], 42);
    assert_eq!(zeeps[1]["value"]["item"]["place"], json!(["p", "b"]));
    assert_eq!(
        (zeeps[2]["code"].as_str(), zeeps[2]["detail"].as_str()),
        (Some("Client.Busy"), Some("A <1>"))
    );
    let theirs = service.seen().await;
    assert_eq!((ours.len(), theirs.len()), (3, 3));
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(plain(&python, our), plain(&python, their));
    }
    let missing = call("Add", json!({"a": 1})).decode::<i32>().send().await.unwrap_err();
    assert!(missing.to_string().contains("Add: b is missing: int"), "{missing}");
}

#[tokio::test]
async fn operations_are_listed_as_the_package_tells_them_and_as_zeep_finds_them() {
    const NAME: &str = "operations_are_listed_as_the_package_tells_them_and_as_zeep_finds_them";
    let Some(service) = Service::start() else { bowline_testing::skip!(NAME, NO_SOAP) };
    let Some(python) = peer::python("lxml, zeep") else {
        bowline_testing::skip!(NAME, "BOWLINE_PYTHON has no zeep");
    };
    let expected = [
        json!(["Stock", "Stock", "Add", "rpc", ["a", "b"]]),
        json!([
            "Stock",
            "Stock",
            "Move",
            "rpc",
            ["item", "item.@checked", "item.sku", "item.quantity", "item.place", "to"]
        ]),
        json!(["Stock", "Stock", "Refuse", "rpc", ["why"]]),
    ];
    let ours = soap_operations::listed(&service.api().wsdl("/stock?wsdl").await.unwrap());
    assert_eq!(ours, expected);
    assert_eq!(ours, soap_operations::of_zeep(&python, &format!("{}/stock?wsdl", service.url)));
}

#[tokio::test]
async fn username_tokens_are_taken_by_the_soap_package() {
    let Some(service) = Service::start() else {
        bowline_testing::skip!("username_tokens_are_taken_by_the_soap_package", NO_SOAP);
    };
    let wsdl = Wsdl::read(STOCK).unwrap();
    for (path, kind) in [("/text", TokenKind::Text), ("/digest", TokenKind::Digest)] {
        let add = |password: &str| {
            let api = service.api().username_token("bob", Secret::new(password), kind);
            api.soap(&wsdl, "Add").path(path).json(&json!({"a": 1, "b": 2})).decode::<i32>().send()
        };
        assert_eq!(add(PASSWORD).await.unwrap(), 3);
        assert!(add("another-pass").await.is_err());
    }
}
