//! What a remote asks to see when it is connected to: a client certificate (mutual TLS).
//!
//! The certificate and its key are looked at once per connection: where their files have changed, the next connection
//! shows the new ones. What must never happen here: the key in an error.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bowline_model::{Secret, certificate};
use jiff::Timestamp;
use rustls::{
    AlertDescription, Error, InconsistentKeys, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{
    Api,
    live::{self, LiveSecret},
    settings::Source,
    transport,
};

/// A certificate with its key, as they are now.
pub(crate) struct Certificate {
    chain: LiveSecret,
    key: LiveSecret,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// What it was read from.
    from: [Secret; 2],
    certified: Arc<CertifiedKey>,
}

/// What is wrong, and with which of the two.
#[derive(Debug)]
enum Unfit {
    Chain(String),
    Key(String),
}

impl Certificate {
    fn new(chain: LiveSecret, key: LiveSecret) -> Result<(Self, Timestamp), Unfit> {
        let from = live::together([&chain, &key]);
        let certified = Arc::new(read(&from)?);
        let ends = certificate::not_after(&certified.cert[0])
            .ok_or_else(|| Unfit::Chain("holds a certificate that says not how long it holds".into()))?;
        Ok((Self { chain, key, loaded: Mutex::new(Loaded { from, certified }) }, ends))
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let now = live::together([&self.chain, &self.key]);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if now.iter().zip(&loaded.from).all(|(now, then)| now.expose() == then.expose()) {
            return loaded.certified.clone();
        }
        match read(&now) {
            Ok(certified) => loaded.certified = Arc::new(certified),
            Err(Unfit::Chain(what)) => self.tell(&self.chain, &what),
            Err(Unfit::Key(what)) => self.tell(&self.key, &what),
        }
        // Told once; read again when one of them changes.
        loaded.from = now;
        loaded.certified.clone()
    }

    fn tell(&self, which: &LiveSecret, what: &str) {
        let variable = which.variable();
        tracing::warn!(variable, what, "a client certificate changed and is of no use: the old one holds");
    }
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Shows where it comes from.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?}, {:?})", self.chain, self.key)
    }
}

fn read([chain, key]: &[Secret; 2]) -> Result<CertifiedKey, Unfit> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.expose().as_bytes()).collect();
    let chain = chain.map_err(|error| Unfit::Chain(format!("is no certificate in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(Unfit::Chain("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into()));
    }
    let text = key.expose();
    if text.contains("ENCRYPTED") {
        let how = "openssl pkey -in key.pem -out open.pem";
        return Err(Unfit::Key(format!("is a key under a password, which nobody is here to type: {how}")));
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let forms = "PRIVATE KEY (PKCS #8), RSA PRIVATE KEY (PKCS #1) or EC PRIVATE KEY (SEC 1)";
        Unfit::Key(format!("holds no key in PEM: -----BEGIN {forms}"))
    })?;
    CertifiedKey::from_der(chain, key, &transport::provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Unfit::Key("is not the key of that certificate: they come as a pair".into())
        }
        Error::InvalidCertificate(what) => {
            Unfit::Chain(format!("holds a certificate that cannot be used: {what:?}"))
        }
        error => Unfit::Key(format!("holds a key that cannot be used: {error}")),
    })
}

/// Whether the remote ended a handshake over our certificate.
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::AlertReceived(
            AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                // Of the handshake: its signature is not by whom the certificate names.
                | AlertDescription::DecryptError
                | AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
        )
    )
}

/// Whether an error's text, in lower case, is about a certificate.
pub(crate) fn is_about(text: &str) -> bool {
    ["certificate", "unknownca", "accessdenied", "decrypterror", "handshakefailure"]
        .iter()
        .any(|word| text.contains(word))
}

/// Client certificates.
impl Api {
    /// Shows a client certificate to the remote, as mutual TLS wants it: the certificate with those that stand between it
    /// and its authority, and the key of the first, each as PEM text in its variable, or in the file that `NAME_FILE`
    /// names. Keys may be in PKCS #8, PKCS #1 or SEC 1, without a password. When the files change, new connections show
    /// the new certificate.
    ///
    /// # A bank that knows its clients by certificate
    /// ```
    /// use bowline_client::Api;
    ///
    /// let bank = Api::new("bank")
    ///     .base_url("https://bank.example.com")
    ///     .client_certificate_env("BANK_CERT_PEM", "BANK_KEY_PEM");
    /// ```
    pub fn client_certificate_env(self, certificate_variable: &str, key_variable: &str) -> Self {
        self.with(|settings| {
            // What stands in for them in tests is no certificate; there, nobody asks for one.
            let stand_in = String::new;
            let chain = settings.live(certificate_variable, "client certificate", stand_in);
            let key = settings.live_secret_or(key_variable, "key of the client certificate", stand_in);
            let (Some(chain), Some(key)) = (chain, key) else { return };
            if chain.current().expose().is_empty() || key.current().expose().is_empty() {
                return;
            }
            match Certificate::new(chain.clone(), key.clone()) {
                Ok((_, ends)) if ends <= settings.clock.now() => {
                    let what = format!("holds a certificate that ended at {ends}: put a newer one there");
                    settings.problem(source(&chain), what);
                }
                Ok((certificate, _)) => settings.certificate = Some(Arc::new(certificate)),
                Err(Unfit::Chain(what)) => settings.problem(source(&chain), what),
                Err(Unfit::Key(what)) => settings.problem(source(&key), what),
            }
        })
    }
}

fn source(secret: &LiveSecret) -> Source<'_> {
    secret.variable().map_or(Source::Code("client_certificate"), Source::Variable)
}
