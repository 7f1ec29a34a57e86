use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bowline_model::{Attempt, Effect, Failure, Secret, Variables, Verdict};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{HmacSigning, Response};

/// Names whose addresses are another one each time they are asked for.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>, AtomicUsize);

impl Lookup for Script {
    fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let next = self.0.lock().unwrap().pop_front().unwrap_or_default();
        Box::pin(async move { Ok(next) })
    }
}

fn script(answers: &[&[&str]]) -> Arc<Script> {
    let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
    Arc::new(Script(Mutex::new(answers.iter().map(parse).collect()), AtomicUsize::new(0)))
}

/// An Api of the public web, over http, at any port of `ports`, whose names resolve as the script says.
fn web(lookup: Arc<Script>, ports: &[u16]) -> Api {
    let web = Api::with_variables("attachments", Variables::new(|_| None)).public_web().allow_plain_http();
    let web = ports.iter().fold(web, |web, port| web.allow_port(*port));
    web.with(|settings| settings.web.as_mut().unwrap().lookup = lookup)
}

/// A server on loopback that answers with those heads in turn, and counts who connects.
async fn server(heads: Vec<String>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    tokio::spawn(async move {
        for head in heads {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap();
            log.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
            let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, seen)
}

async fn once(call: Call) -> Verdict<Response> {
    call.attempt(Attempt::new("key-1", 1, Duration::from_secs(60))).await
}

async fn refused(call: Call) -> Failure {
    match once(call).await {
        Verdict::Refused(failure) => {
            assert!(!failure.retryable, "{failure}");
            failure
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_way_of_writing_an_inner_address_is_refused() {
    let guard = Guard { plain_http: PlainHttp::Allowed, ..Guard::new() };
    for (host, rule) in [
        ("127.0.0.1", "loopback"),
        ("127.1", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f000001", "loopback"),
        ("0x7f.0.0.1", "loopback"),
        ("0177.0.0.1", "loopback"),
        ("017700000001", "loopback"),
        ("127.0.0.1.", "loopback"),
        ("%31%32%37.0.0.1", "loopback"),
        ("１２７.0.0.1", "loopback"),
        ("①②⑦.0.0.1", "loopback"),
        ("[::1]", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0", "unspecified"),
        ("[::]", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("[fd00::1]", "private"),
        ("[fec0::1]", "private"),
        ("169.254.169.254", "link-local"),
        ("2852039166", "link-local"),
        ("[fe80::1]", "link-local"),
        ("[fd00:ec2::254]", "private"),
        ("100.100.100.200", "shared"),
        ("168.63.129.16", "cloud's own"),
        ("192.0.0.192", "reserved"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("[2001:db8::1]", "documentation"),
        ("[3fff::1]", "documentation"),
        ("198.19.0.1", "benchmarks"),
        ("[2001:2::1]", "benchmarks"),
        ("[::ffff:127.0.0.1]", "stands for an IPv4"),
        ("[::ffff:8.8.8.8]", "stands for an IPv4"),
        ("[::127.0.0.1]", "stands for an IPv4"),
        ("[::ffff:0:127.0.0.1]", "stands for an IPv4"),
        ("[64:ff9b::7f00:1]", "stands for an IPv4"),
        ("[64:ff9b:1::a00:1]", "stands for an IPv4"),
        ("[2002:7f00:1::]", "stands for an IPv4"),
        ("[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "stands for an IPv4"),
        ("[100::1]", "reserved"),
        ("[5f00::1]", "reserved"),
        ("[4000::1]", "reserved"),
        ("localhost", "this machine"),
        ("LOCALHOST.", "this machine"),
        ("a.localhost", "this machine"),
        ("printer.local", "local network"),
        ("metadata.google.internal", "internal host"),
        ("redis", "single word"),
        ("redis.", "single word"),
    ] {
        let told = guard.read(&format!("http://{host}/x")).unwrap_err();
        assert!(told.contains(rule), "{host}: {told}");
    }
    for host in [
        "8.8.8.8",
        "[2606:4700::1111]",
        "example.com",
        "notlocalhost.com",
        "a.internal.example.com",
        "172.32.0.1",
    ] {
        assert!(guard.read(&format!("http://{host}/x")).is_ok(), "{host}");
    }
}

#[test]
fn a_url_is_https_on_its_own_port_and_names_no_user() {
    let guard = Guard::new();
    for (url, rule) in [
        ("http://example.com/", "plain http"),
        ("https://user@example.com/", "a user"),
        ("https://:pass@example.com/", "a user"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:6379/", "port 6379"),
        ("ftp://example.com/", "scheme ftp"),
        ("file:///etc/passwd", "scheme file"),
        ("gopher://example.com/", "scheme gopher"),
        ("javascript:alert(1)", "scheme javascript"),
        ("//example.com/", "is none"),
        ("/etc/passwd", "is none"),
        ("", "is none"),
    ] {
        let told = guard.read(url).unwrap_err();
        assert!(told.contains(rule), "{url}: {told}");
    }
    assert!(
        guard.read(&format!("https://example.com/{}", "x".repeat(9000))).unwrap_err().contains("9020 bytes")
    );
    assert_eq!(guard.read("https://example.com/x?a=b#here").unwrap().as_str(), "https://example.com/x?a=b");
}

#[tokio::test]
async fn a_name_that_resolves_to_the_inside_is_not_connected_to() {
    let (port, seen) = server(vec!["200 OK".into()]).await;
    for answer in [&["127.0.0.1"][..], &["::1"], &["8.8.8.8", "127.0.0.1"], &["::ffff:127.0.0.1"]] {
        let web = web(script(&[answer]), &[port]);
        let failure = refused(web.get_url(format!("http://files.example.com:{port}/x"))).await;
        assert!(failure.message.contains("its host resolves to a"), "{failure}");
        assert!(!format!("{failure:?}").contains("127.0.0.1"), "{failure:?}");
    }
    assert_eq!(seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_that_is_rebound_is_connected_to_where_it_was_checked() {
    let (port, seen) = server(vec!["200 OK".into(), "200 OK".into()]).await;
    // What the name says a moment later: another server, at the same port.
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).await.unwrap();
    let rebound = Arc::new(AtomicUsize::new(0));
    let count = rebound.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let lookup = script(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let api = web(lookup.clone(), &[port]).allow_internal_host("rebind.corp.example");
    assert!(matches!(
        once(api.get_url(format!("http://rebind.corp.example:{port}/x"))).await,
        Verdict::Done(_)
    ));
    assert_eq!(lookup.1.load(Ordering::SeqCst), 1, "checked and connected to by one look-up");
    assert_eq!((seen.lock().unwrap().len(), rebound.load(Ordering::SeqCst)), (1, 0));

    // Public at first, and inside at the next attempt: that one is checked anew.
    let lookup = script(&[&["127.0.0.1"]]);
    let api = web(lookup.clone(), &[port]);
    refused(api.get_url(format!("http://rebind.example.com:{port}/x"))).await;
    assert_eq!((lookup.1.load(Ordering::SeqCst), seen.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn an_internal_host_that_is_allowed_is_called_and_its_redirects_are_checked() {
    let (inner, inner_seen) = server(vec!["200 OK".into()]).await;
    for (location, rule) in [
        (format!("http://127.0.0.1:{inner}/"), "loopback"),
        (format!("http://localhost:{inner}/"), "this machine"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "link-local"),
        (format!("http://other.example.com:{inner}/"), "its host resolves to a loopback"),
        ("ftp://example.com/".to_owned(), "scheme ftp"),
        ("http://files.corp.example:25/".to_owned(), "port 25"),
    ] {
        let (port, seen) = server(vec![format!("302 Found\r\nlocation: {location}")]).await;
        let lookup = script(&[&["127.0.0.1"], &["127.0.0.1"]]);
        let web = web(lookup, &[port, inner]).allow_internal_host("files.corp.example");
        let failure = refused(web.get_url(format!("http://files.corp.example:{port}/x"))).await;
        assert!(failure.message.contains(rule), "{location}: {failure}");
        assert_eq!(seen.lock().unwrap().len(), 1, "{location}");
    }
    assert_eq!(inner_seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn an_allowed_host_may_not_lead_to_the_machines_own_credentials() {
    let web = web(script(&[&["169.254.169.254"]]), &[]).allow_internal_host("files.corp.example");
    let failure = refused(web.get_url("http://files.corp.example/x")).await;
    assert!(failure.message.contains("a link-local address"), "{failure}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_what_is_secret() {
    let (second, second_seen) = server(vec!["200 OK".into()]).await;
    let (first, first_seen) =
        server(vec![format!("302 Found\r\nlocation: http://b.corp.example:{second}/y?sig=1")]).await;
    let lookup = script(&[&["127.0.0.1"], &["127.0.0.1"]]);
    let web = web(lookup, &[first, second])
        .allow_internal_host("a.corp.example")
        .allow_internal_host("b.corp.example")
        .sign(HmacSigning::sha256("X-Signature").secret(Secret::new("a-signing-secret")));
    let call =
        web.get_url(format!("http://a.corp.example:{first}/x?token=t")).header("X-Auth-Token", "own-90aa17");
    assert!(matches!(once(call).await, Verdict::Done(_)));
    let (first, second) = (first_seen.lock().unwrap()[0].clone(), second_seen.lock().unwrap()[0].clone());
    for secret in ["x-signature", "x-auth-token"] {
        assert!(first.contains(secret) && !second.contains(secret), "{first}\n{second}");
    }
    assert!(second.starts_with("GET /y?sig=1 HTTP/1.1") && second.contains("user-agent: "), "{second}");
}

#[tokio::test]
async fn redirects_end_and_never_go_from_https_to_http() {
    let heads = (0..6).map(|nth| format!("302 Found\r\nlocation: /{nth}")).collect();
    let (port, seen) = server(heads).await;
    let lookup = script(&[&["127.0.0.1"][..]; 6]);
    let web = web(lookup, &[port]).allow_internal_host("a.corp.example");
    let failure = refused(web.get_url(format!("http://a.corp.example:{port}/x"))).await;
    assert!(failure.message.contains("more than 5 redirects"), "{failure}");
    assert_eq!(seen.lock().unwrap().len(), 6);

    let request = crate::attempt::Ready {
        method: Method::GET,
        url: "https://a.example.com/".parse().unwrap(),
        headers: reqwest::header::HeaderMap::new(),
        body: None,
    };
    let headers =
        [(reqwest::header::LOCATION, "http://a.example.com/".parse().unwrap())].into_iter().collect();
    let lead = crate::redirect::lead(web.settings(), &request, 302, &headers);
    assert!(matches!(lead, crate::redirect::Lead::Forbidden(what) if what.contains("https to http")));
}

#[tokio::test]
async fn such_an_api_has_no_credentials_and_takes_whole_urls_only() {
    let web = || Api::with_variables("attachments", Variables::new(|_| None)).public_web();
    let secret = || Secret::new("a-secret-key");
    for api in [
        web().bearer(secret()),
        web().header_key("X-Api-Key", secret()),
        web().query_key("key", secret()),
        Api::with_variables("attachments", Variables::new(|_| None)).bearer(secret()).public_web(),
    ] {
        let failure = refused(api.get_url("https://example.com/")).await;
        assert!(failure.message.contains("can have no credential"), "{failure}");
    }
    let failure = refused(web().get("/contacts")).await;
    assert!(failure.message.contains("is none"), "{failure}");
    let crm = Api::with_variables("crm", Variables::new(|_| None)).base_url("https://crm.example.com");
    let failure = refused(crm.get_url("https://crm.example.com/x")).await;
    assert!(failure.message.contains(".public_web()"), "{failure}");
    for api in [web().base_url("https://a.example"), Api::new("x").allow_port(1)] {
        assert!(refused(api.get_url("https://example.com/")).await.message.contains("not set up"));
    }
}

#[tokio::test]
async fn a_url_from_data_is_recorded_as_its_hash_and_told_by_its_host() {
    let web = Api::with_variables("attachments", Variables::new(|_| None)).public_web();
    let print = |url: &str| web.get_url(url).shape().fingerprint.unwrap();
    let one = print("https://files.example.com/7/cap-9f31?sig=5b");
    assert_eq!(one, print("https://files.example.com/7/cap-9f31?sig=5b"));
    assert_ne!(one, print("https://files.example.com/7/cap-9f31?sig=5c"));
    assert!(!one.to_string().contains("cap-9f31") && !one.to_string().contains("sig="), "{one}");
    let failure = refused(web.get_url("https://files.example.com:99/7/cap-9f31?sig=5b")).await;
    assert!(failure.message.starts_with("GET attachments (files.example.com:99) was not sent"), "{failure}");
    assert!(!format!("{failure:?}").contains("cap-9f31"));
}

#[tokio::test]
async fn in_a_test_urls_from_data_go_where_the_test_says() {
    let (port, seen) = server(vec!["200 OK".into()]).await;
    let web = Api::with_variables("attachments", Variables::new(|_| None))
        .divert(&format!("http://127.0.0.1:{port}"))
        .public_web();
    assert!(matches!(
        once(web.get_url("https://files.example.com/7/report.pdf?a=b")).await,
        Verdict::Done(_)
    ));
    assert!(seen.lock().unwrap()[0].starts_with("GET /7/report.pdf?a=b HTTP/1.1"));
    refused(web.get_url("https://127.0.0.1/x")).await;
}
