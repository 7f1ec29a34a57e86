//! Why a webhook was not taken for genuine.

use std::time::Duration;

/// Why a webhook was not taken for genuine. Holds nothing of the secret, of the body, or of the signature that would
/// have been right: its text may be logged and sent back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The signature's header is longer than any that the provider sends.
    #[error(
        "{header} header is {bytes} bytes long (limit {bytes_max}); the provider does not send such headers"
    )]
    HeaderTooLong {
        /// The header's name.
        header: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// The signature's header does not have the provider's form.
    #[error("{header} header {problem}; expected the form {form}")]
    HeaderMalformed {
        /// The header's name.
        header: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// The form it should have.
        form: &'static str,
    },
    /// More signatures than any provider sends.
    #[error(
        "{header} header has more than {signatures_max} signatures; the provider does not send such headers"
    )]
    TooManySignatures {
        /// The header's name.
        header: &'static str,
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
    /// It was signed too long ago: somebody may be sending a genuine webhook again.
    #[error("webhook timestamp is {} s old (limit {} s); check this machine's clock", .age.as_secs(), .age_max.as_secs())]
    TooOld {
        /// How long ago, in whole seconds.
        age: Duration,
        /// The longest allowed.
        age_max: Duration,
    },
}
