//! SOAP calls on the wire, and what every kind of answer means.

use std::sync::{Arc, Mutex};

use axum::{body::Body, http::Response};
use bowline_client::{
    Api,
    soap::{SoapFault, TokenKind, Wsdl},
};
use bowline_model::{BoxFuture, Clock, Effect, Error, Failure, Secret, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::remote::{Remote, done, later, once, refused, unknown};

const ORDERS: &str = include_str!("soap/orders.wsdl");
const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ENVELOPE_12: &str = "http://www.w3.org/2003/05/soap-envelope";

fn orders() -> Wsdl {
    Wsdl::read(ORDERS).unwrap()
}

/// The same service with SOAP 1.2.
fn orders_12() -> Wsdl {
    Wsdl::read(
        &ORDERS.replace("http://schemas.xmlsoap.org/wsdl/soap/", "http://schemas.xmlsoap.org/wsdl/soap12/"),
    )
    .unwrap()
}

fn envelope(space: &str, body: &str) -> String {
    format!(
        "<?xml version='1.0'?><e:Envelope xmlns:e='{space}'><e:Header/><e:Body>{body}</e:Body></e:Envelope>"
    )
}

fn order(id: &str) -> String {
    let order = format!("<order state='open'><customer>{id}</customer><total>19.90</total></order>");
    envelope(ENVELOPE, &format!("<GetOrderResponse xmlns='urn:orders'>{order}</GetOrderResponse>"))
}

async fn answering(status: u16, body: String) -> Remote {
    Remote::always(status, &[("content-type", "text/xml; charset=utf-8")], body).await
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    #[serde(rename = "@state")]
    state: String,
    customer: Option<String>,
    total: String,
    line: Vec<Value>,
}

#[tokio::test]
async fn each_version_has_its_own_headers() {
    let erp = answering(200, order("Jane")).await;
    let call = erp.api().soap(&orders(), "GetOrder").json(&json!({"id": 7})).decode::<Order>();
    let found = done(once(call).await);
    let expected =
        Order { state: "open".into(), customer: Some("Jane".into()), total: "19.90".into(), line: vec![] };
    assert_eq!(found, expected);
    let seen = &erp.seen()[0];
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/orders"));
    assert_eq!(seen.header("content-type"), "text/xml; charset=utf-8");
    assert_eq!(seen.header("soapaction"), "\"urn:orders/GetOrder\"");
    assert_eq!(seen.header("accept"), "text/xml, */*;q=0.1");
    assert_eq!(
        std::str::from_utf8(&seen.body).unwrap(),
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\">\
         <soap:Body><n1:GetOrder xmlns:n1=\"urn:orders\"><n1:id>7</n1:id></n1:GetOrder></soap:Body></soap:Envelope>"
    );
    // What answers a request of one version may be of the other.
    done(once(erp.api().soap(&orders_12(), "GetOrder").json(&json!({"id": 7})).decode::<Order>()).await);
    let seen = &erp.seen()[1];
    assert_eq!(
        seen.header("content-type"),
        "application/soap+xml; charset=utf-8; action=\"urn:orders/GetOrder\""
    );
    assert_eq!((seen.header("soapaction"), seen.header("accept")), ("", "application/soap+xml, */*;q=0.1"));
}

#[tokio::test]
async fn a_header_is_written_and_an_empty_answer_is_nothing() {
    let erp = answering(202, String::new()).await;
    let cancel = erp.api().soap(&orders(), "CancelOrder").json(&json!({"duplicateOf": 6, "id": 7}));
    done(once(cancel.clone().header("Tenant", &json!({"name": "acme"})).decode::<()>()).await);
    let body = String::from_utf8(erp.seen()[0].body.to_vec()).unwrap();
    assert!(
        body.contains("<soap:Header><n1:Tenant xmlns:n1=\"urn:orders\"><n1:name>acme</n1:name></n1:Tenant></soap:Header>")
            && body.contains("<n2:id>7</n2:id><n2:duplicateOf>6</n2:duplicateOf>"),
        "{body}"
    );
    let unknown = refused(once(cancel.header("Tenent", &json!({})).decode::<()>()).await);
    assert!(unknown.message.contains("no header \"Tenent\" in the WSDL: there is Tenant"), "{unknown}");
}

#[tokio::test]
async fn what_does_not_fit_is_told_and_nothing_is_sent() {
    let erp = answering(200, order("Jane")).await;
    let wsdl = orders();
    for (call, part) in [
        (erp.api().soap(&wsdl, "GetOrdr"), "no operation \"GetOrdr\": it has GetOrder, CancelOrder"),
        (erp.api().soap(&wsdl, "GetOrder").port("P"), "at the port \"P\": it has none"),
        (erp.api().soap(&wsdl, "GetOrder"), "GetOrder: id is missing: int"),
        (
            erp.api().soap(&wsdl, "GetOrder").json(&json!({"id": "x"})),
            "GetOrder: id must be int, but is the text \"x\"",
        ),
        (
            Api::new("erp")
                .base_url(&format!("{}/v2", erp.url()))
                .soap(&wsdl, "GetOrder")
                .json(&json!({"id": 1})),
            "its path in the WSDL, /orders, is not below that of the base URL, /v2",
        ),
    ] {
        let failure = refused(once(call.decode::<Value>()).await);
        assert!(failure.message.contains(part) && !failure.retryable, "{failure}");
    }
    assert_eq!(erp.seen().len(), 0);
}

#[tokio::test]
async fn calls_go_to_the_base_url_with_the_path_of_the_wsdl() {
    let erp = answering(200, order("Jane")).await;
    let wsdl =
        Wsdl::read(&ORDERS.replace("erp.example.com/orders", "inside:8080/ws/orders?v=1&amp;x")).unwrap();
    let call = |api: Api| api.soap(&wsdl, "GetOrder").json(&json!({"id": 7})).decode::<Value>();
    done(once(call(erp.api())).await);
    done(once(call(Api::new("erp").base_url(&format!("{}/ws", erp.url())))).await);
    done(once(call(Api::new("erp").base_url(&format!("{}/ws/orders", erp.url())))).await);
    done(once(call(Api::new("erp").divert(&erp.url()).base_url("https://erp.example.com/ws"))).await);
    for seen in erp.seen() {
        assert_eq!(seen.uri.to_string(), "/ws/orders?v=1&x");
    }
    let call = erp.api().soap(&wsdl, "GetOrder").path("/other").json(&json!({"id": 7}));
    done(once(call.decode::<Value>()).await);
    assert_eq!(erp.seen().last().unwrap().uri.to_string(), "/other");
    let secret = Api::new("erp").secret_url(Secret::new(format!("{}/hook/8f3a91c2", erp.url())));
    done(once(call_at(&secret)).await);
    assert_eq!(erp.seen().last().unwrap().uri.path(), "/hook/8f3a91c2");
}

fn call_at(api: &Api) -> bowline_client::Call<Value> {
    api.soap(&orders(), "GetOrder").json(&json!({"id": 7})).decode()
}

fn fault(code: &str) -> String {
    format!(
        "<e:Fault xmlns:x='urn:x'><faultcode>{code}</faultcode><faultstring>no order 7</faultstring>\
         <faultactor>urn:actor</faultactor>\
         <detail><NoSuchOrder xmlns='urn:orders'><id>7</id></NoSuchOrder><x:more>m</x:more></detail></e:Fault>"
    )
}

/// The kind of a verdict.
fn kind<T>(verdict: Verdict<T>) -> (&'static str, Failure) {
    match verdict {
        Verdict::Done(_) => panic!("done"),
        Verdict::Refused(failure) => ("refused", failure),
        Verdict::RetryAfter(failure) => ("later", failure),
        Verdict::Unknown(failure) if failure.retryable => ("unclear", failure),
        Verdict::Unknown(failure) => ("unclear for good", failure),
        Verdict::Wait { .. } => panic!("waits"),
    }
}

#[tokio::test]
async fn a_fault_means_what_its_code_says_in_a_200_too() {
    for (status, code, expected) in [
        (500, "e:Client", "refused"),
        (200, "e:Client", "refused"),
        (500, "e:Client.NoSuchOrder", "refused"),
        (500, "Client", "refused"),
        (500, "e:Server", "unclear"),
        (200, "e:Server", "unclear"),
        (500, "e:MustUnderstand", "refused"),
        (500, "e:VersionMismatch", "refused"),
        (500, "x:Busy", "unclear"),
        (500, "4711", "unclear"),
        (400, "x:Bad", "refused"),
        (503, "e:Server", "later"),
        (429, "e:Client", "later"),
        (401, "e:Server", "refused"),
    ] {
        let erp = answering(status, envelope(ENVELOPE, &fault(code))).await;
        let (verdict, failure) = kind(once(call_at(&erp.api())).await);
        assert_eq!(verdict, expected, "{status} {code}");
        let local = code.rsplit(':').next().unwrap();
        assert!(
            failure.message.contains(&format!("answered {status}: fault {local}: no order 7")),
            "{failure}"
        );
        assert_eq!(failure.call.as_ref().unwrap().code.as_deref(), Some(local));
        let error = Error::from(failure);
        let recorded: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
        let fault = SoapFault::of(&recorded).unwrap();
        assert_eq!((fault.code(), fault.reason(), fault.role()), (local, "no order 7", Some("urn:actor")));
        assert_eq!(fault.detail(), &json!({"NoSuchOrder": {"id": 7}, "more": "m"}));
    }
}

#[tokio::test]
async fn a_fault_of_soap_1_2_has_subcodes_and_languages() {
    let fault = "<e:Fault><e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value xmlns:m='u:m'>m:Bad</e:Value>\
        <e:Subcode><e:Value>e:Worse</e:Value></e:Subcode></e:Subcode></e:Code>\
        <e:Reason><e:Text xml:lang='de'>nein</e:Text><e:Text xml:lang='en-GB'>no</e:Text></e:Reason>\
        <e:Role>urn:role</e:Role><e:Detail><a/>text</e:Detail></e:Fault>";
    let erp = answering(400, envelope(ENVELOPE_12, fault)).await;
    let call = erp.api().soap(&orders_12(), "GetOrder").json(&json!({"id": 7})).decode::<Value>();
    let failure = refused(once(call).await);
    assert_eq!(failure.call.as_ref().unwrap().code.as_deref(), Some("Worse"));
    let fault = SoapFault::of(&failure.into()).unwrap();
    assert_eq!((fault.code(), fault.subcode(), fault.reason()), ("Sender", Some("Worse"), "no"));
    assert_eq!((fault.role(), fault.detail()), (Some("urn:role"), &json!({"a": ""})));
}

#[tokio::test]
async fn what_is_no_envelope_says_what_it_is() {
    for (kind, body, part) in [
        ("text/html", "<!DOCTYPE html><html><br></html>", "is HTML where a SOAP envelope was expected"),
        ("text/xml", "<html><body/></html>", "is HTML where a SOAP envelope was expected"),
        ("text/xml", "<a/>", "is a document of <a>, where a SOAP envelope was expected"),
        ("application/json", "{}", "where a SOAP envelope was expected (\"{}\")"),
        ("text/xml", "", "is empty where a SOAP envelope was expected"),
        ("text/xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "a document type (DOCTYPE)"),
        ("multipart/related; boundary=x", "--x", "has several parts (MTOM or attachments)"),
        ("text/xml; charset=koi8-r", "<a/>", "encoding \"koi8-r\", which is not read"),
    ] {
        let erp = Remote::always(200, &[("content-type", kind)], body).await;
        let failure = unknown(once(call_at(&erp.api())).await);
        assert!(failure.message.contains(part) && !failure.retryable, "{failure}");
    }
    let other = envelope(ENVELOPE, "<Other/>");
    let failure = unknown(once(call_at(&answering(200, other).await.api())).await);
    assert!(
        failure.message.contains("holds <Other> where <{urn:orders}GetOrderResponse> was expected"),
        "{failure}"
    );
    let failure = later(once(call_at(&answering(503, "<html/>".into()).await.api())).await);
    assert!(SoapFault::of(&failure.into()).is_none());
    let erp = answering(200, order("Jane")).await;
    let wrong = erp.api().soap(&orders(), "GetOrder").json(&json!({"id": 7})).decode::<Vec<u8>>();
    assert!(unknown(once(wrong).await).message.contains("does not fit its type"));
}

/// A clock whose time and chance are set.
struct Set(Mutex<(Timestamp, u64)>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn sleep(&self, _: std::time::Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        state.1
    }
}

#[tokio::test]
async fn a_username_token_is_new_at_every_attempt_and_in_no_fingerprint() {
    let erp = answering(200, order("Jane")).await;
    let clock = Arc::new(Set(Mutex::new(("2026-01-02T03:04:05.6Z".parse().unwrap(), 0))));
    let api = erp.api().clock(clock).username_token("b&b", Secret::new("pass-word-1"), TokenKind::Digest);
    let (call, plain) = (call_at(&api), call_at(&erp.api()));
    assert_eq!(call.shape().fingerprint, plain.shape().fingerprint);
    done(once(call.clone()).await);
    done(once(call).await);
    let bodies: Vec<String> =
        erp.seen().iter().map(|seen| String::from_utf8(seen.body.to_vec()).unwrap()).collect();
    assert_ne!(bodies[0], bodies[1]);
    for part in [
        "<soap:Header><wsse:Security xmlns:wsse=",
        "soap:mustUnderstand=\"1\"",
        "<wsse:Username>b&amp;b</wsse:Username>",
        "#PasswordDigest\">",
        "<wsu:Created>2026-01-02T03:04:05.600Z</wsu:Created>",
        "</wsse:Security></soap:Header><soap:Body><n1:GetOrder",
    ] {
        assert!(bodies[0].contains(part), "{part} in {}", bodies[0]);
    }
    assert!(!bodies[0].contains("pass-word-1"));
}

#[tokio::test]
async fn a_password_that_comes_back_is_not_kept() {
    let erp = Remote::new(|_, seen| {
        let told = String::from_utf8_lossy(&seen.body).replace('<', "&lt;");
        let fault =
            format!("<e:Fault><faultcode>e:Client</faultcode><faultstring>{told}</faultstring></e:Fault>");
        Response::builder().status(500).body(Body::from(envelope(ENVELOPE, &fault))).unwrap()
    })
    .await;
    let api = erp.api().username_token("bob", Secret::new("pass-word-1"), TokenKind::Text);
    let failure = refused(once(call_at(&api)).await);
    let kept = serde_json::to_string(&failure).unwrap();
    assert!(!kept.contains("pass-word-1") && kept.contains("[secret]"), "{kept}");
    assert!(String::from_utf8_lossy(&erp.seen()[0].body).contains(">pass-word-1</wsse:Password>"));
    assert!(!format!("{api:?}").contains("pass-word-1"));
}

#[tokio::test]
async fn a_wsdl_is_fetched_from_its_own_place_only() {
    let main = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><types>
        <s:schema xmlns:s="http://www.w3.org/2001/XMLSchema">
          <s:import namespace="u:1" schemaLocation="?xsd=1"/><s:import namespace="u:2" schemaLocation="sub/two.xsd"/>
          <s:import namespace="u:3" schemaLocation="http://other.example/3.xsd"/><s:import namespace="u:4" schemaLocation="/elsewhere.xsd"/>
        </s:schema></types></definitions>"#;
    let erp = Remote::new(move |_, seen| {
        let schema = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema"><include schemaLocation="../three.xsd"/></schema>"#;
        let text = match seen.uri.to_string().as_str() {
            "/ws/orders?wsdl" => main,
            "/ws/sub/two.xsd" => schema,
            "/ws/orders?xsd=1" | "/ws/three.xsd" => "<schema xmlns='http://www.w3.org/2001/XMLSchema'/>",
            other => panic!("{other}"),
        };
        Response::new(Body::from(text))
    })
    .await;
    let api = Api::new("erp").base_url(&format!("{}/ws", erp.url()));
    let wsdl = api.wsdl("/orders?wsdl").await.unwrap();
    assert_eq!(wsdl.missing(), [format!("{}/elsewhere.xsd", erp.url()), "http://other.example/3.xsd".into()]);
    let mut asked: Vec<String> = erp.seen().iter().map(|seen| seen.uri.to_string()).collect();
    asked.sort();
    assert_eq!(asked, ["/ws/orders?wsdl", "/ws/orders?xsd=1", "/ws/sub/two.xsd", "/ws/three.xsd"]);
}
