//! What the parsers of headers share: limits, and the signatures found.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::Error;

/// Longest header that is looked at. Genuine ones are shorter than 300 bytes.
pub(crate) const BYTES_MAX: usize = 4096;
/// Most signatures that are compared. Senders send one for each secret that is valid at the time: two while one is
/// being replaced.
pub(crate) const SIGNATURES_MAX: usize = 16;

/// The header's value without the space around it, if it is not longer than [`BYTES_MAX`].
pub(crate) fn bounded<'h>(header: &str, value: &'h [u8]) -> Result<&'h [u8], Error> {
    if value.len() > BYTES_MAX {
        let bytes = value.len();
        return Err(Error::HeaderTooLong { header: header.to_owned(), bytes, bytes_max: BYTES_MAX });
    }
    Ok(value.trim_ascii())
}

/// The signatures found in a header.
pub(crate) struct Candidates {
    seen: usize,
    decoded: Vec<Vec<u8>>,
}

impl Candidates {
    pub(crate) fn new() -> Self {
        Self { seen: 0, decoded: Vec::new() }
    }

    /// Counts a signature, and keeps it if it could be decoded: what is none does not spoil its neighbours.
    pub(crate) fn push(&mut self, header: &str, decoded: Option<Vec<u8>>) -> Result<(), Error> {
        self.seen += 1;
        if self.seen > SIGNATURES_MAX {
            return Err(Error::TooManySignatures {
                header: header.to_owned(),
                signatures_max: SIGNATURES_MAX,
            });
        }
        self.decoded.extend(decoded);
        Ok(())
    }

    /// Those that could be decoded; `None` if there are none.
    pub(crate) fn decoded(self) -> Option<Vec<Vec<u8>>> {
        Some(self.decoded).filter(|decoded| !decoded.is_empty())
    }
}

/// Hex in either case, of exactly that many bytes.
pub(crate) fn hex(text: &[u8], bytes: usize) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|decoded| decoded.len() == bytes)
}

/// Base64 (RFC 4648 §4, padded) of exactly that many bytes.
pub(crate) fn base64(text: &[u8], bytes: usize) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|decoded| decoded.len() == bytes)
}

/// Base64 (RFC 4648 §4, padded).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A header that does not have its form.
pub(crate) fn malformed(header: &str, problem: &'static str, form: &str) -> Error {
    Error::HeaderMalformed { header: header.to_owned(), problem, form: form.to_owned() }
}
