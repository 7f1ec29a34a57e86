//! Values that cannot be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret: `Debug` and `Display` show `[secret]`, it is not `Serialize`, and its memory is wiped when dropped.
///
/// ```
/// use bowline_model::Secret;
///
/// let key = Secret::new("sk_live_51");
/// assert_eq!(format!("{key:?} {key}"), "[secret] [secret]");
/// assert_eq!(key.expose(), "sk_live_51");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself. Grep for the callers: each is a place where a secret could leave.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
