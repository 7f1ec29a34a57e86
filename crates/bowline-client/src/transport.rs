//! The connections of one Api: pooled, HTTP/1.1 and 2, TLS by rustls.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Client, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_platform_verifier::BuilderVerifierExt;

/// An idle connection is dropped sooner than most servers drop it (Node.js: 5 s): a request on a connection that the
/// other side is just closing gets no answer, and nobody knows whether it arrived.
const POOL_IDLE_MAX: Duration = Duration::from_secs(4);

/// A silent HTTP/2 connection is asked this often whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// It has this long to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the client of one Api. A pool belongs to one async runtime, so it is made at the first call, not at set-up.
pub(crate) fn client(connect_timeout: Duration, loopback: bool) -> Result<Client, String> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls()?)
        // Redirects are judged by us, with the Api's origin at hand.
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE_MAX)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT);
    // A proxy of the environment is for the world; what is on this machine is reached directly.
    let client = if loopback { client.no_proxy() } else { client };
    client.build().map_err(|error| format!("the HTTP client cannot be built: {error}"))
}

/// TLS settings, read once per process: loading the system's authorities takes a while.
fn tls() -> Result<ClientConfig, String> {
    static CONFIG: OnceLock<Result<ClientConfig, String>> = OnceLock::new();
    CONFIG.get_or_init(load_tls).clone()
}

fn load_tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let system = builder(&provider)?.with_platform_verifier().map(|config| config.with_no_client_auth());
    let mut config = match system {
        Ok(config) => config,
        // An image built from scratch has no authorities of its own.
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities on this system: using the built-in ones of Mozilla");
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            builder(&provider)?.with_root_certificates(roots).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))
}
