//! The connections of one Api: pooled, HTTP/1.1 and 2, TLS by rustls.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Client, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use crate::{address::Address, settings::Settings};

/// An idle connection is dropped sooner than most servers drop it (Node.js: 5 s): a request on a connection that the
/// other side is just closing gets no answer, and nobody knows whether it arrived.
const POOL_IDLE_MAX: Duration = Duration::from_secs(4);

/// A silent HTTP/2 connection is asked this often whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// It has this long to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Certificate authorities that an Api trusts besides those of the system.
pub(crate) type Authorities = Vec<CertificateDer<'static>>;

/// Reads certificates in PEM.
///
/// # Errors
/// Says what is wrong with them.
pub(crate) fn authorities(pem: &str) -> Result<Authorities, String> {
    let read: Result<Authorities, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|error| format!("is not a certificate in PEM: {error}"))?;
    let mut known = RootCertStore::empty();
    for certificate in &read {
        known
            .add(certificate.clone())
            .map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    if read.is_empty() {
        Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into())
    } else {
        Ok(read)
    }
}

/// Opens the client of one Api. A pool belongs to one async runtime, so it is made at the first call, not at set-up.
///
/// # Errors
/// Says why TLS cannot be set up.
pub(crate) fn client(settings: &Settings) -> Result<Client, String> {
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls(settings)?)
        // Redirects are judged by us, with the Api's origin at hand.
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(POOL_IDLE_MAX)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT);
    // A proxy of the environment is for the world; what is on this machine is reached directly.
    if settings.address.as_ref().is_some_and(Address::is_loopback) || settings.is_diverted() {
        client = client.no_proxy();
    }
    // It would resolve names by itself, past the guard.
    if let Some(guard) = settings.guard() {
        client = client.no_proxy().dns_resolver(Arc::new(guard.clone()));
    }
    client.build().map_err(|error| format!("the HTTP client cannot be built: {error}"))
}

/// TLS settings. The common ones are read once per process: loading the system's authorities takes a while.
fn tls(settings: &Settings) -> Result<ClientConfig, String> {
    static COMMON: OnceLock<Result<ClientConfig, String>> = OnceLock::new();
    let mut config = if settings.authorities.is_empty() {
        COMMON.get_or_init(|| load_tls(&vec![])).clone()?
    } else {
        load_tls(&settings.authorities)?
    };
    if let Some(certificate) = &settings.certificate {
        config.client_auth_cert_resolver = certificate.clone();
        // A session that is resumed shows no certificate: it would go on with the one that began it.
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn load_tls(authorities: &Authorities) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match system(authorities, provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
        // An image built from scratch has no authorities of its own.
        Err(error) => {
            tracing::warn!(%error, "this system has no certificate authorities: using Mozilla's, built in");
            builder.with_root_certificates(built_in(authorities))
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Passed explicitly: a process-global provider may be another's, or missing.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn system(authorities: &Authorities, provider: Arc<CryptoProvider>) -> Result<Verifier, rustls::Error> {
    if authorities.is_empty() {
        Verifier::new(provider)
    } else {
        Verifier::new_with_extra_roots(authorities.iter().cloned(), provider)
    }
}

fn built_in(authorities: &Authorities) -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(authorities.iter().cloned());
    roots
}
