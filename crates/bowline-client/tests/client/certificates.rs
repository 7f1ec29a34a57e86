//! Client certificates: a server that asks for one, and what is told when it does not like it.

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::http::Response;
use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_client::Api;
use bowline_model::Variables;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rcgen::{
    CertificateParams, CertifiedIssuer, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::remote::{Remote, done, later, once, refused};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    authority_of("the authority")
}

fn authority_of(name: &str) -> Issuer {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of that name in PEM, signed by that authority, for that key.
fn certificate(name: &str, key: &KeyPair, authority: &Issuer, end: i32) -> String {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(end, 1, 1);
    params.signed_by(key, authority).unwrap().pem()
}

/// The names of those whose certificates a server saw, one a connection.
type Names = Arc<Mutex<Vec<String>>>;

/// A server at `localhost` that talks to whom that authority knows. Gives its own certificate in PEM, too.
async fn server(authority: &Issuer) -> (SocketAddr, String, Names) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let (app, _) =
        Remote::app(|_, _| Response::builder().header("connection", "close").body("".into()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let names = Names::default();
    let seen = names.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, app, seen) = (acceptor.clone(), app.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                seen.lock().unwrap().push(name_in(&stream.get_ref().1.peer_certificates().unwrap()[0]));
                let service = TowerToHyperService::new(app);
                let _ =
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, own.cert.pem(), names)
}

/// Which of the tests' names is in a certificate.
fn name_in(certificate: &CertificateDer<'_>) -> String {
    let text = String::from_utf8_lossy(certificate).into_owned();
    let at = text.find("client-").unwrap();
    text[at..at + "client-1".len()].to_owned()
}

fn api(address: SocketAddr, authority: &str, certificate: &str, key: &str) -> (Api, Variables) {
    let (certificate, key) = (certificate.to_owned(), key.to_owned());
    let variables = Variables::new(move |name| match name {
        "CERT_PEM" => Some(certificate.clone()),
        "KEY_PEM" => Some(key.clone()),
        _ => None,
    });
    let api = Api::with_variables("bank", variables.clone())
        .base_url(&format!("https://localhost:{}", address.port()))
        .trust_authority(authority)
        .client_certificate_env("CERT_PEM", "KEY_PEM");
    (api, variables)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What PKCS #8 wraps: the key in the older form of its sort.
fn unwrapped(key: &KeyPair) -> Vec<u8> {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let long = usize::from(der[1].saturating_sub(0x80));
        let head = 2 + if der[1] >= 0x80 { long } else { 0 };
        let length = if der[1] >= 0x80 {
            der[2..head].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        } else {
            usize::from(der[1])
        };
        (&der[head..head + length], &der[head + length..])
    }
    let der = key.serialize_der();
    let (fields, _) = element(&der);
    let (_, fields) = element(fields);
    let (_, fields) = element(fields);
    element(fields).0.to_vec()
}

#[tokio::test]
async fn a_server_that_asks_sees_the_certificate_whatever_form_its_key_has() {
    let authority = authority();
    let (address, own, names) = server(&authority).await;
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    for (key, text) in [
        (&ec, ec.serialize_pem()),
        (&ec, pem("EC PRIVATE KEY", &unwrapped(&ec))),
        (&rsa, rsa.serialize_pem()),
        (&rsa, pem("RSA PRIVATE KEY", &unwrapped(&rsa))),
    ] {
        let certificate = certificate("client-1", key, &authority, 2090);
        let (api, variables) = api(address, &own, &certificate, &text);
        assert_eq!(variables.problems(), [], "{}", text.lines().next().unwrap());
        done(once(api.get("/x")).await);
    }
    assert_eq!(*names.lock().unwrap(), ["client-1"; 4]);
}

#[tokio::test]
async fn a_new_certificate_in_its_files_is_shown_by_the_next_connection() {
    let authority = authority();
    let (address, own, names) = server(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let paths = ["cert", "key"].map(|name| folder.path().join(name));
    let replace = |path: &std::path::Path, text: String| {
        let new = folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    };
    let put = |name: &str| {
        let key = KeyPair::generate().unwrap();
        replace(&paths[0], certificate(name, &key, &authority, 2090));
        replace(&paths[1], key.serialize_pem());
    };
    put("client-1");
    let files = paths.clone().map(|path| path.display().to_string());
    let variables = Variables::new(move |name| match name {
        "CERT_PEM_FILE" => Some(files[0].clone()),
        "KEY_PEM_FILE" => Some(files[1].clone()),
        _ => None,
    });
    let api = Api::with_variables("bank", variables.clone())
        .base_url(&format!("https://localhost:{}", address.port()))
        .trust_authority(&own)
        .client_certificate_env("CERT_PEM", "KEY_PEM");
    assert_eq!(variables.problems(), []);
    done(once(api.get("/x")).await);
    done(once(api.get("/x")).await);
    put("client-2");
    done(once(api.get("/x")).await);
    // A pair that does not fit is no reason to stop.
    replace(&paths[1], KeyPair::generate().unwrap().serialize_pem());
    done(once(api.get("/x")).await);
    assert_eq!(*names.lock().unwrap(), ["client-1", "client-1", "client-2", "client-2"]);
}

#[tokio::test]
async fn a_certificate_that_the_server_does_not_know_is_told_and_was_not_sent() {
    let authority = authority();
    let (address, own, names) = server(&authority).await;
    let key = KeyPair::generate().unwrap();
    let by = |other: &Issuer| {
        let certificate = certificate("client-1", &key, other, 2090);
        api(address, &own, &certificate, &key.serialize_pem()).0
    };
    let none = Api::with_variables("bank", Variables::new(|_| None))
        .base_url(&format!("https://localhost:{}", address.port()))
        .trust_authority(&own);
    for api in [by(&authority_of("another")), by(&authority_of("the authority")), none] {
        // `later` is: refused by nobody, as nothing reached the server behind its TLS.
        let failure = later(once(api.post("/x").json(&1)).await);
        assert!(failure.message.contains("the client certificate, or wants one"), "{failure:?}");
        assert!(failure.message.contains(".client_certificate_env("), "{failure}");
    }
    assert_eq!(names.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_or_its_key_is_a_problem_that_says_what_to_do() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let good = certificate("client-1", &key, &authority, 2090);
    let ended = certificate("client-1", &key, &authority, 2021);
    let own = key.serialize_pem();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let locked = pem("ENCRYPTED PRIVATE KEY", b"locked");
    for (certificate, key, variable, what) in [
        (good.as_str(), other.as_str(), "KEY_PEM", "is not the key of that certificate"),
        (&ended, &own, "CERT_PEM", "ended at 2021-01-01T00:00:00Z: put a newer one"),
        (&good, "nonsense", "KEY_PEM", "holds no key in PEM"),
        (&good, &good, "KEY_PEM", "holds no key in PEM"),
        (&good, &locked, "KEY_PEM", "openssl pkey"),
        ("nonsense", &own, "CERT_PEM", "holds no certificate in PEM"),
        (&own, &own, "CERT_PEM", "holds no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &own,
            "CERT_PEM",
            "cannot be used",
        ),
    ] {
        let (api, variables) = api("127.0.0.1:1".parse().unwrap(), &authority.pem(), certificate, key);
        let problems = variables.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].0 == variable && problems[0].1.contains(what), "{what}: {problems:?}");
        assert!(!problems[0].1.contains("-----BEGIN CERT") || what.contains("PEM"));
        refused(once(api.get("/x")).await);
    }
}

#[test]
fn in_tests_no_certificate_is_needed() {
    let variables = Variables::new(|_| None).with_stand_ins();
    let _ = Api::with_variables("bank", variables.clone())
        .base_url_env("BANK_URL")
        .client_certificate_env("CERT_PEM", "KEY_PEM");
    assert_eq!(variables.problems(), []);
}
