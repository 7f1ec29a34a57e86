//! TLS: whom the client trusts, and HTTP/2 over it.

use std::{net::SocketAddr, sync::Arc};

use axum::http::{Response, Version};
use bowline_client::Api;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::remote::{Remote, Seen, done, later, once};

/// An HTTPS server with a certificate for `name` that nobody signed but itself. Gives its address, its certificate
/// in PEM, and what it sees.
pub(crate) async fn https(
    name: &str,
    protocols: &[&str],
) -> (SocketAddr, String, Arc<std::sync::Mutex<Vec<Seen>>>) {
    let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let (app, seen) = Remote::app(|_, _| Response::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(app);
                let _ =
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, own.cert.pem(), seen)
}

fn api(address: SocketAddr) -> Api {
    Api::new("crm").base_url(&format!("https://localhost:{}", address.port()))
}

#[tokio::test]
async fn speaks_http_2_where_the_remote_does() {
    for (protocols, version) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)]
    {
        let (address, pem, seen) = https("localhost", protocols).await;
        done(once(api(address).trust_authority(&pem).post("/x").json(&1)).await);
        let seen = seen.lock().unwrap();
        assert_eq!((seen[0].version, seen[0].header("idempotency-key")), (version, "key-1"));
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_or_for_another_name_reaches_nobody() {
    let (address, _, seen) = https("localhost", &["h2"]).await;
    let failure = later(once(api(address).post("/x")).await);
    assert!(failure.message.contains("its certificate is not accepted"), "{failure}");
    assert_eq!(seen.lock().unwrap().len(), 0);

    let (address, pem, seen) = https("crm.example", &["h2"]).await;
    let failure = later(once(api(address).trust_authority(&pem).post("/x")).await);
    assert!(failure.message.contains("its certificate is not accepted"), "{failure}");
    assert_eq!(seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_remote_that_speaks_no_tls_is_not_reached() {
    let crm = Remote::always(200, &[], "").await;
    later(once(api(crm.address).post("/x")).await);
    assert_eq!(crm.seen().len(), 0);
}

#[tokio::test]
async fn an_authority_that_is_none_is_a_problem() {
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let variables = bowline_model::Variables::new(|_| None);
        let _ = Api::with_variables("crm", variables.clone()).trust_authority(pem);
        assert_eq!(variables.problems()[0].0, "crm.trust_authority", "{pem}");
    }
}
