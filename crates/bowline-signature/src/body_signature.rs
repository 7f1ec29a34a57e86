//! What senders share that sign the body alone, in one header.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    CannotSign, Error, Request, Signed, SigningSecret, header,
    hmac::{self, Algorithm},
};

/// How one sender writes the signature of a body.
#[derive(Debug)]
pub(crate) struct BodySignature {
    pub(crate) header: &'static str,
    /// What to check if there is no such header.
    pub(crate) hint: &'static str,
    pub(crate) algorithm: Algorithm,
    /// Stands before the digits; may be empty.
    pub(crate) prefix: &'static str,
    pub(crate) digits: Digits,
    /// What is wrong with a header that has another prefix or other digits.
    pub(crate) problem: &'static str,
    pub(crate) form: &'static str,
}

/// How the signature's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digits {
    /// In either case.
    Hex,
    /// With padding.
    Base64,
}

impl BodySignature {
    pub(crate) fn verify(&self, secrets: &[SigningSecret], request: &Request<'_>) -> Result<(), Error> {
        let signature = self.parse(request.required(self.header, self.hint)?)?;
        if hmac::any_matches(self.algorithm, secrets, &[request.body], &[signature]) {
            Ok(())
        } else {
            Err(Error::Mismatch { secrets: secrets.len() })
        }
    }

    pub(crate) fn sign(&self, secret: &SigningSecret, body: &[u8]) -> Result<Signed, CannotSign> {
        let mac = hmac::sign(self.algorithm, secret, &[body]);
        let digits = match self.digits {
            Digits::Hex => hex::encode(mac),
            Digits::Base64 => STANDARD.encode(mac),
        };
        Signed::new([(self.header, format!("{}{digits}", self.prefix))], body)
    }

    fn parse(&self, header: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = header.strip_prefix(self.prefix.as_bytes()).and_then(|digits| match self.digits {
            Digits::Hex => header::hex(digits, self.algorithm.bytes()),
            Digits::Base64 => header::base64(digits, self.algorithm.bytes()),
        });
        signature.ok_or_else(|| Error::HeaderMalformed {
            header: self.header.to_owned(),
            problem: self.problem,
            form: self.form.into(),
        })
    }
}
