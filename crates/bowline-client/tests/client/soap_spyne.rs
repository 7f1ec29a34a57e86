//! SOAP with a service made of Spyne (PyPI), read from its own WSDL; what we send and read, beside what Zeep does.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use bowline_client::{
    Api,
    soap::{SoapFault, SoapVersion, TokenKind},
};
use bowline_model::{Error, RetryPolicy, Secret};
use bowline_testing::{Process, Program, peer};
use serde_json::{Map, Value, json};

use crate::soap_operations;

const NO_SPYNE: &str = "BOWLINE_PYTHON has no spyne and zeep: scripts/python makes one that has";
const PASSWORD: &str = "s3cret&<pass>";

struct Service {
    process: Process,
    python: std::path::PathBuf,
    url: String,
}

impl Service {
    fn start() -> Option<Self> {
        let python = peer::python("lxml, zeep, six, importlib.util as u; assert u.find_spec('spyne')")?;
        let program = Program::new(&python)
            .args(["-c", include_str!("peers/spyne_service.py")])
            .ready_within(Duration::from_secs(60))
            .ready_on_line("port ");
        let mut process = program.start().unwrap();
        let line = process.wait_for_line("port ", Duration::from_secs(1)).unwrap();
        let url = format!("http://127.0.0.1:{}", line.trim_start_matches("port ").trim());
        Some(Self { process, python, url })
    }

    fn api(&self) -> Api {
        Api::new("erp")
            .base_url(&self.url)
            .attempt_timeout(Duration::from_secs(60))
            .retry(RetryPolicy::never())
    }

    /// What it received since the last time: action, content type, message.
    async fn seen(&self) -> Vec<Value> {
        self.api().get("/seen").decode().send().await.unwrap()
    }

