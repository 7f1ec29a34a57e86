//! Why a request was not taken for genuine.

use std::time::Duration;

use crate::EmptySecret;

/// Why a request was not taken for genuine. Holds nothing of the secret, of the body, or of the signature that would
/// have been right: its text may be logged and sent back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A header that every genuine request has is not there.
    #[error("{header} header is missing; {hint}")]
    HeaderMissing {
        /// The header's name.
        header: String,
        /// What to check.
        hint: &'static str,
    },
    /// A header came twice: whoever reads the one and whoever reads the other would not agree on what was signed.
    #[error("{header} header came twice; a genuine sender sends it once")]
    HeaderTwice {
        /// The header's name.
        header: String,
    },
    /// A header is longer than any that a genuine sender sends.
    #[error("{header} header is {bytes} bytes long (limit {bytes_max}); a genuine sender's is shorter")]
    HeaderTooLong {
        /// The header's name.
        header: String,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// A header does not have its form.
    #[error("{header} header {problem}; expected the form {form}")]
    HeaderMalformed {
        /// The header's name.
        header: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The form it should have.
        form: String,
    },
    /// More signatures than any genuine sender sends.
    #[error("{header} header has more than {signatures_max} signatures; a genuine sender's has fewer")]
    TooManySignatures {
        /// The header's name.
        header: String,
        /// The most allowed.
        signatures_max: usize,
    },
    /// Somebody else signed it, or it was changed on its way.
    #[error(
        "no signature fits (tried {secrets} secret{}); check that the secret is the one of this webhook, and that \
         nothing on the way rewrites the body",
        if *.secrets == 1 { "" } else { "s" }
    )]
    Mismatch {
        /// How many secrets were tried.
        secrets: usize,
    },
    /// The key, token or password is not one that is accepted.
    #[error(
        "what the {header} header holds is not accepted here (compared with {accepted}); check that the sender and \
         this server were given the same value"
    )]
    WrongKey {
        /// The header's name.
        header: String,
        /// How many are accepted.
        accepted: usize,
    },
    /// It was signed too long ago: somebody may be sending a genuine webhook again.
    #[error("webhook timestamp is {} s old (limit {} s); check this machine's clock", .age.as_secs(), .age_max.as_secs())]
    TooOld {
        /// How long ago, in whole seconds.
        age: Duration,
        /// The longest allowed.
        age_max: Duration,
    },
    /// It was signed in the future: a clock is wrong, here or there.
    #[error(
        "webhook timestamp is {} s in the future (limit {} s); check this machine's clock, and the sender's",
        .ahead.as_secs(), .ahead_max.as_secs()
    )]
    TooNew {
        /// How far ahead, in whole seconds.
        ahead: Duration,
        /// The most allowed.
        ahead_max: Duration,
    },
    /// The body, in which the signature stands, does not have its form.
    #[error("the body {problem}; expected the form {form}")]
    BodyMalformed {
        /// What is wrong with it.
        problem: &'static str,
        /// The form it should have.
        form: &'static str,
    },
    /// The sender signs the address it sends to, and nobody said how it knows this one.
    #[error(
        "the sender signs the address it sends to, which is not known here; set the public URL of this server"
    )]
    UrlUnknown,
    /// What was signed can be checked with this certificate only, which is not known yet: it may be fetched, its host is
    /// the sender's.
    #[error("the certificate {url} is not known yet")]
    CertificateUnknown {
        /// Where it is: a URL whose host was checked.
        url: String,
    },
    /// The certificate cannot be used.
    #[error("the signing certificate {problem}")]
    Certificate {
        /// What is wrong with it.
        problem: String,
    },
}

/// Why a text is not the key that a scheme needs. Shows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadKey {
    problem: String,
}

impl BadKey {
    /// Fact and hint, and nothing of the key.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

impl From<EmptySecret> for BadKey {
    fn from(empty: EmptySecret) -> Self {
        Self::new(empty.to_string())
    }
}
