//! HMACs of any form: accepted is what the oracle accepts, and nothing else; what is signed here is accepted, and
//! refused with any bit of it flipped.
//!
//! Input, a line each: letters that choose the form (`5` SHA-512, `1` SHA-1, `b` base64, `l` a list, `p` a prefix, `t`
//! a timestamp, `m` in milliseconds), signatures (with `{mac}`), time (with `{time}`), body.
#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_fuzz::{
    HEADER_BYTES_MAX, Hash, NOW_SECONDS, SIGNATURES_MAX, digits, fill, lines, mac, now, secret, spoil,
};
use bowline_signature::Hmac;
use libfuzzer_sys::fuzz_target;

const KEY: &str = "the key of the target";
const PREFIX: &[u8] = b"v0=";

fuzz_target!(|data: &[u8]| {
    let [letters, list, time, body] = lines(data);
    let form = Form { letters };
    let unit = if form.has(b'm') { 1000 } else { 1 };
    let time = fill(time, &[("{time}", (NOW_SECONDS * unit).to_string().as_bytes())]);
    let list = fill(list, &[("{mac}", form.signature(&time, body).as_bytes())]);

    let scheme = form.scheme();
    let verify = |list: &[u8], time: &[u8], body: &[u8]| {
        // The closure's lifetime is the headers'.
        let headers = [("x-signature", list), ("x-time", time)];
        let header = |name: &str| headers.iter().find(|header| header.0 == name).map(|header| header.1);
        scheme.verify(header, body, now())
    };
    let verdict = verify(&list, &time, body);
    assert_eq!(verdict.is_ok(), form.accepts(&list, &time, body), "{verdict:?}");

    let signed = scheme.sign(body, now());
    let list = signed[0].1.clone().into_bytes();
    let time = signed.get(1).map(|header| header.1.clone().into_bytes()).unwrap_or_default();
    assert_eq!(verify(&list, &time, body), Ok(form.has(b't').then(now)));
    let mut other = body.to_vec();
    spoil(data, &mut other);
    assert!(other.is_empty() || verify(&list, &time, &other).is_err());
    let mut spoilt = list.clone();
    spoil(data, &mut spoilt);
    assert_eq!(verify(&spoilt, &time, body).is_ok(), form.accepts(&spoilt, &time, body));
    let mut moved = time.clone();
    spoil(data, &mut moved);
    assert!(moved.is_empty() || verify(&list, &moved, body).is_err());
});

struct Form<'a> {
    letters: &'a [u8],
}

impl Form<'_> {
    fn has(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }

    fn hash(&self) -> Hash {
        match (self.has(b'5'), self.has(b'1')) {
            (true, _) => Hash::Sha512,
            (false, true) => Hash::Sha1,
            (false, false) => Hash::Sha256,
        }
    }

    fn scheme(&self) -> Hmac {
        let make = match self.hash() {
            Hash::Sha256 => Hmac::sha256,
            Hash::Sha512 => Hmac::sha512,
            Hash::Sha1 => Hmac::sha1,
        };
        let set =
            |letter, set: fn(Hmac) -> Hmac| move |scheme| if self.has(letter) { set(scheme) } else { scheme };
        let scheme = make("X-Signature", secret(KEY)).signed_prefix("v0:");
        let scheme = set(b'b', Hmac::base64)(scheme);
        let scheme = set(b'l', Hmac::several_signatures)(scheme);
        let scheme = set(b'p', |scheme| scheme.prefix("v0="))(scheme);
        let scheme = set(b't', |scheme| scheme.timestamp("X-Time", ":"))(scheme);
        set(b'm', Hmac::milliseconds)(scheme)
    }

    fn right(&self, time: &[u8], body: &[u8]) -> Vec<u8> {
        let time = time.trim_ascii();
        let signed: &[&[u8]] = if self.has(b't') { &[b"v0:", time, b":", body] } else { &[b"v0:", body] };
        mac(self.hash(), KEY.as_bytes(), signed)
    }

    fn signature(&self, time: &[u8], body: &[u8]) -> String {
        let right = self.right(time, body);
        if self.has(b'b') { STANDARD.encode(right) } else { hex::encode(right) }
    }

    fn accepts(&self, list: &[u8], time: &[u8], body: &[u8]) -> bool {
        let right = self.signature(time, body);
        let fits = |text: &[u8]| {
            if self.has(b'b') {
                // With padding or without, and never with more.
                text.len() <= right.len() && text.trim_end() == right.as_bytes().trim_end()
            } else {
                text.eq_ignore_ascii_case(right.as_bytes())
            }
        };
        let prefix = if self.has(b'p') { PREFIX } else { b"" };
        let is_between = |byte: &u8| self.has(b'l') && (*byte == b',' || *byte == b' ');
        let texts: Vec<&[u8]> = list
            .trim_ascii()
            .split(is_between)
            .filter_map(|item| item.strip_prefix(prefix))
            .filter(|text| !text.is_empty())
            .collect();
        let is_now = !self.has(b't') || time.len() <= HEADER_BYTES_MAX && self.is_now(time.trim_ascii());
        list.len() <= HEADER_BYTES_MAX
            && texts.len() <= SIGNATURES_MAX
            && texts.into_iter().any(fits)
            && is_now
    }

    /// Compared in whole seconds.
    fn is_now(&self, time: &[u8]) -> bool {
        let unit = if self.has(b'm') { 1000 } else { 1 };
        digits(time).is_some_and(|number| (number / unit).abs_diff(NOW_SECONDS) <= 300)
    }
}

trait TrimPadding {
    fn trim_end(&self) -> &[u8];
}

impl TrimPadding for [u8] {
    fn trim_end(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        &self[..end]
    }
}
