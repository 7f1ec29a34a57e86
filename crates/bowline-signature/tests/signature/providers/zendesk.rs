//! Zendesk: Python's standard library after the example of its documentation, for want of a library that verifies.

use bowline_signature::{Scheme, Zendesk, zendesk};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Zendesk::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Zendesk::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[zendesk::HEADER, zendesk::TIMESTAMP_HEADER],
        past: Some(zendesk::TOLERANCE),
        future: Some(zendesk::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn python_after_zendesk_s_documentation_and_ours_agree() {
    let test = "python_after_zendesk_s_documentation_and_ours_agree";
    if let Err(missing) =
        judges::agree(&Judge::Python("hmac"), "zendesk", ["the secret", "another secret"], make)
    {
        skip!(test, missing);
    }
}
