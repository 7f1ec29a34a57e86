//! Why a request was not taken for genuine.

use std::time::Duration;

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
}
