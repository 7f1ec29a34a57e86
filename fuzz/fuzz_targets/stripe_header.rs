//! `stripe-signature`: accepted is what the oracle accepts, and nothing else; what is signed here is accepted, and
//! refused with any bit of it flipped.
//!
//! Input: the header with `{time}` and `{mac}` (of the first time in it), a line's end, the body.
#![no_main]

use bowline_fuzz::{
    HEADER_BYTES_MAX, Hash, NOW_SECONDS, SECONDS_MAX, SIGNATURES_MAX, digits, fill, lines, mac, now, secret,
    spoil,
};
use bowline_signature::Stripe;
use libfuzzer_sys::fuzz_target;

const KEY: &str = "whsec_fuzz";

fuzz_target!(|data: &[u8]| {
    let [template, body] = lines(data);
    let header = fill(template, &[("{time}", NOW_SECONDS.to_string().as_bytes())]);
    let time = items(&header, b"t=").next().unwrap_or_default();
    let right = hex::encode(mac(Hash::Sha256, KEY.as_bytes(), &[time, b".", body]));
    let header = fill(&header, &[("{mac}", right.as_bytes())]);

    let stripe = Stripe::new(secret(KEY));
    let verdict = stripe.verify(&header, body, now());
    assert_eq!(verdict.as_ref().ok().map(|at| at.as_second()), accepted(&header, body), "{verdict:?}");

    let signed = stripe.sign(body, now());
    assert_eq!(stripe.verify(&signed, body, now()), Ok(now()));
    let mut spoilt = signed.clone().into_bytes();
    spoil(data, &mut spoilt);
    // Hex in upper case is the same signature.
    assert!(spoilt.eq_ignore_ascii_case(signed.as_bytes()) || stripe.verify(&spoilt, body, now()).is_err());
    let mut other = body.to_vec();
    spoil(data, &mut other);
    assert!(other.is_empty() || stripe.verify(&signed, &other, now()).is_err());
});

/// When such a header was signed, if it is genuine.
fn accepted(header: &[u8], body: &[u8]) -> Option<i64> {
    let times: Vec<&[u8]> = items(header, b"t=").collect();
    let signatures: Vec<&[u8]> = items(header, b"v1=").collect();
    let [time] = times[..] else { return None };
    let signed_at = digits(time).filter(|seconds| (NOW_SECONDS - 300..=SECONDS_MAX).contains(seconds))?;
    let right = hex::encode(mac(Hash::Sha256, KEY.as_bytes(), &[time, b".", body]));
    let fits = signatures.iter().any(|signature| signature.eq_ignore_ascii_case(right.as_bytes()));
    let is_bounded = header.len() <= HEADER_BYTES_MAX && signatures.len() <= SIGNATURES_MAX;
    (fits && is_bounded).then_some(signed_at)
}

/// The values of that name.
fn items<'h>(header: &'h [u8], name: &'static [u8]) -> impl Iterator<Item = &'h [u8]> {
    header.split(|byte| *byte == b',').filter_map(move |item| item.trim_ascii().strip_prefix(name))
}
