//! Certificates with which senders sign, and which a receiver fetches from an address that the request names.
//!
//! Nothing is fetched here. A scheme that needs a certificate says so with
//! [`Error::CertificateUnknown`], and is told what stood at that address. Addresses are
//! checked before: their host is the sender's, their scheme is https. So what vouches for a certificate is the TLS of that
//! host. Its names and dates are checked here; the chain above it is not: senders publish it without.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, RsaKeyPair, RsaParameters, UnparsedPublicKey,
    },
};
use jiff::Timestamp;
use rustls_pki_types::{
    CertificateDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject},
};
use x509_cert::{
    Certificate as X509,
    der::{Decode, Encode},
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

use crate::{BadKey, Error};

/// Longest certificate that is read, in PEM.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Most certificates that are remembered, for each verifier. Senders use one at a time, AWS one in each region.
pub const CERTIFICATES_MAX: usize = 32;
/// For how long a certificate is remembered before it is fetched again.
pub const REMEMBERED_FOR: Duration = Duration::from_hours(24);
/// Most unknown addresses that are asked for within [`ASKED_WITHIN`]: a stranger who names new ones all the time must
/// not make a receiver send requests all the time.
pub const ASKED_MAX: usize = 8;
/// See [`ASKED_MAX`].
pub const ASKED_WITHIN: Duration = Duration::from_secs(60);

/// The hash beneath an RSA signature (PKCS #1 v1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// What is used of a certificate.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// DER of an X.509 public key, RSA.
    key: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Reads PEM. `is_sender` says whether a name is one under which the sender signs; one of the certificate's is enough.
    fn read(pem: &[u8], is_sender: fn(&str) -> bool) -> Result<Self, Error> {
        if pem.len() > CERTIFICATE_BYTES_MAX {
            return Err(problem(format!(
                "has {} bytes (limit {CERTIFICATE_BYTES_MAX}); a genuine one is shorter",
                pem.len()
            )));
        }
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|_| problem("is not PEM; check what stands at its address"))?;
        let parsed = X509::from_der(&der).map_err(|_| problem("is not an X.509 certificate"))?;
        let tbs = parsed.tbs_certificate();
        if !names(&parsed).iter().any(|name| is_sender(name)) {
            return Err(problem("is not of the sender's name"));
        }
        let key = tbs.subject_public_key_info().to_der().map_err(|_| problem("has no public key"))?;
        ParsedPublicKey::new(Hash::Sha256.parameters(), &key)
            .map_err(|_| problem("has no RSA key of 2048 to 8192 bits"))?;
        let validity = tbs.validity();
        let (not_before, not_after) = (time(&validity.not_before)?, time(&validity.not_after)?);
        Ok(Self { key, not_before, not_after })
    }

    fn check(&self, now: Timestamp) -> Result<(), Error> {
        if now < self.not_before {
            return Err(problem(format!("is valid from {} on; check this machine's clock", self.not_before)));
        }
        if now > self.not_after {
            return Err(problem(format!("was valid until {}; check this machine's clock", self.not_after)));
        }
        Ok(())
    }

    pub(crate) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(hash.parameters(), &self.key).verify(message, signature).is_ok()
    }
}

/// The common name and the alternative ones.
fn names(certificate: &X509) -> Vec<String> {
    let tbs = certificate.tbs_certificate();
    let common = tbs.subject().common_name().ok().flatten().map(|name| name.value().into_owned());
    let others = tbs.get_extension::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
    let others = others.unwrap_or_default().into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _no_host => None,
    });
    common.into_iter().chain(others).collect()
}

fn time(time: &Time) -> Result<Timestamp, Error> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    let read = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    // Some end with the year 9999, beyond what a timestamp holds.
    Ok(read.unwrap_or(Timestamp::MAX))
}

pub(crate) fn problem(problem: impl Into<String>) -> Error {
    Error::Certificate { problem: problem.into() }
}

/// The certificates that a verifier knows, by their addresses. Clones share them.
#[derive(Clone)]
pub(crate) struct Certificates {
    is_sender: fn(&str) -> bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    known: VecDeque<Known>,
    /// Addresses that were asked for, and when. Oldest first.
    asked: VecDeque<(String, Timestamp)>,
}

