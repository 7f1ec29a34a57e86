//! Where a run's result can be asked for: `{route}/runs/17-3f9a…`, known only to whom it was told.

use std::fmt::Write;

use axum::{
    extract::OriginalUri,
    http::{HeaderValue, request::Parts},
};
use bowline_model::{KeySeed, Run, RunId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Route;

/// What a token is the digest of, before the run's seed.
const PURPOSE: &[u8] = b"bowline run address";
/// Bytes of the digest that are told: as many as nobody can guess.
const TOKEN_BYTES: usize = 16;

/// The last segment of an address, as it was asked for. Nothing in it is trusted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) run: RunId,
    token: &'a str,
}

impl<'a> Address<'a> {
    /// `None` for whatever [`segment`] did not write.
    pub(crate) fn parse(segment: &'a str) -> Option<Self> {
        let (id, token) = segment.split_once('-')?;
        let run: RunId = id.parse().ok()?;
        // One address a run: no sign, no leading zeros.
        (run.to_string() == id).then_some(Self { run, token })
    }

    /// Whether it is this run's. Takes the same time however much of the token is right.
    pub(crate) fn is_of(&self, run: &Run) -> bool {
        bool::from(token(run.key_seed).as_bytes().ct_eq(self.token.as_bytes())) && run.id == self.run
    }
}

/// `17-3f9a…`
fn segment(run: &Run) -> String {
    format!("{}-{}", run.id, token(run.key_seed))
}

/// From the seed that was drawn when the run was created: cannot be guessed, needs no storing, outlives restarts.
fn token(seed: KeySeed) -> String {
    let digest = Sha256::new().chain_update(PURPOSE).chain_update(seed.0.to_be_bytes()).finalize();
    let mut token = String::with_capacity(2 * TOKEN_BYTES);
    for byte in digest.iter().take(TOKEN_BYTES) {
        write!(token, "{byte:02x}").expect("writing to a string never fails");
    }
    token
}

/// The `Location` of a run, under the path to which the request was sent, or itself if it was asked for: within a
/// larger program that path may be longer than the route's own.
pub(crate) fn location(route: &Route, parts: &Parts, run: &Run) -> Option<HeaderValue> {
    let below = format!("/runs/{}", segment(run));
    let own = route.path().trim_end_matches('/');
    let sent_to = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.path());
    let base = sent_to.map(|path| path.strip_suffix(&below).unwrap_or(path).trim_end_matches('/'));
    // Two slashes would make it the name of another host.
    let base = base.filter(|base| base.ends_with(own) && !base.starts_with("//")).unwrap_or(own);
    HeaderValue::try_from(format!("{base}{below}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_is_an_address() {
        assert_eq!(Address::parse("17-ab"), Some(Address { run: RunId(17), token: "ab" }));
        for odd in
            ["", "-", "17", "+17-ab", "017-ab", "-17-ab", "17.0-ab", "99999999999999999999-ab", " 17-ab"]
        {
            assert!(Address::parse(odd).is_none_or(|address| address.run.0 < 0), "{odd:?}");
        }
    }

    #[test]
    fn a_token_depends_on_every_bit_of_the_seed_and_never_changes() {
        assert_eq!(token(KeySeed(7)), "056fa67b81f807370b7316e89fc0737b");
        assert_ne!(token(KeySeed(7)), token(KeySeed(7 | 1 << 127)));
        assert_eq!(token(KeySeed(u128::MAX)).len(), 32);
    }
}
