//! Intercom: Python's standard library after Intercom's documentation, for want of a library that verifies.

use bowline_signature::{Intercom, Scheme, intercom};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Intercom::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Intercom::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[intercom::HEADER],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn python_after_intercom_s_documentation_and_ours_agree() {
    let test = "python_after_intercom_s_documentation_and_ours_agree";
    if let Err(missing) =
        judges::agree(&Judge::Python("hmac"), "intercom", ["the secret", "another secret"], make)
    {
        skip!(test, missing);
    }
}
