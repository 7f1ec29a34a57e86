//! Keys, tokens and passwords that a sender shows instead of signing: [`ApiKey`], [`Bearer`], [`Basic`].
//!
//! What is shown is compared by its SHA-256 with that of every accepted value: the comparison takes the same time
//! however much of it is right, and however long the accepted ones are. Whoever listens in on one request can make
//! others: such a route wants TLS.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{Error, SigningSecret, authorization, header};

/// A key in a header of its own.
///
/// ```
/// use bowline_signature::{ApiKey, SigningSecret};
///
/// let key = ApiKey::new("X-Api-Key", SigningSecret::new("k-17")?);
/// assert_eq!(key.verify(Some(b"k-17")), Ok(()));
/// assert!(key.verify(Some(b"k-18")).is_err());
/// # Ok::<(), bowline_signature::EmptySecret>(())
/// ```
#[derive(Debug, Clone)]
pub struct ApiKey {
    header: String,
    accepted: Accepted,
}

impl ApiKey {
    /// In that header, with the key.
    pub fn new(header: &str, key: SigningSecret) -> Self {
        Self { header: header.to_ascii_lowercase(), accepted: Accepted::new(key) }
    }

    /// Also accepts this key: for the time in which one replaces another.
    pub fn also_accept(mut self, key: SigningSecret) -> Self {
        self.accepted.push(key);
        self
    }

    /// The header's name, in lower case.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Whether the header's value (`None`: there is no such header) is a key that is accepted.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify(&self, header: Option<&[u8]>) -> Result<(), Error> {
        let hint = "this address wants a key";
        let missing = || Error::HeaderMissing { header: self.header.clone(), hint };
        let presented = header::bounded(&self.header, header.ok_or_else(missing)?)?;
        self.accepted.check(presented).then_some(()).ok_or_else(|| self.accepted.refusal(&self.header))
    }

    /// The header's value that shows the first key: secret.
    pub fn present(&self) -> Vec<u8> {
        self.accepted.first.expose().to_vec()
    }
}

/// A token in `authorization: Bearer <token>` (RFC 6750).
///
/// ```
/// use bowline_signature::{Bearer, SigningSecret};
///
/// let bearer = Bearer::new(SigningSecret::new("mF_9.B5f-4.1JqM")?);
/// assert_eq!(bearer.verify(Some(b"bearer mF_9.B5f-4.1JqM")), Ok(()));
/// assert!(bearer.verify(Some(b"Bearer somebody's")).is_err());
/// # Ok::<(), bowline_signature::EmptySecret>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bearer {
    accepted: Accepted,
}

impl Bearer {
    /// What a refusal's `WWW-Authenticate` says (RFC 6750 §3).
    pub const CHALLENGE: &'static str = "Bearer";

    /// With the token.
    pub fn new(token: SigningSecret) -> Self {
        Self { accepted: Accepted::new(token) }
    }

    /// Also accepts this token: for the time in which one replaces another.
    pub fn also_accept(mut self, token: SigningSecret) -> Self {
        self.accepted.push(token);
        self
    }

    /// Whether the value of `authorization` (`None`: there is no such header) shows a token that is accepted.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify(&self, header: Option<&[u8]>) -> Result<(), Error> {
        let presented = authorization::bearer(header)?;
        self.accepted
            .check(presented)
            .then_some(())
            .ok_or_else(|| self.accepted.refusal(authorization::HEADER))
    }

    /// The value of `authorization` that shows the first token: secret.
    pub fn present(&self) -> Vec<u8> {
        [b"Bearer ", self.accepted.first.expose()].concat()
    }
}

/// User and password in `authorization: Basic <base64>` (RFC 7617).
///
/// Compared byte by byte: a name beyond ASCII fits only as the UTF-8 that it was given as.
///
/// ```
/// use bowline_signature::{Basic, SigningSecret};
///
/// let basic = Basic::new("Aladdin", SigningSecret::new("open sesame")?)?;
/// assert_eq!(basic.verify(Some(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Basic {
    first_user: String,
    first_password: SigningSecret,
    /// Digests of users and passwords.
    accepted: Vec<(Sha256Digest, Sha256Digest)>,
}

