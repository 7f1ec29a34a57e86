//! What a request carries.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::{
    multipart::Multipart,
    upload::{Part, Parts, flow_of},
};

/// Bytes as they come from anywhere.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// A body as it is described, and as it is sent.
#[derive(Clone)]
pub(crate) enum Body {
    /// In memory.
    Bytes(Bytes),
    /// Bytes and files, one behind the other. Sent again, it is read again.
    Parts(Arc<Parts>),
    /// A form, until it is known what separates its fields.
    Form(Arc<Multipart>),
    /// Sent once.
    Stream(Once),
}

/// A stream that can be taken once.
pub(crate) type Once = Arc<Mutex<Option<Chunks>>>;

impl Body {
    /// The whole of it, if it is in memory: what signatures are made over.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Parts(_) | Self::Form(_) | Self::Stream(_) => None,
        }
    }

    /// What tells it from another one: of a file its path, of a stream nothing.
    pub(crate) fn fingerprint(&self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(Sha256::digest(bytes).to_vec()),
            Self::Parts(parts) => Some(parts.fingerprint()),
            Self::Form(form) => Some(form.fingerprint()),
            Self::Stream(_) => None,
        }
    }

    /// What a form consists of, once the key is known.
    pub(crate) fn of_form(form: &Multipart, key: &str) -> Self {
        let parts = form.parts(key);
        let in_memory: Option<Vec<&[u8]>> = parts.iter().map(Part::bytes).collect();
        match in_memory {
            Some(bytes) => Self::Bytes(bytes.concat().into()),
            None => Self::Parts(Arc::new(Parts::new(parts, form.seen()))),
        }
    }

    /// Looks at the files before a request is made of them. What it holds in all, in bytes, where HTTP does not find that
    /// out by itself.
    ///
    /// # Errors
    /// Says what is wrong with them; nothing must be sent then.
    pub(crate) async fn look(&self) -> Result<Option<u64>, String> {
        match self {
            Self::Parts(parts) => parts.look().await.map(Some),
            Self::Stream(stream) if stream.lock().await.is_none() => {
                Err("its body is a stream, and that was sent already".into())
            }
            Self::Bytes(_) | Self::Form(_) | Self::Stream(_) => Ok(None),
        }
    }

    /// Whether it cannot be sent again.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The body of one attempt.
    pub(crate) fn to_send(&self) -> reqwest::Body {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::Parts(parts) => reqwest::Body::wrap_stream(flow_of(parts.clone())),
            Self::Form(_) => {
                unreachable!("a request is prepared before it is sent: a form has become its parts")
            }
            Self::Stream(stream) => match stream.try_lock().ok().and_then(|mut stream| stream.take()) {
                Some(chunks) => reqwest::Body::wrap_stream(chunks),
                None => reqwest::Body::default(),
            },
        }
    }
}
