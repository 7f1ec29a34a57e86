//! The headers of Standard Webhooks: accepted is what the oracle accepts, and nothing else; what is signed here is
//! accepted, and refused with any bit of it flipped.
//!
//! Input, a line each: which headers (1st, 2nd, 3rd letter `s`) have Svix's names, id, time, signatures (with `{time}`, `{mac}`), body.
#![no_main]

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_fuzz::{
    HEADER_BYTES_MAX, Hash, NOW_SECONDS, SIGNATURES_MAX, digits, fill, lines, mac, now, secret, spoil,
};
use bowline_signature::{
    StandardWebhooks,
    standard_webhooks::{Genuine, HEADERS, SVIX_HEADERS},
};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8; 24] = b"twenty-four bytes of key";

fuzz_target!(|data: &[u8]| {
    let [names, id, time, list, body] = lines(data);
    let stamp = NOW_SECONDS.to_string();
    let time = fill(time, &[("{time}", stamp.as_bytes())]);
    let right = signature(id.trim_ascii(), time.trim_ascii(), body);
    let list = fill(list, &[("{time}", &time), ("{mac}", right.as_bytes())]);
    let values = [id.to_vec(), time, list];

    let webhooks = StandardWebhooks::new(&secret(STANDARD.encode(KEY))).expect("24 bytes in base64");
    let is_svix: [bool; 3] = std::array::from_fn(|place| names.get(place) == Some(&b's'));
    let names: [&str; 3] =
        std::array::from_fn(|place| if is_svix[place] { SVIX_HEADERS[place] } else { HEADERS[place] });
    let is_mixed = is_svix != [is_svix[0]; 3];
    let verify = |values: &[Vec<u8>], body: &[u8]| {
        let header =
            |name: &str| names.iter().position(|known| *known == name).map(|place| values[place].as_slice());
        webhooks
            .verify(header, body, now())
            .map(|Genuine { id, signed_at }| (id.to_owned(), signed_at.as_second()))
    };
    let verdict = verify(&values, body);
    assert_eq!(verdict.as_ref().ok().cloned(), accepted(&values, body).filter(|_| !is_mixed), "{verdict:?}");

    // An id that a sender may choose.
    let id = format!("msg_{}", hex::encode(&id[..id.len().min(200)]));
    let signed = webhooks.sign(&id, body, now()).expect("a good id").map(|(_, value)| value.into_bytes());
    assert_eq!(verify(&signed, body).ok(), Some((id, NOW_SECONDS)).filter(|_| !is_mixed));
    let mut other = body.to_vec();
    spoil(data, &mut other);
    assert!(other.is_empty() || verify(&signed, &other).is_err());
    let mut spoilt = signed;
    spoil(data, &mut spoilt[data.len() % 3]);
    assert!(verify(&spoilt, body).is_err());
});

fn signature(id: &[u8], time: &[u8], body: &[u8]) -> String {
    STANDARD.encode(mac(Hash::Sha256, KEY, &[id, b".", time, b".", body]))
}

/// Id and time of such headers, if they are genuine.
fn accepted([id, time, list]: &[Vec<u8>; 3], body: &[u8]) -> Option<(String, i64)> {
    if [id, time, list].iter().any(|value| value.len() > HEADER_BYTES_MAX) {
        return None;
    }
    let (id, time, list) = (id.trim_ascii(), time.trim_ascii(), list.trim_ascii());
    let is_id =
        (1..=512).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
    let signed_at = digits(time).filter(|seconds| seconds.abs_diff(NOW_SECONDS) <= 300)?;
    let items: Vec<&[u8]> =
        list.split(|byte| *byte == b' ').filter_map(|item| item.strip_prefix(b"v1,")).collect();
    let fits = items.contains(&signature(id, time, body).as_bytes()) && items.len() <= SIGNATURES_MAX;
    (is_id && fits).then(|| (String::from_utf8(id.to_vec()).expect("ASCII"), signed_at))
}