impl Basic {
    /// What a refusal's `WWW-Authenticate` says (RFC 7617 §2).
    pub const CHALLENGE: &'static str = r#"Basic realm="bowline", charset="UTF-8""#;

    /// With user and password.
    ///
    /// # Errors
    /// [`UserHasColon`].
    pub fn new(user: impl Into<String>, password: SigningSecret) -> Result<Self, UserHasColon> {
        let first_user = user.into();
        let accepted = vec![pair(&first_user, &password)?];
        Ok(Self { first_user, first_password: password, accepted })
    }

    /// Also accepts this user with this password: another one, or the same while a password replaces another.
    ///
    /// # Errors
    /// [`UserHasColon`].
    pub fn also_accept(mut self, user: &str, password: &SigningSecret) -> Result<Self, UserHasColon> {
        self.accepted.push(pair(user, password)?);
        Ok(self)
    }

    /// Whether the value of `authorization` (`None`: there is no such header) shows user and password that are
    /// accepted.
    ///
    /// # Errors
    /// [`Error`], whose text may be logged and sent back.
    pub fn verify(&self, header: Option<&[u8]>) -> Result<(), Error> {
        let presented = authorization::basic(header)?;
        let (user, password) = (Sha256Digest::of(&presented.user), Sha256Digest::of(&presented.password));
        let mut matches = Choice::from(0);
        for (accepted_user, accepted_password) in &self.accepted {
            // Both are compared, whatever the first says: nobody learns which users there are.
            matches |= accepted_user.0.ct_eq(&user.0) & accepted_password.0.ct_eq(&password.0);
        }
        let refusal =
            Error::WrongKey { header: authorization::HEADER.to_owned(), accepted: self.accepted.len() };
        bool::from(matches).then_some(()).ok_or(refusal)
    }

    /// The value of `authorization` that shows the first user and password: secret.
    pub fn present(&self) -> Vec<u8> {
        let credentials = [self.first_user.as_bytes(), b":", self.first_password.expose()].concat();
        format!("Basic {}", STANDARD.encode(credentials)).into_bytes()
    }
}

fn pair(user: &str, password: &SigningSecret) -> Result<(Sha256Digest, Sha256Digest), UserHasColon> {
    if user.contains(':') {
        return Err(UserHasColon);
    }
    Ok((Sha256Digest::of(user.as_bytes()), Sha256Digest::of(password.expose())))
}

/// A user's name with a colon in it: it could not be told from the password (RFC 7617 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user name has a colon, and a Basic user ends at the first one; choose a name without it")]
pub struct UserHasColon;

/// One or several values that are accepted.
#[derive(Debug, Clone)]
struct Accepted {
    first: SigningSecret,
    digests: Vec<Sha256Digest>,
}

impl Accepted {
    fn new(first: SigningSecret) -> Self {
        let digests = vec![Sha256Digest::of(first.expose())];
        Self { first, digests }
    }

    fn push(&mut self, secret: SigningSecret) {
        self.digests.push(Sha256Digest::of(secret.expose()));
    }

    /// Looks at all of them, whichever fits.
    fn check(&self, presented: &[u8]) -> bool {
        let presented = Sha256Digest::of(presented);
        let fits = |matches: Choice, digest: &Sha256Digest| matches | digest.0.ct_eq(&presented.0);
        self.digests.iter().fold(Choice::from(0), fits).into()
    }

    fn refusal(&self, header: &str) -> Error {
        Error::WrongKey { header: header.to_owned(), accepted: self.digests.len() }
    }
}

/// Digests are of one length, whatever they are of. Made when a value is set, so that a comparison costs the same
/// however long that is.
#[derive(Clone)]
struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The digest of a weak key tells it.
impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}
