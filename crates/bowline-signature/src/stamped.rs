//! `t=1492774577,v1=5257a869…`: a header with the time and signatures, as Stripe and Calendly write it.

use jiff::Timestamp;

use crate::{
    Error,
    age::Unit,
    header::{self, Candidates},
    hmac::Algorithm,
};

const FORM: &str = "t=<seconds>,v1=<64 hex digits>";

/// Such a header taken apart; nothing in it is trusted yet.
pub(crate) struct Stamped<'h> {
    pub(crate) timestamp_text: &'h [u8],
    pub(crate) timestamp: Timestamp,
    pub(crate) signatures: Vec<Vec<u8>>,
}

impl<'h> Stamped<'h> {
    /// `name` is the header's, for messages.
    pub(crate) fn parse(name: &str, header: &'h [u8]) -> Result<Self, Error> {
        let malformed =
            |problem| Error::HeaderMalformed { header: name.to_owned(), problem, form: FORM.into() };
        let header = header::bounded(name, header)?;
        let mut timestamp_text = None;
        let mut signatures = Candidates::new();
        for item in header.split(|byte| *byte == b',') {
            match split_once(item.trim_ascii()) {
                Some((b"t", value)) => {
                    if timestamp_text.replace(value).is_some() {
                        return Err(malformed("has more than one timestamp"));
                    }
                }
                Some((b"v1", value)) => {
                    signatures.push(name, header::hex(value, Algorithm::Sha256.bytes()))?;
                }
                // `v0` is for Stripe's test tools, and others may come: the docs say to ignore them, so that nobody
                // can make a receiver fall back to a weaker scheme.
                Some(_) | None => {}
            }
        }
        let timestamp_text = timestamp_text.ok_or_else(|| malformed("has no timestamp"))?;
        let timestamp =
            Unit::Seconds.parse(timestamp_text).ok_or_else(|| malformed(Unit::Seconds.problem()))?;
        let signatures =
            signatures.decoded().ok_or_else(|| malformed("has no v1 signature of 64 hex digits"))?;
        Ok(Self { timestamp_text, timestamp, signatures })
    }
}

fn split_once(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = item.iter().position(|byte| *byte == b'=')?;
    Some((&item[..equals], &item[equals + 1..]))
}
