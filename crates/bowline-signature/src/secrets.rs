//! The secrets of one sender: one, or several while one replaces another.

use subtle::Choice;

use crate::{
    Error, SigningSecret,
    hmac::{self, Algorithm},
};

/// Never empty; the first one signs, all are accepted.
#[derive(Debug, Clone)]
pub(crate) struct Secrets(Vec<SigningSecret>);

impl Secrets {
    pub(crate) fn new(first: SigningSecret) -> Self {
        Self(vec![first])
    }

    pub(crate) fn and(mut self, more: SigningSecret) -> Self {
        self.0.push(more);
        self
    }

    /// The HMAC of the parts, one after the other.
    pub(crate) fn sign(&self, algorithm: Algorithm, parts: &[&[u8]]) -> Vec<u8> {
        hmac::sign(algorithm, &self.0[0], parts)
    }

    /// Whether one of the signatures is the parts' HMAC under one of the secrets.
    pub(crate) fn check(
        &self,
        algorithm: Algorithm,
        parts: &[&[u8]],
        signatures: &[Vec<u8>],
    ) -> Result<(), Error> {
        self.check_readings(algorithm, &[parts], signatures)
    }

    /// As [`check`](Self::check), where what was signed can be read in several ways. Takes the same time whichever fits.
    pub(crate) fn check_readings(
        &self,
        algorithm: Algorithm,
        readings: &[&[&[u8]]],
        signatures: &[Vec<u8>],
    ) -> Result<(), Error> {
        let fits = |parts: &&[&[u8]]| {
            Choice::from(u8::from(hmac::any_matches(algorithm, &self.0, parts, signatures)))
        };
        let matches = readings.iter().map(fits).fold(Choice::from(0), |any, one| any | one);
        if bool::from(matches) { Ok(()) } else { Err(Error::Mismatch { secrets: self.0.len() }) }
    }
}
