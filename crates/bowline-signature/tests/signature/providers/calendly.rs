//! Calendly: Python's standard library after the examples of its documentation, for want of a library that verifies.

use bowline_signature::{Calendly, Scheme, calendly};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Calendly::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Calendly::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[calendly::HEADER],
        past: Some(calendly::TOLERANCE),
        future: None,
        signs_url: false,
    });
}

#[test]
fn python_after_calendly_s_documentation_and_ours_agree() {
    let test = "python_after_calendly_s_documentation_and_ours_agree";
    if let Err(missing) =
        judges::agree(&Judge::Python("hmac"), "calendly", ["the secret", "another secret"], make)
    {
        skip!(test, missing);
    }
}