    /// What Zeep does with that job.
    fn zeep(&self, job: &Value) -> Vec<Value> {
        let mut zeep = Command::new(&self.python)
            .args(["-c", include_str!("peers/zeep_client.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        zeep.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
        let output = zeep.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", self.process.output());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Every kind of thing that the service's schemas have.
fn order() -> Value {
    json!({
        "@version": "v \"1\"",
        "id": 9_007_199_254_740_993_i64,
        "state": "in transit",
        "customer": {"@xsi:type": "Company", "name": "A & <B> ü", "born": "1980-02-29", "vat": "DE1", "staff": -7},
        "line": [
            {"@number": 1, "sku": " a\nb ", "quantity": 255, "price": {"@currency": "EUR", "$text": "1.10"}, "gift": true},
            {"sku": "c", "quantity": 0},
        ],
        "tags": {"string": ["x", "y"]},
        "placed": "2024-01-02T03:04:05.678901+01:00",
        "at": "03:04:05",
        "weight": 1.5,
        "total": "19.90",
        "big": "18446744073709551616",
        "photo": "aGk=",
        "iban": "DE02",
    })
}

fn calls() -> Vec<(&'static str, Value, Value)> {
    let small = json!({"id": 1, "customer": {"name": "B"}});
    vec![
        ("Echo", json!({"order": order()}), Value::Null),
        ("Echo", json!({"order": small}), Value::Null),
        ("Several", json!({"id": 7, "name": "x", "loud": false}), Value::Null),
        ("Lines", json!({}), Value::Null),
        ("Empty", json!({}), Value::Null),
        ("Bare", order(), Value::Null),
        ("BareText", json!("a <b>"), Value::Null),
        ("Whose", json!({"prefix": "> "}), json!({"Tenant": {"name": "acme", "test": true}})),
        ("Fail", json!({"code": "Client.Bad", "number": 1}), Value::Null),
        ("Fail", json!({"code": "Server", "number": 2}), Value::Null),
        ("Fail", json!({"code": "NotFound", "number": 3}), Value::Null),
    ]
}

/// The same arguments for Zeep.
fn for_zeep(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(for_zeep).collect(),
        Value::Object(object) => {
            let field = |(key, value): (&String, &Value)| match key.as_str() {
                "@xsi:type" => {
                    ("$type".to_owned(), format!("{{urn:peers:parties}}{}", value.as_str().unwrap()).into())
                }
                "$text" => ("_value_1".to_owned(), json!({"$decimal": value})),
                "photo" => (key.clone(), json!({"$bytes": value})),
                "total" | "big" => (key.clone(), json!({"$decimal": value})),
                _ => (key.trim_start_matches('@').to_owned(), for_zeep(value)),
            };
            Value::Object(object.iter().map(field).collect())
        }
        other => other.clone(),
    }
}

/// An answer without what the two write differently: names of attributes, what is not there.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => {
            let there = |(key, value): &(&String, &Value)| {
                *key != "@xsi:type"
                    && !value.is_null()
                    && value.as_array().is_none_or(|items| !items.is_empty())
            };
            let field = |(key, value): (&String, &Value)| match key.as_str() {
                "$text" => ("_value_1".to_owned(), plain(value)),
                _ => (key.trim_start_matches('@').to_owned(), plain(value)),
            };
            Value::Object(object.iter().filter(there).map(field).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Whatever became of a call, as Zeep's script prints it.
fn outcome(result: Result<Value, Error>) -> Value {
    match result {
        Ok(value) => json!({"value": plain(&value)}),
        Err(error) => {
            let fault = SoapFault::of(&error).unwrap_or_else(|| panic!("{error}"));
            json!({"code": fault.code(), "subcode": fault.subcode(), "message": fault.reason()})
        }
    }
}

async fn agrees_with_zeep(path: &str) {
    let Some(service) = Service::start() else {
        bowline_testing::skip!("requests_and_answers_agree_with_zeep", NO_SPYNE);
    };
    let wsdl = service.api().wsdl(&format!("/{path}/?wsdl")).await.unwrap();
    let mut ours = vec![];
    for (operation, input, headers) in calls() {
        let mut call = service.api().soap(&wsdl, operation).json(&input);
        for (name, value) in headers.as_object().into_iter().flatten() {
            call = call.header(name, value);
        }
        ours.push(outcome(call.decode::<Value>().send().await));
    }
    let our_requests = service.seen().await;

    let zeep_calls: Vec<Value> = calls()
        .into_iter()
        .map(|(operation, input, headers)| {
            let headers: Option<BTreeMap<String, Value>> = headers.as_object().map(|all| {
                all.iter()
                    .map(|(name, value)| (format!("{{urn:peers:orders}}{name}"), value.clone()))
                    .collect()
            });
            json!([operation, for_zeep(&input), headers])
        })
        .collect();
    let zeeps = service.zeep(&json!({"wsdl": format!("{}/{path}/?wsdl", service.url), "calls": zeep_calls}));
    let zeep_requests = service.seen().await;
    for (at, (operation, ..)) in calls().iter().enumerate() {
        let (our, zeep) = (&our_requests[at], &zeep_requests[at]);
        assert_eq!(our["message"], zeep["message"], "{operation}");
        if path == "soap11" {
            assert_eq!(our["action"], zeep["action"], "{operation}");
        }
        assert_eq!(action(&our["type"]), action(&zeep["type"]), "{operation}");
        let zeep = match &zeeps[at] {
            Value::Object(fault) if fault.contains_key("code") => {
                let subcode = fault["subcodes"].as_array().and_then(|all| all.last());
                json!({"code": fault["code"], "subcode": subcode, "message": fault["message"]})
            }
            value => plain(value),
        };
        let zeep = if zeep == json!({}) { json!({"value": null}) } else { zeep };
        assert_eq!(ours[at], zeep, "{operation}");
    }
    assert_eq!(our_requests.len(), zeep_requests.len());
    // What came back is what was sent.
    assert_eq!(ours[0]["value"], plain(&order()));
    assert_eq!(ours[5]["value"], plain(&order()));
}

/// Media type and action of a content type, whatever their spaces and quotes.
fn action(content_type: &Value) -> Vec<String> {
    let mut parts: Vec<String> = content_type
        .as_str()
        .unwrap()
        .split(';')
        .map(|part| part.trim().replace('"', "").to_lowercase())
        .collect();
    parts.sort();
    parts
}

#[tokio::test]
async fn operations_are_listed_as_the_service_defines_them_and_as_zeep_finds_them() {
    let Some(service) = Service::start() else {
        bowline_testing::skip!(
            "operations_are_listed_as_the_service_defines_them_and_as_zeep_finds_them",
            NO_SPYNE
        );
    };
    // Spyne gives each of its services all operations of the application.
    const SERVICES: [&str; 3] = ["OrderService", "BareService", "HeaderService"];
    let inputs = |ways: &[&str]| ways.iter().map(|way| (*way).to_owned()).collect::<Vec<_>>();
    let order = [
        "@version",
        "id",
        "state",
        "customer",
        "customer.name",
        "customer.born",
        "line",
        "line.@number",
        "line.sku",
        "line.quantity",
        "line.price",
        "line.price.@currency",
        "line.price.$text",
        "line.gift",
        "tags",
        "tags.string",
        "placed",
        "at",
        "weight",
        "total",
        "big",
        "photo",
        "card",
        "iban",
    ];
    let echo: Vec<String> =
        ["order".to_owned()].into_iter().chain(order.iter().map(|way| format!("order.{way}"))).collect();
    let operations = [
        ("Echo", echo),
        ("Several", inputs(&["id", "name", "loud"])),
        ("Lines", vec![]),
        ("Empty", vec![]),
        ("Fail", inputs(&["code", "number"])),
        ("Bare", inputs(&order)),
        ("BareText", vec![]),
        ("Whose", inputs(&["prefix"])),
    ];
    let of_service = |service| {
        operations.iter().map(move |(name, ways)| json!([service, "Orders", name, "document", ways]))
    };
    let expected: Vec<Value> = SERVICES.iter().flat_map(of_service).collect();
    for (path, version) in [("soap11", SoapVersion::V1_1), ("soap12", SoapVersion::V1_2)] {
        let address = format!("/{path}/?wsdl");
        let wsdl = service.api().wsdl(&address).await.unwrap();
        assert!(wsdl.operations().iter().all(|operation| operation.version() == version));
        let ours = soap_operations::listed(&wsdl);
        assert_eq!(ours, expected, "{path}");
        assert_eq!(ours, soap_operations::of_zeep(&service.python, &format!("{}{address}", service.url)));
    }
}

#[tokio::test]
async fn requests_answers_and_faults_of_soap_1_1_agree_with_zeep() {
    agrees_with_zeep("soap11").await;
}

#[tokio::test]
async fn requests_answers_and_faults_of_soap_1_2_agree_with_zeep() {
    agrees_with_zeep("soap12").await;
}

#[tokio::test]
async fn faults_are_data_and_say_whether_to_try_again() {
    let Some(service) = Service::start() else {
        bowline_testing::skip!("faults_are_data_and_say_whether_to_try_again", NO_SPYNE);
    };
    for (path, client, server) in [("soap11", "Client", "Server"), ("soap12", "Sender", "Receiver")] {
        let wsdl = service.api().wsdl(&format!("/{path}/?wsdl")).await.unwrap();
        let fail = async |code: &str| {
            let call = service.api().soap(&wsdl, "Fail").json(&json!({"code": code, "number": 5}));
            call.decode::<()>().send().await.unwrap_err()
        };
        let bad = fail("Client.Bad").await;
        let fault = SoapFault::of(&bad).unwrap();
        assert!(fault.code().starts_with(client), "{fault:?}");
        assert_eq!(fault.reason(), "no <good> & no bad: 5");
        assert_eq!(fault.detail(), &json!({"order": {"number": "5"}}));
        assert!(!bad.is_retryable() && !bad.is_unknown(), "{bad}");
        let text = bad.to_string();
        assert!(text.contains(&format!("fault {client}")) && text.contains("no <good> & no bad"), "{text}");
        let down = fail("Server.Busy").await;
        assert!(SoapFault::of(&down).unwrap().code().starts_with(server));
        assert!(down.is_retryable() && down.is_unknown(), "{down}");
        assert!(down.call().unwrap().code.is_some());
    }
}

#[tokio::test]
async fn username_tokens_are_let_in_as_those_of_zeep_are() {
    let Some(service) = Service::start() else {
        bowline_testing::skip!("username_tokens_are_let_in_as_those_of_zeep_are", NO_SPYNE);
    };
    let wsdl = service.api().wsdl("/soap11/?wsdl").await.unwrap();
    let whose = async |api: Api| {
        let call = api.soap(&wsdl, "BareText").path("/secure/soap11/").json("hi").decode::<String>();
        // Twice, as the service takes each nonce once only.
        call.clone().send().await?;
        call.send().await
    };
    for (kind, name) in [(TokenKind::Text, "text"), (TokenKind::Digest, "digest")] {
        service.seen().await;
        let api = service.api().username_token("bob", Secret::new(PASSWORD), kind);
        assert_eq!(whose(api.clone()).await.unwrap(), "you said hi");
        assert_eq!(whose(api.soap_timestamp(Duration::from_secs(60))).await.unwrap(), "you said hi");
        let ours = service.seen().await;
        let job = json!({
            "wsdl": format!("{}/soap11/?wsdl", service.url), "address": format!("{}/secure/soap11/", service.url),
            "token": name, "calls": [["BareText", "hi", null]],
        });
        assert_eq!(service.zeep(&job), [json!({"value": "you said hi"})]);
        let zeeps = service.seen().await;
        assert_eq!(token(&ours[0]), token(&zeeps[0]), "{name}");

        let wrong = service.api().username_token("bob", Secret::new("another-pass"), kind);
        let error = whose(wrong).await.unwrap_err();
        assert_eq!(SoapFault::of(&error).unwrap().code(), "FailedAuthentication");
        assert!(!error.is_retryable() && error.to_string().contains("username_token"), "{error}");
    }
    let nobody = whose(service.api()).await.unwrap_err();
    assert_eq!(SoapFault::of(&nobody).unwrap().code(), "InvalidSecurity");
}

/// The names within a username token, with what is the same for all tokens of its kind.
fn token(request: &Value) -> Vec<String> {
    fn walk(node: &Value, found: &mut Vec<String>) {
        let name = node[0].as_str().unwrap();
        let kind = node[1]
            .as_array()
            .unwrap()
            .iter()
            .find(|attribute| attribute[0] == "Type" || attribute[0] == "EncodingType");
        found.push(format!("{name} {}", kind.map_or("", |kind| kind[1].as_str().unwrap())));
        node[3].as_array().unwrap().iter().for_each(|child| walk(child, found));
    }
    let mut found = vec![];
    let security = &request["message"][3][0][3][0];
    assert!(security[0].as_str().unwrap().ends_with("}Security"), "{request}");
    walk(security[3].as_array().unwrap().last().unwrap(), &mut found);
    found.sort();
    found
}
