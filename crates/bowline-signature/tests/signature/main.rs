//! Every scheme: vectors that others published or made, every part tampered with, and arbitrary headers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod examples;
mod gauntlet;
mod generic;
mod github;
mod judges;
mod official_libraries;
mod providers;
mod sdk;
mod shared_key;
mod standard_webhooks;
mod stripe;

// Two files of bowline-testing, and not the crate: it stands on the whole framework, for which the tests of a crate that
// is useful alone should not wait.
#[path = "../../../bowline-testing/src/peer/python.rs"]
#[expect(unreachable_pub, reason = "public where it is at home")]
mod peer;
#[path = "../../../bowline-testing/src/skip.rs"]
#[expect(unreachable_pub, reason = "public where it is at home")]
mod skip;

use bowline_signature::SigningSecret;
use jiff::Timestamp;

fn secret(text: impl AsRef<[u8]>) -> SigningSecret {
    SigningSecret::new(text).expect("not empty")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("within range")
}

/// A scheme with several secrets, of which the first signs.
fn with_secrets<S>(
    secrets: &[&str],
    new: impl FnOnce(SigningSecret) -> S,
    also_accept: impl Fn(S, SigningSecret) -> S,
) -> S {
    let (first, more) = secrets.split_first().expect("one at least");
    more.iter().map(secret).fold(new(secret(first)), also_accept)
}

/// Headers as they came: what `verify` asks for by name.
fn lookup<'h, N: AsRef<str>, V: AsRef<[u8]>>(headers: &'h [(N, V)]) -> impl Fn(&str) -> Option<&'h [u8]> {
    |name| headers.iter().find(|header| header.0.as_ref() == name).map(|header| header.1.as_ref())
}
