//! Signed statements about who asks: JSON Web Tokens (RFC 7523), and the key files of service accounts.
//!
//! The provider of signatures is passed by hand at every use: a process-global one panics as soon as another crate of
//! the program brings a second.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bowline_model::Secret;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto::aws_lc::DEFAULT_PROVIDER};
use serde::{Deserialize, Serialize};

/// How long a statement holds: long enough for clocks that differ a little, and useless soon after.
const STATEMENT_LIFETIME: Duration = Duration::from_secs(300);

/// Where Google gives tokens, if a key file does not say.
const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// What a statement says.
#[derive(Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<&'a str>,
    pub(crate) aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<&'a str>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: &'a str,
}

impl<'a> Claims<'a> {
    /// A statement made now, told apart from every other by its id.
    pub(crate) fn new(issuer: &'a str, audience: &'a str, id: &'a str, now: Timestamp) -> Self {
        let iat = now.as_second();
        let exp = iat.saturating_add_unsigned(STATEMENT_LIFETIME.as_secs());
        Self { iss: issuer, sub: None, aud: audience, scope: None, iat, exp, jti: id }
    }
}

/// A private key that signs statements.
pub(crate) struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl SigningKey {
    /// Reads a private key in PEM: RSA (RS256), P-256 (ES256), P-384 (ES384), Ed25519 (EdDSA). Variables often hold it
    /// on one line, with `\n` for the line breaks.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing it.
    pub(crate) fn read(pem: &Secret) -> Result<Self, String> {
        type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;
        const KINDS: [(Read, &[Algorithm]); 3] = [
            (EncodingKey::from_rsa_pem, &[Algorithm::RS256]),
            (EncodingKey::from_ec_pem, &[Algorithm::ES256, Algorithm::ES384]),
            (EncodingKey::from_ed_pem, &[Algorithm::EdDSA]),
        ];
        let lines = Secret::new(pem.expose().replace("\\n", "\n"));
        for (read, algorithms) in KINDS {
            let Ok(key) = read(lines.expose().as_bytes()) else { continue };
            // An elliptic key does not say which curve it is for before it signs.
            let signs = |algorithm: &Algorithm| signature(&key, *algorithm, b"").is_ok();
            if let Some(algorithm) = algorithms.iter().copied().find(signs) {
                return Ok(Self { key, algorithm });
            }
        }
        let kinds = "RSA (2048 bits or more), P-256, P-384 or Ed25519";
        Err(format!(
            "is not a private key in PEM that signs ({kinds}; elliptic ones in PKCS#8: -----BEGIN PRIVATE KEY-----)"
        ))
    }

    /// Signs a statement. `id` names the key to who checks it.
    ///
    /// # Errors
    /// Says that the key does not sign.
    pub(crate) fn sign(&self, id: Option<&str>, claims: &Claims<'_>) -> Result<Secret, String> {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        let header = serde_json::to_vec(&header).expect("a header is JSON");
        let claims = serde_json::to_vec(claims).expect("claims are JSON");
        let message = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = signature(&self.key, self.algorithm, message.as_bytes())?;
        Ok(Secret::new(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn signature(key: &EncodingKey, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
    let unfit = |_| "the private key does not sign".to_owned();
    let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, key).map_err(unfit)?;
    signer.try_sign(message).map_err(|_| "the private key does not sign".to_owned())
}

/// The key file of a service account, as Google gives it out.
#[derive(Deserialize)]
pub(crate) struct ServiceAccount {
    pub(crate) client_email: String,
    private_key: String,
    pub(crate) private_key_id: Option<String>,
    #[serde(default = "google")]
    pub(crate) token_uri: String,
}

fn google() -> String {
    GOOGLE_TOKEN_URL.to_owned()
}

impl ServiceAccount {
    /// Reads the content of a key file.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing it.
    pub(crate) fn read(json: &Secret) -> Result<Self, String> {
        serde_json::from_str(json.expose()).map_err(|_| {
            "is not the key file of a service account: its JSON has client_email, private_key and token_uri".into()
        })
    }

    pub(crate) fn private_key(&self) -> Secret {
        Secret::new(self.private_key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
    use serde_json::Value;

    use super::*;

    fn claims() -> Claims<'static> {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        Claims { sub: Some("jane"), ..Claims::new("client-1", "https://id.example/token", "id-1", now) }
    }

    /// The statement as its reader checks it: with the public key, by another implementation.
    fn checked(pair: &KeyPair, algorithm: Algorithm, statement: &Secret) -> Value {
        let public = pair.public_key_pem();
        let key = match algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(public.as_bytes()),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(public.as_bytes()),
            _ => DecodingKey::from_ec_pem(public.as_bytes()),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["https://id.example/token"]);
        validation.validate_exp = false;
        jsonwebtoken::decode::<Value>(statement.expose(), &key.unwrap(), &validation).unwrap().claims
    }

    #[test]
    fn every_kind_of_key_signs_what_its_public_key_checks() {
        for (kind, algorithm) in [
            (&PKCS_RSA_SHA256, Algorithm::RS256),
            (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
            (&PKCS_ED25519, Algorithm::EdDSA),
        ] {
            let pair = KeyPair::generate_for(kind).unwrap();
            for pem in [pair.serialize_pem(), pair.serialize_pem().replace('\n', "\\n")] {
                let key = SigningKey::read(&Secret::new(pem)).unwrap();
                let statement = key.sign(Some("key-1"), &claims()).unwrap();
                let claims = checked(&pair, algorithm, &statement);
                assert_eq!((&claims["iss"], &claims["sub"]), (&"client-1".into(), &"jane".into()));
                assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
                let header = jsonwebtoken::decode_header(statement.expose()).unwrap();
                assert_eq!((header.alg, header.kid.as_deref()), (algorithm, Some("key-1")));
            }
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let bad = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        for text in ["hunter2-hunter2", bad, ""] {
            let Err(what) = SigningKey::read(&Secret::new(text)) else { panic!("{text} is a key") };
            assert!(what.contains("PEM") && !what.contains("hunter2") && !what.contains("c2Vj"), "{what}");
        }
        assert!(
            ServiceAccount::read(&Secret::new("{\"private_key\":\"hunter2\"}"))
                .is_err_and(|what| !what.contains("hunter2"))
        );
    }

    #[test]
    fn a_service_account_says_where_its_tokens_are() {
        let read = |json: &str| ServiceAccount::read(&Secret::new(json)).ok().unwrap();
        let plain = read(r#"{"type":"service_account","client_email":"a@b","private_key":"k"}"#);
        assert_eq!(plain.token_uri, "https://oauth2.googleapis.com/token");
        let other = read(r#"{"client_email":"a@b","private_key":"k","token_uri":"https://t.example/x"}"#);
        assert_eq!(other.token_uri, "https://t.example/x");
    }
}
