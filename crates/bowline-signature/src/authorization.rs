//! The `authorization` header, taken apart: `Bearer …` (RFC 6750 §2.1) and `Basic …` (RFC 7617).
//!
//! Nothing here decides whether somebody may come in; see [`shared_key`](crate::shared_key) for that.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_PAD_INDIFFERENT};

use crate::{Error, header};

/// The header's name.
pub const HEADER: &str = "authorization";

const BEARER_FORM: &str = "Bearer <token>";
const BASIC_FORM: &str = "Basic <user:password in base64>";

/// What `Basic` credentials say. Bytes: senders do not agree on a charset. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct UserPassword {
    /// What stands before the first colon.
    pub user: Vec<u8>,
    /// All that stands behind it, colons included.
    pub password: Vec<u8>,
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[credentials]")
    }
}

/// The token of `Bearer <token>`, which is not checked for the characters that RFC 6750 allows.
///
/// The scheme's case does not matter (RFC 9110 §11.1).
///
/// # Errors
/// [`Error`] if the header is absent, too long, of another scheme, or has no token.
pub fn bearer(header: Option<&[u8]>) -> Result<&[u8], Error> {
    credentials(header, "bearer", BEARER_FORM, "this address wants a bearer token")
}

/// User and password of `Basic <base64 of user:password>`, with padding or without.
///
/// The scheme's case does not matter (RFC 9110 §11.1).
///
/// # Errors
/// [`Error`] if the header is absent, too long, of another scheme, not base64, or has no colon in it.
pub fn basic(header: Option<&[u8]>) -> Result<UserPassword, Error> {
    let encoded = credentials(header, "basic", BASIC_FORM, "this address wants a user and a password")?;
    let mut user =
        STANDARD_PAD_INDIFFERENT.decode(encoded).map_err(|_| malformed("is not base64", BASIC_FORM))?;
    let colon = user.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| malformed("has no colon between user and password", BASIC_FORM))?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Ok(UserPassword { user, password })
}

/// What stands behind the scheme.
fn credentials<'h>(
    header: Option<&'h [u8]>,
    scheme: &str,
    form: &'static str,
    hint: &'static str,
) -> Result<&'h [u8], Error> {
    let header = header::bounded(
        HEADER,
        header.ok_or_else(|| Error::HeaderMissing { header: HEADER.to_owned(), hint })?,
    )?;
    let end = header.iter().position(|byte| *byte == b' ').unwrap_or(header.len());
    let (found, rest) = header.split_at(end);
    if !found.eq_ignore_ascii_case(scheme.as_bytes()) {
        return Err(malformed("is of another scheme", form));
    }
    match rest.trim_ascii_start() {
        [] => Err(malformed("has nothing behind its scheme", form)),
        credentials => Ok(credentials),
    }
}

fn malformed(problem: &'static str, form: &'static str) -> Error {
    Error::HeaderMalformed { header: HEADER.to_owned(), problem, form: form.into() }
}
