//! A signing secret: never empty, never printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice};

/// What a provider signs with. `Debug` shows `[secret]`; its memory is wiped when dropped.
///
/// ```
/// use bowline_signature::SigningSecret;
///
/// let secret = SigningSecret::new("whsec_test")?;
/// assert_eq!(format!("{secret:?}"), "[secret]");
/// # Ok::<(), bowline_signature::EmptySecret>(())
/// ```
#[derive(Clone)]
pub struct SigningSecret(SecretSlice<u8>);

impl SigningSecret {
    /// Wraps a secret, as bytes or as text.
    ///
    /// # Errors
    /// [`EmptySecret`]: whoever knows that a secret is empty can sign with it.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, EmptySecret> {
        match secret.as_ref() {
            [] => Err(EmptySecret),
            bytes => Ok(Self(SecretSlice::from(bytes.to_vec()))),
        }
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A secret of no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is empty; copy it from the provider's settings of this webhook")]
pub struct EmptySecret;