struct Known {
    url: String,
    certificate: Arc<Certificate>,
    since: Timestamp,
}

impl Certificates {
    pub(crate) fn new(is_sender: fn(&str) -> bool) -> Self {
        Self { is_sender, state: Arc::default() }
    }

    /// The certificate at that address, which was checked, if it is valid now.
    ///
    /// # Errors
    /// [`Error::CertificateUnknown`]: it is to be fetched. [`Error::Certificate`]: it is not valid, or so many were asked
    /// for lately that this one has to wait.
    pub(crate) fn find(&self, url: &str, now: Timestamp) -> Result<Arc<Certificate>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.retain(|known| is_within(known.since, now, REMEMBERED_FOR));
        if let Some(known) = state.known.iter().find(|known| known.url == url) {
            known.certificate.check(now)?;
            return Ok(known.certificate.clone());
        }
        state.asked.retain(|(_, at)| is_within(*at, now, ASKED_WITHIN));
        if !state.asked.iter().any(|(asked, _)| asked == url) {
            if state.asked.len() >= ASKED_MAX {
                return Err(problem(
                    "is one of many unknown ones that were named just now; send it again later",
                ));
            }
            state.asked.push_back((url.to_owned(), now));
        }
        Err(Error::CertificateUnknown { url: url.to_owned() })
    }

    /// Remembers what stood at that address, if it was asked for.
    pub(crate) fn learn(&self, url: &str, pem: &[u8], now: Timestamp) -> Result<(), Error> {
        let certificate = Certificate::read(pem, self.is_sender)?;
        certificate.check(now)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.asked.iter().any(|(asked, _)| asked == url) {
            return Err(problem("was not asked for"));
        }
        state.known.retain(|known| known.url != url);
        if state.known.len() >= CERTIFICATES_MAX {
            state.known.pop_front();
        }
        let certificate = Arc::new(certificate);
        state.known.push_back(Known { url: url.to_owned(), certificate, since: now });
        Ok(())
    }
}

/// A clock that was set back does not make things last for ever.
fn is_within(since: Timestamp, now: Timestamp, time: Duration) -> bool {
    now.duration_since(since).unsigned_abs() <= time
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[certificates]")
    }
}

/// A certificate with its private key, at an address: what senders have, and tests make.
#[derive(Clone)]
pub struct CertifiedKey {
    url: String,
    certificate: Arc<Certificate>,
    pair: Arc<RsaKeyPair>,
}

impl CertifiedKey {
    /// With the address under which the certificate is found, the private key (PKCS #8, RSA), and the certificate, both in
    /// PEM.
    ///
    /// # Errors
    /// [`BadKey`] if one of them is not that.
    pub fn new(
        url: impl Into<String>,
        private_key: impl AsRef<[u8]>,
        certificate: impl AsRef<[u8]>,
    ) -> Result<Self, BadKey> {
        let read = PrivatePkcs8KeyDer::from_pem_slice(private_key.as_ref());
        let der = read.map_err(|_: pem::Error| BadKey::new("the private key is not PKCS #8 in PEM"))?;
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| BadKey::new("the private key is not an RSA key of 2048 to 8192 bits"))?;
        let certificate = Certificate::read(certificate.as_ref(), |_any_name| true);
        let certificate = certificate.map_err(|error| BadKey::new(error.to_string()))?;
        Ok(Self { url: url.into(), certificate: Arc::new(certificate), pair: Arc::new(pair) })
    }

    /// Where the certificate is found.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate, if that is its address and it is valid now.
    pub(crate) fn certificate(&self, url: &str, now: Timestamp) -> Option<Result<Arc<Certificate>, Error>> {
        (self.url == url).then(|| self.certificate.check(now).map(|()| self.certificate.clone()))
    }

    /// An RSA signature (PKCS #1 v1.5, SHA-256).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer is as long as the modulus");
        signature
    }
}

impl fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}

/// What stands behind `https://`, then a host that `is_host` likes, then `/`; nothing in it that anybody could read in
/// another way: no user, port, fragment, space, backslash or other than ASCII.
pub(crate) fn path_at(url: &str, is_host: impl FnOnce(&str) -> bool) -> Option<&str> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'@' | b'"' | b'<' | b'>');
    (is_host(host) && path.bytes().all(is_plain)).then_some(path)
}
