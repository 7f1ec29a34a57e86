//! Tokens at rest: sealed with AES-256-GCM under a key of the environment.
//!
//! What comes in: text and the name it is kept under. What goes out: text that only the keys open, and only under that
//! name. What must never happen here: a key in an error or `Debug`, or two seals under one nonce (the library draws it).

use std::{fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD_NO_PAD,
};
use bowline_model::Secret;
use sha2::{Digest, Sha256};

/// The variable that the keys come from.
pub(crate) const TOKEN_KEY_VARIABLE: &str = "BOWLINE_TOKEN_KEY";

const KEY_BYTES: usize = 32;
/// Most keys that are tried: the newest, and those that it took over from.
const KEYS_MAX: usize = 8;
/// What a key is told apart by: enough of its hash to name it, and far too little to find it.
const KEY_ID_BYTES: usize = 4;

/// The keys that tokens are sealed with on disk: the first seals, all open, so that a key can be replaced by putting a
/// new one in front.
///
/// # Making and replacing a key
/// ```
/// use bowline_client::SealKeys;
///
/// // openssl rand -base64 32
/// let old = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
/// let new = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// let keys = SealKeys::parse(&format!("{new}, {old}")).unwrap();
/// assert_eq!(format!("{keys:?}"), "SealKeys(2)");
/// assert!(SealKeys::parse("too short").unwrap_err().contains("openssl rand -base64 32"));
/// ```
#[derive(Clone)]
pub struct SealKeys {
    keys: Arc<[Key]>,
}

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

impl SealKeys {
    /// Reads keys of 32 bytes each, in base64 or hex, separated by commas.
    ///
    /// # Errors
    /// Says what is wrong with them, without showing them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let texts: Vec<&str> = text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
        if texts.is_empty() || texts.len() > KEYS_MAX {
            return Err(format!("holds {} keys: 1 to {KEYS_MAX}, separated by commas", texts.len()));
        }
        let keys = texts.iter().enumerate().map(|(nth, text)| {
            let bytes = key_bytes(text).ok_or_else(|| {
                format!(
                    "key {} is not {KEY_BYTES} bytes in base64 or hex: make one with `openssl rand -base64 32`",
                    nth + 1
                )
            })?;
            Ok(Key::new(&bytes))
        });
        Ok(Self { keys: keys.collect::<Result<_, String>>()? })
    }

    /// Seals a text that is kept under that name.
    pub(crate) fn seal(&self, name: &str, text: &str) -> Result<Secret, String> {
        let key = &self.keys[0];
        let mut sealed = text.as_bytes().to_vec();
        let nonce = key
            .cipher
            .seal_in_place_append_tag(Aad::from(bound(name)), &mut sealed)
            .map_err(|_| "cannot be sealed".to_owned())?;
        let whole = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(Secret::new(format!("1.{}.{}", key.id, BASE64_STANDARD_NO_PAD.encode(whole))))
    }

    /// Opens what was sealed under that name.
    ///
    /// # Errors
    /// Says why it cannot.
    pub(crate) fn open(&self, name: &str, sealed: &Secret) -> Result<Secret, String> {
        let broken = || format!("what is stored of {name} is damaged, or was stored under another name");
        let mut parts = sealed.expose().splitn(3, '.');
        let (Some("1"), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(broken());
        };
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| {
            format!("{name} was sealed with a key that is not in {TOKEN_KEY_VARIABLE} now: add the older one behind a comma")
        })?;
        let mut bytes = BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| broken())?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let text = key.cipher.open_in_place(nonce, Aad::from(bound(name)), sealed).map_err(|_| broken())?;
        Ok(Secret::new(std::str::from_utf8(text).map_err(|_| broken())?))
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let id = Sha256::new().chain_update(b"bowline token key").chain_update(bytes).finalize();
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key of AES-256");
        Self { id: hex::encode(&id[..KEY_ID_BYTES]), cipher }
    }
}

/// Binds a seal to its name: what is copied to another name does not open there.
fn bound(name: &str) -> Vec<u8> {
    format!("bowline credential 1 {name}").into_bytes()
}

fn key_bytes(text: &str) -> Option<[u8; KEY_BYTES]> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let bytes = hex::decode(text)
        .ok()
        .or_else(|| STANDARD.decode(text).ok())
        .or_else(|| URL_SAFE.decode(text).ok())?;
    bytes.try_into().ok()
}

/// Shows how many there are.
impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKeys({})", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    const NEW: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn keys(text: &str) -> SealKeys {
        SealKeys::parse(text).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = keys(OLD).seal("oauth/crm/default", "token").unwrap();
        let both = keys(&format!("{NEW},{OLD}"));
        assert_eq!(both.open("oauth/crm/default", &old).unwrap().expose(), "token");
        let new = both.seal("oauth/crm/default", "token").unwrap();
        assert_eq!(keys(NEW).open("oauth/crm/default", &new).unwrap().expose(), "token");
        let error = keys(OLD).open("oauth/crm/default", &new).unwrap_err();
        assert!(error.contains("BOWLINE_TOKEN_KEY"), "{error}");
    }

    #[test]
    fn what_was_moved_or_changed_does_not_open() {
        let keys = keys(NEW);
        let sealed = keys.seal("oauth/crm/default", "token").unwrap();
        assert!(keys.open("oauth/crm/other", &sealed).unwrap_err().contains("another name"));
        for at in 2..sealed.expose().len() {
            let mut bytes = sealed.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = Secret::new(String::from_utf8(bytes).unwrap());
            assert!(keys.open("oauth/crm/default", &changed).is_err(), "byte {at}");
        }
        assert!(keys.open("oauth/crm/default", &Secret::new("")).is_err());
    }

    #[test]
    fn equal_texts_are_sealed_differently_and_show_nothing() {
        let keys = keys(NEW);
        let (one, two) = (keys.seal("a", "token").unwrap(), keys.seal("a", "token").unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(!one.expose().contains("token"));
    }

    #[test]
    fn keys_are_read_in_every_usual_form() {
        let url_safe = OLD.replace('+', "-").replace('/', "_");
        let spaced = format!(" {NEW} , {OLD}, ");
        for text in [OLD, OLD.trim_end_matches('='), url_safe.as_str(), &NEW.to_uppercase(), spaced.as_str()]
        {
            assert!(SealKeys::parse(text).is_ok(), "{text}");
        }
        for text in ["", ",", "abc", &NEW[2..], &[NEW; 9].join(",")] {
            let error = SealKeys::parse(text).unwrap_err();
            assert!(text.len() < 3 || !error.contains(text), "{error}");
        }
    }
}
