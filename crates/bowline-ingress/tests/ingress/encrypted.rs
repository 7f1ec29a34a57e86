//! TLS: who comes by it is served, who does not is told, and a renewed certificate needs no restart.

use std::{path::Path, sync::Arc, time::Duration};

use bowline_ingress::{ServeLimits, Server, Tls, TlsError};
use bowline_model::{Clock, SystemClock};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Client, Version};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    log,
    site::{PATH, Plan, Site, payment, plan, signed},
    wire::{PATIENCE, Wire, head},
};

const SHORT: Duration = Duration::from_millis(150);

/// A certificate for `localhost` in files, until it is dropped.
struct Certificate {
    folder: TempDir,
    pem: String,
}

impl Certificate {
    fn new() -> Self {
        let mut this = Self { folder: TempDir::new().unwrap(), pem: String::new() };
        this.renew(2050);
        this
    }

    /// Puts another pair into the files.
    fn renew(&mut self, ends: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        self.pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(self.chain(), &self.pem).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
    }

    fn chain(&self) -> std::path::PathBuf {
        self.folder.path().join("chain.pem")
    }

    fn key(&self) -> std::path::PathBuf {
        self.folder.path().join("key.pem")
    }

    fn tls(&self) -> Result<Tls, TlsError> {
        Tls::from_files(self.chain(), self.key(), Arc::new(SystemClock))
    }

    /// Trusts the certificate that the files held at the last renewal, and no other.
    fn client(&self) -> Client {
        self.client_with(|client| client)
    }

    fn client_with(&self, with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Client {
        let own = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        with(Client::builder().no_proxy().tls_certs_only([own])).build().unwrap()
    }
}

async fn site(certificate: &Certificate, limits: ServeLimits) -> Site {
    let tls = certificate.tls().unwrap();
    Plan { limits, server: Box::new(move |server: Server| server.tls(Some(tls))), ..plan() }.open().await
}

async fn deliver(client: &Client, site: &Site, id: &str) -> reqwest::Result<reqwest::Response> {
    let body = payment(id);
    let mut request = client.post(format!("https://localhost:{}{PATH}", site.at.port()));
    for (name, value) in signed(body.as_bytes(), SystemClock.now()) {
        request = request.header(name, value);
    }
    request.body(body).send().await
}

#[tokio::test]
async fn both_versions_of_http_come_by_tls() {
    let certificate = Certificate::new();
    let site = site(&certificate, ServeLimits::default()).await;
    let (two, one) = (certificate.client(), certificate.client_with(reqwest::ClientBuilder::http1_only));
    for (client, version, id) in [(two, Version::HTTP_2, "evt_1"), (one, Version::HTTP_11, "evt_2")] {
        let answer = deliver(&client, &site, id).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert!(answer.headers().contains_key("x-request-id"));
    }
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn plain_http_to_the_tls_port_is_told_what_to_do() {
    let certificate = Certificate::new();
    let site = site(&certificate, ServeLimits::default()).await;
    let body = payment("evt_1");
    let mut wire = Wire::to(site.at).await;
    wire.send(head("POST", PATH, &[], body.len()) + &body).await;
    let reply = wire.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (400, Some("close")));
    assert_eq!(reply.json()["hint"], "send it to https://, not http://");
    wire.closed().await;
    assert!(site.stored_nothing().await);
}

#[tokio::test]
async fn half_a_handshake_is_closed_and_stops_nobody() {
    let certificate = Certificate::new();
    let limits = ServeLimits { first_byte_max: SHORT, ..ServeLimits::default() };
    let site = site(&certificate, limits).await;
    let mut stuck = vec![];
    // Nothing; the beginning of a record; a record that announces more than comes.
    for half in [&b""[..], &[22, 3], &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let mut stream = tokio::net::TcpStream::connect(site.at).await.unwrap();
        stream.write_all(half).await.unwrap();
        stuck.push(stream);
    }
    for mut stream in stuck {
        let closed = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await;
        assert!(matches!(closed.expect("in time"), Ok(0) | Err(_)));
    }
    // The limit is for the handshake alone, which a busy machine may need more for than `SHORT`.
    let patient = self::site(&certificate, ServeLimits::default()).await;
    assert_eq!(deliver(&certificate.client(), &patient, "evt_1").await.unwrap().status(), 200);
}

/// Waits, by the machine's time, until new connections trust what the files hold.
async fn renewed(certificate: &Certificate, site: &Site, id: &str) {
    let started = SystemClock.monotonic();
    while deliver(&certificate.client(), site, id).await.is_err() {
        assert!(SystemClock.monotonic() - started < PATIENCE, "the new certificate is not used");
        SystemClock.sleep(SHORT).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_bad_one_is_not_and_nobody_is_cut_off() {
    let mut certificate = Certificate::new();
    let site = site(&certificate, ServeLimits::default()).await;
    let old = certificate.client();
    assert_eq!(deliver(&old, &site, "evt_1").await.unwrap().status(), 200);

    certificate.renew(2051);
    renewed(&certificate, &site, "evt_2").await;
    // The old client trusts no new connection: that it is answered shows that it still has its own.
    assert_eq!(deliver(&old, &site, "evt_3").await.unwrap().status(), 200);

    std::fs::write(certificate.key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let started = SystemClock.monotonic();
    while log::lines_with("is of no use: the old pair holds").is_empty() {
        assert!(SystemClock.monotonic() - started < PATIENCE, "nobody was told of the bad pair");
        SystemClock.sleep(SHORT).await;
    }
    assert_eq!(deliver(&certificate.client(), &site, "evt_4").await.unwrap().status(), 200);
    assert_eq!(deliver(&old, &site, "evt_5").await.unwrap().status(), 200);
}

fn problem(certificate: &Path, key: &Path) -> String {
    Tls::from_files(certificate, key, Arc::new(SystemClock)).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_used_is_told_by_its_file_and_without_the_key() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let nowhere = certificate.folder.path().join("nowhere.pem");
    let (chain, key) = (certificate.chain(), certificate.key());
    assert!(problem(&nowhere, &key).contains("nowhere.pem cannot be read: No such file"));
    assert!(problem(&chain, &nowhere).contains("nowhere.pem cannot be read: No such file"));
    assert!(problem(&key, &key).contains("holds no certificate in PEM"));
    assert!(problem(&chain, &chain).contains("holds no key in PEM"));
    assert!(problem(&chain, &other.key()).contains("key.pem is not the key of the certificate"));
    let secret = std::fs::read_to_string(&key).unwrap().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    std::fs::write(&nowhere, &secret).unwrap();
    let told = problem(&chain, &nowhere);
    assert!(told.contains("a key under a password"));
    assert!(!told.contains(secret.lines().nth(1).unwrap()));
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_served_and_spoken_of() {
    log::capture();
    let mut certificate = Certificate::new();
    certificate.renew(2021);
    let tls = certificate.tls().unwrap();
    assert_eq!(tls.ends().to_string(), "2021-01-01T00:00:00Z");
    let site = site(&certificate, ServeLimits::default()).await;
    assert!(deliver(&certificate.client(), &site, "evt_1").await.is_err(), "clients refuse it");
    assert!(!log::lines_with("the certificate has ended").is_empty());
}
