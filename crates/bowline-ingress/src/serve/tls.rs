//! TLS from two files, looked at again every few seconds: a renewed certificate needs no restart.
//!
//! What must never happen here: a bad new pair in place of a good old one, a key in an error or in the log.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bowline_model::{Clock, certificate};
use jiff::Timestamp;
use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest file that is read: a chain has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// A certificate that ends sooner than this is spoken of, at the start and then once a day.
const ENDS_SOON: Duration = Duration::from_hours(7 * 24);
const LOOKS_PER_DAY: u32 = 24 * 60 * 60 / 5;

/// A certificate chain and its key, from files in PEM.
///
/// The files are read again every 5 seconds. When their content has changed, new connections get the new certificate;
/// connections that are open stay open. A new pair that cannot be used is logged, and the old one holds.
///
/// Speaks TLS 1.2 and 1.3, and offers HTTP/2 and HTTP/1.1 (ALPN, RFC 7301).
#[derive(Clone)]
pub struct Tls {
    files: Files,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    clock: Arc<dyn Clock>,
}

/// Why a certificate and its key cannot be used. Says nothing of the key itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// It is about the certificate's file.
    #[error("{0}")]
    Certificate(String),
    /// It is about the key's file.
    #[error("{0}")]
    Key(String),
}

impl Tls {
    /// Reads both files: the chain, the server's own certificate first, and its key (PKCS #8, PKCS #1 or SEC 1).
    ///
    /// # Errors
    /// [`TlsError`]: a file that is missing or not in PEM, a key under a password, a key of another certificate. That a
    /// certificate has ended is no error: see [`ends`](Self::ends).
    pub fn from_files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        let found = files.read_now()?;
        let current = Arc::new(Current(RwLock::new(Arc::new(found))));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files, current, config: Arc::new(config), clock })
    }

    /// When the certificate in use ends.
    pub fn ends(&self) -> Timestamp {
        self.current.get().ends
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Looks at the files again and again. Never ends.
    pub(super) async fn keep_fresh(&self) {
        let mut unfit = Unfit::default();
        let mut looks = 0;
        loop {
            if looks % LOOKS_PER_DAY == 0 {
                self.tell_of_end();
            }
            looks = looks.wrapping_add(1);
            pause().await;
            self.look(&mut unfit).await;
        }
    }

    async fn look(&self, unfit: &mut Unfit) {
        match self.files.read().await {
            Ok(found) if found.digest == self.current.get().digest => *unfit = Unfit::default(),
            Ok(found) => {
                *unfit = Unfit::default();
                let ends = found.ends;
                self.current.set(Arc::new(found));
                tracing::info!(%ends, certificate = %self.files.certificate.display(), "a new certificate is in use");
                self.tell_of_end();
            }
            Err(error) if unfit.is_worth_telling(&error) => {
                tracing::error!(%error, "the certificate or its key changed and is of no use: the old pair holds");
            }
            Err(_told_or_half_written) => {}
        }
    }

    fn tell_of_end(&self) {
        let (ends, now) = (self.ends(), self.clock.now());
        let certificate = self.files.certificate.display();
        if ends <= now {
            tracing::error!(%ends, %certificate, "the certificate has ended: clients refuse it; renew it");
        } else if ends.duration_since(now).unsigned_abs() < ENDS_SOON {
            tracing::warn!(%ends, %certificate, "the certificate ends soon; renew it");
        }
    }
}

/// Shows where it comes from.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What was wrong at the last look, and how often in a row. The two files are never written at once: a pair that does
/// not fit together is worth a word only if it is still so at the next look, and then one.
#[derive(Debug, Default)]
struct Unfit {
    error: Option<TlsError>,
    looks: u32,
}

impl Unfit {
    fn is_worth_telling(&mut self, error: &TlsError) -> bool {
        if self.error.as_ref() == Some(error) {
            self.looks += 1;
        } else {
            *self = Self { error: Some(error.clone()), looks: 1 };
        }
        self.looks == 2
    }
}

/// The pair that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<Pair>>);

struct Pair {
    certified: Arc<CertifiedKey>,
    ends: Timestamp,
    /// Of both files' bytes.
    digest: [u8; 32],
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Current {
    fn get(&self) -> Arc<Pair> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, pair: Arc<Pair>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.get().certified))
    }
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// At the start, where nothing else runs yet.
    fn read_now(&self) -> Result<Pair, TlsError> {
        let read = |path: &Path| {
            let file = std::fs::File::open(path)?;
            let mut bytes = vec![];
            io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes)?;
            Ok(bytes)
        };
        self.pair(read(&self.certificate), read(&self.key))
    }

    async fn read(&self) -> Result<Pair, TlsError> {
        let read = async |path: &Path| {
            let mut bytes = vec![];
            tokio::fs::File::open(path).await?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
            Ok(bytes)
        };
        self.pair(read(&self.certificate).await, read(&self.key).await)
    }

    fn pair(&self, chain: io::Result<Vec<u8>>, key: io::Result<Vec<u8>>) -> Result<Pair, TlsError> {
        let whole = |path: &Path, bytes: io::Result<Vec<u8>>| match bytes {
            Ok(bytes) if bytes.len() as u64 <= FILE_BYTES_MAX => Ok(bytes),
            Ok(_) => Err(format!("{} is longer than {FILE_BYTES_MAX} bytes", path.display())),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        };
        let chain = whole(&self.certificate, chain).map_err(TlsError::Certificate)?;
        let key = whole(&self.key, key).map_err(TlsError::Key)?;
        let digest = Sha256::new()
            .chain_update((chain.len() as u64).to_be_bytes())
            .chain_update(&chain)
            .chain_update(&key)
            .finalize();
        let certified = certified(&chain, &key).map_err(|error| error.of(self))?;
        let ends = certificate::not_after(&certified.cert[0]).ok_or_else(|| {
            TlsError::Certificate("holds a certificate that says not how long it holds".into()).of(self)
        })?;
        Ok(Pair { certified: Arc::new(certified), ends, digest: digest.into() })
    }
}

impl TlsError {
    /// With the file's name before what is wrong with it.
    fn of(self, files: &Files) -> Self {
        match self {
            Self::Certificate(what) => Self::Certificate(format!("{} {what}", files.certificate.display())),
            Self::Key(what) => Self::Key(format!("{} {what}", files.key.display())),
        }
    }
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| TlsError::Certificate(format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        let what = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(TlsError::Certificate(what.into()));
    }
    if key.windows(b"ENCRYPTED".len()).any(|bytes| bytes == b"ENCRYPTED") {
        let what =
            "is a key under a password, which nobody is here to type: openssl pkey -in key.pem -out open.pem";
        return Err(TlsError::Key(what.into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_may_quote_the_key| {
        let forms = "PRIVATE KEY (PKCS #8), RSA PRIVATE KEY (PKCS #1) or EC PRIVATE KEY (SEC 1)";
        TlsError::Key(format!("holds no key in PEM: -----BEGIN {forms}"))
    })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Key("is not the key of the certificate: they come as a pair".into())
        }
        Error::InvalidCertificate(what) => {
            TlsError::Certificate(format!("holds a certificate that cannot be used: {what:?}"))
        }
        error => TlsError::Key(format!("holds a key that cannot be used: {error}")),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[allow(clippy::disallowed_methods, reason = "files change in the machine's time")]
async fn pause() {
    tokio::time::sleep(LOOK_EVERY).await;
}
