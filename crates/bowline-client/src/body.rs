//! What a request carries.

use bytes::Bytes;

/// A body that can be sent again.
#[derive(Clone)]
pub(crate) enum Body {
    Bytes(Bytes),
}

impl Body {
    /// The whole of it, if it is in memory: what signatures are made over.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
        }
    }

    /// The body of one attempt.
    pub(crate) fn to_send(&self) -> reqwest::Body {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
        }
    }
}
