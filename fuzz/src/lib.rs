//! What the targets share: how an input is read, and the oracles' own HMAC.
//!
//! An input is text that a person can write: a line for each header, and then the body. A header may hold words such
//! as `{mac}`, which stand for what no fuzzer could guess.

pub mod signed;

use bowline_client::stream::{Error, Split};
use bowline_signature::SigningSecret;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The time now, in every target: seconds since 1970.
pub const NOW_SECONDS: i64 = 1_700_000_000;
/// The longest header that the parsers may look at.
pub const HEADER_BYTES_MAX: usize = 4096;
/// The most signatures that they may compare.
pub const SIGNATURES_MAX: usize = 16;
/// The last second that a timestamp can mean: 9999-12-30T22:00:00Z.
pub const SECONDS_MAX: i64 = 253_402_207_200;

/// The time now.
pub fn now() -> Timestamp {
    Timestamp::from_second(NOW_SECONDS).expect("within range")
}

/// A secret of the targets.
pub fn secret(text: impl AsRef<[u8]>) -> SigningSecret {
    SigningSecret::new(text).expect("not empty")
}

/// That many lines without their ends, the last of which is all the rest. Missing ones are empty.
pub fn lines<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut lines = data.splitn(N, |byte| *byte == b'\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default())
}

/// The template with every word replaced by what it stands for.
pub fn fill(template: &[u8], words: &[(&str, &[u8])]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some(first) = rest.first() {
        if let Some((word, meaning)) = words.iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
            filled.extend_from_slice(meaning);
            rest = &rest[word.len()..];
        } else {
            filled.push(*first);
            rest = &rest[1..];
        }
    }
    filled
}

/// Flips one bit, which the input chooses. Changes nothing of what is empty.
pub fn spoil(data: &[u8], bytes: &mut [u8]) {
    // FNV-1a: every byte of the input matters.
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    if let Some(last) = bytes.len().checked_sub(1) {
        let place = usize::try_from(hash >> 8).expect("64 bits") % (last + 1);
        bytes[place] ^= 1 << (hash & 7);
    }
}

/// The number that digits mean, and nothing but digits.
pub fn digits(text: &[u8]) -> Option<i64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).expect("digits").parse().ok()).flatten()
}

/// A hash that an HMAC is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
    /// 20 bytes.
    Sha1,
}

/// The HMAC of the parts in one piece.
pub fn mac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn of<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
        mac.chain_update(text).finalize().into_bytes().to_vec()
    }
    let text = parts.concat();
    match hash {
        Hash::Sha256 => of::<Hmac<Sha256>>(key, &text),
        Hash::Sha512 => of::<Hmac<Sha512>>(key, &text),
        Hash::Sha1 => of::<Hmac<Sha1>>(key, &text),
    }
}

/// How large chunks are; `None`: that is no number.
pub fn chunk_size(line: &[u8]) -> Option<usize> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// What came out of a splitter: items, and the error that ended them.
pub type Outcome<T> = (Vec<Result<T, Error>>, Option<Error>);

/// The items of a text in chunks of that size.
pub fn drive<S: Split, T: DeserializeOwned>(splitter: S, text: &[u8], size: usize) -> Outcome<T> {
    drive_with(splitter, text, size, S::next_item)
}

/// As [`drive`], whatever is asked for.
pub fn drive_with<S: Split, T>(
    mut splitter: S,
    text: &[u8],
    size: usize,
    next: impl Fn(&mut S) -> Result<Option<T>, Error>,
) -> Outcome<T> {
    let (mut items, mut chunks, mut ended) = (vec![], text.chunks(size.max(1)), false);
    loop {
        match next(&mut splitter) {
            Ok(Some(item)) => items.push(Ok(item)),
            Err(error) if error.is_item() => items.push(Err(error)),
            Err(error) => return (items, Some(error)),
            Ok(None) if ended => return (items, None),
            Ok(None) => match chunks.next() {
                Some(chunk) => splitter.feed(Bytes::copy_from_slice(chunk)),
                None => {
                    splitter.end();
                    ended = true;
                }
            },
        }
    }
}
